import { createPrivateKey, KeyObject, X509Certificate } from "node:crypto";
import { chmod, mkdir, rename, rm, stat } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { Integer, OctetString, Utf8String } from "asn1js";
import * as pkijs from "pkijs";
import { parseAddress } from "../base/address.ts";
import { type Clock, cryptoRandom } from "../base/clock.ts";
import { messageOf, StartError } from "../base/errors.ts";

/** The files of certificate and key, and how a person recognises the certificate. */
export interface SelfSigned {
  readonly tlsCertFile: string;
  readonly tlsKeyFile: string;
  /** SHA-256, as browsers show it: `AB:CD:…`. */
  readonly fingerprint: string;
}

/** Browsers accept longer ones from authorities only. */
const validMs = 365 * 86_400_000;
const renewedBeforeMs = 30 * 86_400_000;
/** Earlier names and addresses stay in it: a notebook in two networks keeps one certificate. */
const maxNames = 32;

/**
 * The certificate in `folder` for these host names and addresses. It is replaced by a new one if it
 * lacks a name or ends within 30 days. Only this user may read the folder and the key.
 * Throws `StartError` if the folder cannot be written to.
 */
export async function selfSigned(
  folder: string,
  hosts: readonly string[],
  clock: Pick<Clock, "now">,
): Promise<SelfSigned> {
  const names = hosts.map(canonical);
  const tlsCertFile = join(folder, "certificate.pem");
  const tlsKeyFile = join(folder, "key.pem");
  const former = await usable(tlsCertFile, tlsKeyFile);
  const covered = former === undefined ? [] : namesIn(former);
  const lasts = Date.parse(former?.validTo ?? "") - clock.now() > renewedBeforeMs;
  if (former !== undefined && lasts && names.every((name) => covered.includes(name))) {
    return { tlsCertFile, tlsKeyFile, fingerprint: former.fingerprint256 };
  }
  const all = [...new Set([...names, ...covered])].slice(0, maxNames);
  const { cert, key } = await newCertificate(all, clock.now());
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await chmod(folder, 0o700);
    // The key first: a start that finds it beside the old certificate makes both again.
    await put(tlsKeyFile, `${key}`);
    await put(tlsCertFile, cert.toString());
  } catch (error) {
    throw new StartError(
      `TLS_SELF_SIGNED cannot keep its certificate in ${folder} (${messageOf(error)}). ` +
        "Make that folder writable, or name another one with XDG_CACHE_HOME.",
    );
  }
  return { tlsCertFile, tlsKeyFile, fingerprint: cert.fingerprint256 };
}

/** The certificate, if its key is there and only this user may read it. */
async function usable(certFile: string, keyFile: string): Promise<X509Certificate | undefined> {
  try {
    const { mode } = await stat(keyFile);
    if (process.platform !== "win32" && (mode & 0o077) !== 0) return undefined;
    const certificate = new X509Certificate(await Bun.file(certFile).text());
    const key = createPrivateKey(await Bun.file(keyFile).text());
    return certificate.checkPrivateKey(key) ? certificate : undefined;
  } catch {
    return undefined;
  }
}

/** The names and addresses in `DNS:localhost, IP Address:127.0.0.1`. */
function namesIn({ subjectAltName = "" }: X509Certificate): readonly string[] {
  return subjectAltName.split(", ").map((name) => canonical(name.replace(/^[\w ]+:/, "")));
}

function canonical(name: string): string {
  return parseAddress(name) ?? name.toLowerCase();
}

/** Replaces the file in one step. Other users can never read it. */
async function put(path: string, text: string): Promise<void> {
  const fresh = `${path}.${process.pid}`;
  await rm(fresh, { force: true });
  await Bun.write(fresh, text, { mode: 0o600 });
  await chmod(fresh, 0o600);
  await rename(fresh, path);
}

/** With its key as PEM. An ECDSA key on P-256, for a server alone (RFC 5280). */
async function newCertificate(names: readonly string[], now: number) {
  const curve = { name: "ECDSA", namedCurve: "P-256" };
  const keys = await crypto.subtle.generateKey(curve, true, ["sign", "verify"]);
  const certificate = new pkijs.Certificate();
  certificate.version = 2;
  const serial = Uint8Array.from({ length: 16 }, () => cryptoRandom(256));
  // A positive number that fills all of its bytes.
  serial[0] = 0x40 | cryptoRandom(0x40);
  certificate.serialNumber = new Integer({ valueHex: serial.buffer });
  const value = new Utf8String({ value: "nt-signal on this machine" });
  const commonName = new pkijs.AttributeTypeAndValue({ type: "2.5.4.3", value });
  certificate.issuer.typesAndValues.push(commonName);
  certificate.subject.typesAndValues.push(commonName);
  // Clocks of other devices may be slow.
  certificate.notBefore.value = new Date(now - 86_400_000);
  certificate.notAfter.value = new Date(now + validMs);
  certificate.extensions = [
    extension("2.5.29.17", new pkijs.GeneralNames({ names: names.map(generalName) })),
    extension("2.5.29.37", new pkijs.ExtKeyUsage({ keyPurposes: ["1.3.6.1.5.5.7.3.1"] })),
    extension("2.5.29.19", new pkijs.BasicConstraints({ cA: false })),
  ];
  await certificate.subjectPublicKeyInfo.importKey(keys.publicKey);
  await certificate.sign(keys.privateKey, "SHA-256");
  return {
    cert: new X509Certificate(Buffer.from(certificate.toSchema(true).toBER(false))),
    key: KeyObject.from(keys.privateKey).export({ type: "pkcs8", format: "pem" }),
  };
}

function extension(
  extnID: string,
  content: { toSchema(): { toBER(sizeOnly?: boolean): ArrayBuffer } },
): pkijs.Extension {
  return new pkijs.Extension({ extnID, extnValue: content.toSchema().toBER(false) });
}

/** An address in bytes, or a host name (RFC 5280 section 4.2.1.6). */
function generalName(name: string): pkijs.GeneralName {
  if (isIP(name) === 0) return new pkijs.GeneralName({ type: 2, value: name });
  const hex = name.split(":").map((group) => group.padStart(4, "0"));
  const bytes =
    isIP(name) === 4 ? Uint8Array.from(name.split("."), Number) : Uint8Array.fromHex(hex.join(""));
  return new pkijs.GeneralName({ type: 7, value: new OctetString({ valueHex: bytes.buffer }) });
}
