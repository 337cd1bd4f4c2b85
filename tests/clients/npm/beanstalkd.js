// The client named beanstalkd has no kick, only kick-job.
import beanstalkd from "beanstalkd";

export async function connect(host, port) {
  const client = new beanstalkd.default(host, port);
  await client.connect();

  const call = (verb) => client[verb].bind(client);
  const job = (verb) => async (...args) => {
    try {
      const [id, body] = await call(verb)(...args);
      return [Number(id), body.toString()];
    } catch (error) {
      if (error.message === "NOT_FOUND" || error.message === "TIMED_OUT") return null;
      throw error;
    }
  };

  return {
    bury: call("bury"),
    delete: call("delete"),
    ignore: call("ignore"),
    kick_job: call("kickJob"),
    list_tube_used: call("listTubeUsed"),
    list_tubes: call("listTubes"),
    list_tubes_watched: call("listTubesWatched"),
    pause_tube: call("pauseTube"),
    peek: job("peek"),
    peek_buried: job("peekBuried"),
    peek_delayed: job("peekDelayed"),
    peek_ready: job("peekReady"),
    put: async (body, pri, delay, ttr) => Number(await client.put(pri, delay, ttr, body)),
    release: call("release"),
    reserve: job("reserve"),
    reserve_with_timeout: job("reserveWithTimeout"),
    stats: call("stats"),
    stats_job: call("statsJob"),
    stats_tube: call("statsTube"),
    touch: call("touch"),
    use: call("use"),
    watch: call("watch"),
  };
}
