import { expect, test } from "bun:test";
import { selfSigned } from "../support/certificate.ts";
import { openPair } from "../support/client.ts";
import { rawRequest } from "../support/raw-http.ts";
import { testServer } from "../support/server.ts";

test("with a certificate the whole path is encrypted: mint, redeem, relay", async () => {
  await using certificate = await selfSigned();
  await using server = await testServer({
    TLS_CERT_FILE: certificate.certFile,
    TLS_KEY_FILE: certificate.keyFile,
  });
  expect(server.url.protocol).toBe("https:");
  expect(server.http).toStartWith("https:");
  const { code, appID } = await server.mint();
  expect(await (await server.redeem(code)).json()).toMatchObject({ appID });
  await using pair = await openPair(server, { appId: appID });
  const frame = '{ "type":"offer","sdp":"over TLS" }';
  pair.a.send(frame);
  expect(await pair.b.nextText()).toBe(frame);
  pair.b.send('{"type":"answer"}');
  expect(await pair.a.nextText()).toBe('{"type":"answer"}');
});

test("a client that trusts the certificate gets through, one that does not does not", async () => {
  await using certificate = await selfSigned();
  await using server = await testServer({
    TLS_CERT_FILE: certificate.certFile,
    TLS_KEY_FILE: certificate.keyFile,
  });
  const trusting = await fetch(`${server.http}/healthz`, { tls: { ca: certificate.cert } });
  expect(await trusting.json()).toEqual({ ok: true });
  const wary = fetch(`${server.http}/healthz`, { tls: { rejectUnauthorized: true } });
  await expect(wary).rejects.toMatchObject({ code: "DEPTH_ZERO_SELF_SIGNED_CERT" });
});

test("the TLS port does not answer plain HTTP", async () => {
  await using certificate = await selfSigned();
  await using server = await testServer({
    TLS_CERT_FILE: certificate.certFile,
    TLS_KEY_FILE: certificate.keyFile,
  });
  const plain = rawRequest(server.http.replace("https", "http"), { target: "/healthz" });
  await expect(plain).rejects.toThrow("closed before an answer");
});
