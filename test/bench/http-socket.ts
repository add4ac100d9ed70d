import type { Socket } from "bun";

/** One HTTP connection that is kept; one request at a time. */
export class HttpSocket {
  private socket: Socket<undefined> | undefined;
  private text = "";

  /** `heard` gets the status and body of every answer. */
  constructor(private heard: (status: number, body: string) => void) {}

  async connect(port: number): Promise<void> {
    this.socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_, chunk) => this.data(chunk),
        close: () => this.heard(0, "the connection ended"),
        error: () => {},
      },
    });
  }

  post(request: Uint8Array): void {
    this.socket?.write(request);
  }

  close(): void {
    this.heard = () => {};
    this.socket?.terminate();
  }

  private data(chunk: Buffer): void {
    this.text += chunk.toString("latin1");
    const end = this.text.indexOf("\r\n\r\n");
    if (end < 0) return;
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(this.text)?.[1] ?? Number.NaN);
    if (Number.isNaN(length)) throw new Error(`No length in ${this.text.slice(0, end)}`);
    if (this.text.length < end + 4 + length) return;
    const body = this.text.slice(end + 4, end + 4 + length);
    const status = Number(this.text.slice(9, 12));
    this.text = this.text.slice(end + 4 + length);
    this.heard(status, body);
  }
}

export function postRequest(path: string, body: string): Buffer {
  const head = `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n`;
  return Buffer.from(`${head}Content-Length: ${body.length}\r\n\r\n${body}`);
}

/** A string member of a flat JSON object. */
export function member(json: string, name: string): string {
  const key = `"${name}":"`;
  const start = json.indexOf(key);
  const end = json.indexOf('"', start + key.length);
  if (start < 0 || end < 0) throw new Error(`No ${name} in ${json}`);
  return json.slice(start + key.length, end);
}
