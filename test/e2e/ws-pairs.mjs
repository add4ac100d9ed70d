// Run by node, not Bun: Bun puts a WebSocket of its own in the place of npm's ws.
// node ws-pairs.mjs <ws package> <base URL> <pairs>: prints what each pair heard.
import { createRequire } from "node:module";

const [, , name, base, pairs] = process.argv;
const WebSocket = createRequire(import.meta.url)(name);

/**
 * As the NoisyTransfer CLI does: the listener is set by code that waited for the socket to open.
 * `opened` is called at that moment, before anything else can happen.
 */
async function connect(appId, side, opened = () => {}) {
  const socket = new WebSocket(`${base}/ws?appID=${appId}&side=${side}`);
  await new Promise((resolve, reject) => {
    socket.once("open", () => {
      opened();
      resolve();
    });
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
  const first = await connect(appId, "A");
  first.socket.send('{"type":"hello","side":"A"}');
  // The other one says nothing, and is sent an offer as its socket opens.
  const offer = () => first.socket.send('{"type":"offer"}');
  const second = await connect(appId, "B", offer);
  const heard = [await first.next(), await second.next(), await second.next()];
  process.stdout.write(`${heard.join(" ")}\n`);
  first.socket.close();
  second.socket.close();
}
