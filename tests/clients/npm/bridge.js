// usage: node bridge.js CLIENT HOST PORT
// Lets a test drive a client: see ../node_clients.py for the lines it speaks.
// Beside this file each client has one that exports `connect(host, port)`,
// which resolves to an object of asynchronous functions, one a verb.
import { createInterface } from "node:readline";

const [client, host, port] = process.argv.slice(2);
const say = (answer) => process.stdout.write(JSON.stringify(answer) + "\n");

const { connect } = await import(`./${client}.js`);
const verbs = await connect(host, Number(port));
say({ verbs: Object.keys(verbs) });

for await (const line of createInterface({ input: process.stdin })) {
  const [verb, ...args] = JSON.parse(line);
  try {
    say({ saw: (await verbs[verb](...args)) ?? null });
  } catch (error) {
    say({ error: String(error) });
  }
}
process.exit();
