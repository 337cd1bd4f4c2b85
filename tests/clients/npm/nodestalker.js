// nodestalker has no kick-job. It takes every chunk that arrives for one whole
// response, so a server has to send each in one piece.
import bs from "nodestalker";

export async function connect(host, port) {
  const client = bs.Client({ address: host, port });

  // Success brings the words after the first, or the one word there was;
  // an error brings all the words the server answered with.
  const call = (verb) => (...args) =>
    new Promise((resolve, reject) =>
      client[verb](...args).onSuccess(resolve).onError((words) => reject(new Error(words[0]))),
    );
  const word = (verb) => async (...args) => (await call(verb)(...args))[0];
  const number = (verb) => async (...args) => Number(await word(verb)(...args));
  const peeked = (verb) => async (...args) => {
    const seen = await call(verb)(...args);
    return seen[0] === "NOT_FOUND" ? null : [Number(seen.id), seen.data];
  };
  const reserved = (verb) => async (...args) => {
    try {
      const { id, data } = await call(verb)(...args);
      return [Number(id), data];
    } catch (error) {
      if (error.message === "TIMED_OUT") return null;
      throw error;
    }
  };

  return {
    bury: call("bury"),
    delete: call("deleteJob"),
    ignore: call("ignore"),
    kick: number("kick"),
    list_tube_used: word("list_tube_used"),
    list_tubes: call("list_tubes"),
    list_tubes_watched: call("list_tubes_watched"),
    pause_tube: call("pause_tube"),
    peek: peeked("peek"),
    peek_buried: peeked("peek_buried"),
    peek_delayed: peeked("peek_delayed"),
    peek_ready: peeked("peek_ready"),
    put: number("put"),
    release: call("release"),
    reserve: reserved("reserve"),
    reserve_with_timeout: reserved("reserve_with_timeout"),
    stats: call("stats"),
    stats_job: call("stats_job"),
    stats_tube: call("stats_tube"),
    touch: call("touch"),
    use: call("use"),
    watch: call("watch"),
  };
}
