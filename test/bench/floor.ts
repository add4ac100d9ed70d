/**
 * As little as can do the job: a relay that publishes what comes to a topic and tells both sides, 50 ms
 * after they came, that they are two; and codes in one Map. No checks, no limits, no seats, no expiry, no
 * counts. What a server costs beyond this is its own.
 */
const headers = { "Content-Type": "application/json" };
const codes = new Map<string, string>();
const draw = new Uint32Array(1);

async function mint(request: Request): Promise<Response> {
  const { ttl } = (await request.json()) as { readonly ttl: number };
  let code: string;
  do code = String((crypto.getRandomValues(draw)[0] as number) % 100_000_000).padStart(8, "0");
  while (codes.has(code));
  const appID = crypto.randomUUID();
  codes.set(code, appID);
  const expiresAt = new Date(Date.now() + ttl * 1_000).toISOString();
  return new Response(JSON.stringify({ code, appID, expiresAt }), { headers });
}

async function redeem(request: Request): Promise<Response> {
  const { code } = (await request.json()) as { readonly code: string };
  const appID = codes.get(code);
  if (appID === undefined) return new Response(null, { status: 410 });
  codes.delete(code);
  const expiresAt = new Date().toISOString();
  return new Response(JSON.stringify({ appID, expiresAt }), { headers });
}

const newcomerWaitMs = 50;
const roomFull = '{"type":"room_full"}';
/** Topics that one side has come to. */
const halfFull = new Set<string>();
let newcomers: { readonly topic: string; readonly since: number }[] = [];

function tell(): void {
  const before = performance.now() - newcomerWaitMs;
  const told = newcomers.findIndex(({ since }) => since > before);
  const late = told === -1 ? newcomers : newcomers.slice(0, told);
  newcomers = newcomers.slice(late.length);
  if (newcomers.length > 0) setTimeout(tell, 5);
  for (const { topic } of late) {
    if (halfFull.delete(topic)) server.publish(topic, roomFull);
    else halfFull.add(topic);
  }
}

const server = Bun.serve<{ readonly topic: string }>({
  hostname: "127.0.0.1",
  port: Number(process.env["PORT"]),
  development: false,
  fetch(request, server) {
    const { url } = request;
    const at = url.indexOf("appID=");
    if (at >= 0) {
      const data = { topic: url.slice(at + 6, at + 42) };
      return server.upgrade(request, { data }) ? undefined : new Response(null, { status: 400 });
    }
    if (url.endsWith("/code")) return mint(request);
    return url.endsWith("/redeem") ? redeem(request) : new Response(null, { headers });
  },
  websocket: {
    perMessageDeflate: false,
    idleTimeout: 120,
    open(ws) {
      const { topic } = ws.data;
      ws.subscribe(topic);
      if (newcomers.push({ topic, since: performance.now() }) === 1)
        setTimeout(tell, newcomerWaitMs);
    },
    message(ws, message) {
      ws.publish(ws.data.topic, message);
    },
  },
});
