// jackd returns statistics and lists as YAML. Its pause-tube lacks the line
// end, so no server can answer it, and it is left out here.
import JackdClient from "jackd";
import yaml from "js-yaml";

export async function connect(host, port) {
  const client = new JackdClient();
  await client.connect({ host, port });

  const call = (verb) => client[verb].bind(client);
  const document = (verb) => async (...args) => yaml.load(await call(verb)(...args));
  const job = (verb) => async (...args) => {
    try {
      const { id, payload } = await call(verb)(...args);
      return [Number(id), payload.toString()];
    } catch (error) {
      if (error.message === "NOT_FOUND" || error.message === "TIMED_OUT") return null;
      throw error;
    }
  };

  return {
    bury: call("bury"),
    delete: call("delete"),
    ignore: call("ignore"),
    kick: call("kick"),
    kick_job: call("kickJob"),
    list_tube_used: call("listTubeUsed"),
    list_tubes: document("listTubes"),
    list_tubes_watched: document("listTubesWatched"),
    peek: job("peek"),
    peek_buried: job("peekBuried"),
    peek_delayed: job("peekDelayed"),
    peek_ready: job("peekReady"),
    put: async (body, priority, delay, ttr) =>
      Number(await client.put(body, { priority, delay, ttr })),
    release: (id, priority, delay) => client.release(id, { priority, delay }),
    reserve: job("reserve"),
    reserve_with_timeout: job("reserveWithTimeout"),
    stats: document("stats"),
    stats_job: document("statsJob"),
    stats_tube: document("statsTube"),
    touch: call("touch"),
    use: call("use"),
    watch: call("watch"),
  };
}
