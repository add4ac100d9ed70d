// Run by node, not Bun: Bun puts a WebSocket of its own in the place of npm's ws.
// node ws-pairs.mjs <ws package> <base URL> <pairs>: pairs meet, receiver first; prints one line a pair.
import { createRequire } from "node:module";

const [, , name, base, pairs] = process.argv;
const WebSocket = createRequire(import.meta.url)(name);

/** As the NoisyTransfer CLI does: the listener is set by code that waited for the socket to open. */
async function connect(appId, side) {
  const socket = new WebSocket(`${base}/ws?appID=${appId}&side=${side}`);
  await new Promise((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", reject);
  });
  const heard = [];
  let wake = () => {};
  socket.on("message", (data) => {
    heard.push(String(data));
    wake();
  });
  const next = async () => {
    while (heard.length === 0) {
      await new Promise((resolve) => {
        wake = resolve;
      });
    }
    return heard.shift();
  };
  return { socket, next };
}

for (let i = 0; i < Number(pairs); i++) {
  const appId = crypto.randomUUID();
  const receiver = await connect(appId, "A");
  // The receiver offers as soon as it hears of the sender, which has said nothing yet.
  const offered = receiver.next().then(() => receiver.socket.send('{"type":"offer"}'));
  const sender = await connect(appId, "B");
  const heard = [await sender.next(), await sender.next()];
  await offered;
  process.stdout.write(`${heard.join(" ")}\n`);
  receiver.socket.close();
  sender.socket.close();
}
