import { temporaryFolder } from "./folder.ts";

/** A certificate for localhost and 127.0.0.1 that vouches for itself, in files of its own. */
export interface Certificate extends AsyncDisposable {
  readonly certFile: string;
  readonly keyFile: string;
  /** PEM, for a client to trust. */
  readonly cert: string;
}

export async function selfSigned(): Promise<Certificate> {
  const folder = await temporaryFolder();
  const [certFile, keyFile] = [folder.at("server.crt"), folder.at("server.key")];
  const args = [
    "req",
    "-x509",
    "-nodes",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
  ];
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const files = ["-keyout", keyFile, "-out", certFile];
  const openssl = Bun.spawn(["openssl", ...args, ...names, ...files], {
    stdout: "ignore",
    stderr: "pipe",
  });
  if ((await openssl.exited) !== 0) throw new Error(`openssl: ${await openssl.stderr.text()}`);
  return { ...folder, certFile, keyFile, cert: await Bun.file(certFile).text() };
}
