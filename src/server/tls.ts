import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { stat } from "node:fs/promises";
import type { Clock } from "../base/clock.ts";
import { codeOf, messageOf, StartError } from "../base/errors.ts";
import type { Config } from "../config/config.ts";
import type { Log } from "../telemetry/log.ts";

/** Paths of the certificate and its private key. */
type TlsFiles = Pick<Config, "tlsCertFile" | "tlsKeyFile">;

/** Certificate chain (the server's own first) and private key, both as PEM text. */
export interface Tls {
  readonly cert: string;
  readonly key: string;
}

/**
 * Reads and checks both files before anything listens: with an unusable key, a listener would start
 * and fail every handshake.
 * Throws `StartError` for a file that cannot be read or is not PEM, an encrypted key, and a certificate
 * of another key.
 */
export async function loadTls({ tlsCertFile, tlsKeyFile }: TlsFiles): Promise<Tls> {
  const cert = await readPem("TLS_CERT_FILE", tlsCertFile);
  const key = await readPem("TLS_KEY_FILE", tlsKeyFile);
  const certificate = parseChain(tlsCertFile, cert);
  const privateKey = parseKey(tlsKeyFile, key);
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new StartError(
      `TLS_KEY_FILE=${JSON.stringify(tlsKeyFile)} is not the key of the first certificate in ` +
        `TLS_CERT_FILE=${JSON.stringify(tlsCertFile)}. Name files that were made together, ` +
        "with the server's own certificate before those of its issuers.",
    );
  }
  return { cert, key };
}

async function readPem(variable: string, path: string): Promise<string> {
  const named = `${variable}=${JSON.stringify(path)}`;
  let text: string;
  try {
    text = await Bun.file(path).text();
  } catch (error) {
    throw new StartError(`Cannot read ${named}: ${whyUnreadable(error)}.`);
  }
  if (text.trim() === "") throw new StartError(`${named} is empty. Name a file in PEM format.`);
  return text;
}

function whyUnreadable(error: unknown): string {
  const code = codeOf(error);
  switch (code) {
    case "ENOENT":
      return "there is no such file; correct the path";
    case "EACCES":
      return "this user may not read it; change its mode or owner";
    case "EISDIR":
      return "it is a directory; name the file in it";
    default:
      return code || "unknown error";
  }
}

function parseChain(path: string, pem: string): X509Certificate {
  const named = `TLS_CERT_FILE=${JSON.stringify(path)}`;
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  const chain = blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch {
      throw new StartError(
        `Certificate ${index + 1} in ${named} is damaged. Put an intact PEM file in its place.`,
      );
    }
  });
  const [own] = chain;
  if (own !== undefined) return own;
  throw new StartError(
    pem.includes("PRIVATE KEY-----")
      ? `${named} holds a private key and no certificate. Is it swapped with TLS_KEY_FILE?`
      : `${named} holds no certificate in PEM format. Name a file that does.`,
  );
}

function parseKey(path: string, pem: string): KeyObject {
  const named = `TLS_KEY_FILE=${JSON.stringify(path)}`;
  try {
    return createPrivateKey(pem);
  } catch (error) {
    if (codeOf(error) === "ERR_MISSING_PASSPHRASE") {
      throw new StartError(
        `${named} is encrypted, and the server cannot ask for its passphrase. ` +
          `Decrypt it: openssl pkey -in ${path} -out plain.key`,
      );
    }
    throw new StartError(
      `${named} holds no PEM private key that can be read. Name one in PEM format.`,
    );
  }
}

/** How often the files are checked. A file watcher would miss a changed symbolic link. */
const lookEveryMs = 10_000;

/**
 * Calls `use` with the new certificate whenever the files have changed. Resolves after the first look
 * at them.
 */
export async function watchTls(
  files: TlsFiles,
  inUse: Tls,
  use: (tls: Tls) => void,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
) {
  let seen = "";
  let loaded = inUse;
  let stopped = false;
  let reading = Promise.resolve();

  /** One reading at a time, so that an earlier one never replaces a later one. */
  function reload(): Promise<void> {
    reading = reading.then(read);
    return reading;
  }

  async function read(): Promise<void> {
    try {
      const tls = await loadTls(files);
      if (stopped || Bun.deepEquals(tls, loaded)) return;
      use(tls);
      loaded = tls;
      log.info("certificate renewed");
    } catch (error) {
      log.error("the new certificate cannot be used; the old one stays", {
        reason: messageOf(error),
      });
    }
  }

  async function look(): Promise<void> {
    const now = `${await stamp(files.tlsCertFile)} ${await stamp(files.tlsKeyFile)}`;
    if (now === seen) return;
    seen = now;
    await reload();
  }

  await look();
  const stopLooking = clock.every(lookEveryMs, () => void look());
  return {
    /** Reads the files now. A broken pair leaves the old certificate in use, and is logged. */
    reload,
    /** From now on `use` is not called, even if the files are being read right now. */
    stop(): void {
      stopped = true;
      stopLooking();
    },
  };
}

/** Changes whenever the file does, also if it is replaced. */
function stamp(path: string): Promise<string> {
  return stat(path).then(
    ({ mtimeMs, size, ino }) => `${mtimeMs}-${size}-${ino}`,
    () => "missing",
  );
}
