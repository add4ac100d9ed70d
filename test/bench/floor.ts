/**
 * As little as Bun can do for the same traffic: a relay that publishes what comes to a topic, and
 * HTTP answers that are always the same but for the room's name. No parsing, no checks, no seats,
 * no counts. What a server costs beyond this is its own.
 */
const headers = { "Content-Type": "application/json" };
const expiresAt = "2030-01-01T00:00:00.000Z";
const redeemed = `{"appID":"00000000-0000-4000-8000-000000000000","expiresAt":"${expiresAt}"}`;

Bun.serve<{ readonly topic: string }>({
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
    if (!url.endsWith("/code")) return new Response(redeemed, { headers });
    const minted = `{"code":"0000","appID":"${crypto.randomUUID()}","expiresAt":"${expiresAt}"}`;
    return new Response(minted, { headers });
  },
  websocket: {
    perMessageDeflate: false,
    idleTimeout: 120,
    open(ws) {
      ws.subscribe(ws.data.topic);
    },
    message(ws, message) {
      ws.publish(ws.data.topic, message);
    },
  },
});
