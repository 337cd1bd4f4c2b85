// fivebeans has every verb, as functions that end in a callback.
import { once } from "node:events";
import { promisify } from "node:util";
import fivebeans from "fivebeans";

export async function connect(host, port) {
  const client = new fivebeans.client(host, port);
  client.connect();
  await once(client, "connect");

  // An error is the word the server answered with.
  const call = (verb) => promisify(client[verb]).bind(client);
  const number = (verb) => async (...args) => Number(await call(verb)(...args));
  const job = (verb) => (...args) =>
    new Promise((resolve, reject) =>
      client[verb](...args, (error, id, body) => {
        if (error === "NOT_FOUND" || error === "TIMED_OUT") resolve(null);
        else if (error) reject(error);
        else resolve([Number(id), body.toString()]);
      }),
    );

  return {
    bury: call("bury"),
    delete: call("destroy"),
    ignore: call("ignore"),
    kick: number("kick"),
    kick_job: call("kick_job"),
    list_tube_used: call("list_tube_used"),
    list_tubes: call("list_tubes"),
    list_tubes_watched: call("list_tubes_watched"),
    pause_tube: call("pause_tube"),
    peek: job("peek"),
    peek_buried: job("peek_buried"),
    peek_delayed: job("peek_delayed"),
    peek_ready: job("peek_ready"),
    put: (body, pri, delay, ttr) => number("put")(pri, delay, ttr, body),
    release: call("release"),
    reserve: job("reserve"),
    reserve_with_timeout: job("reserve_with_timeout"),
    stats: call("stats"),
    stats_job: call("stats_job"),
    stats_tube: call("stats_tube"),
    touch: call("touch"),
    use: call("use"),
    watch: call("watch"),
  };
}
