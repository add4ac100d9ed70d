import type { Person, TestBrowser } from "./browser.ts";

/**
 * An application of its own origin, with the library from the server: `begin(options)` connects and
 * keeps what a reload needs, `over` says why it ended.
 */
function application(server: string, script: string) {
  const html = `<!doctype html><meta charset="utf-8"><script>${script}</script><script type="module">
    import { connect } from "${server}/peer.js";
    import { SignalingClient } from "${server}/client.js";
    Object.assign(window, { SignalingClient, states: [], heard: [], mails: [], tracks: [], servers: [] });
    window.begin = async (options) => {
      const saved = JSON.parse(sessionStorage.room ?? "{}");
      window.peer = await connect({
        url: "${server}", ...saved, ...options,
        on: {
          state: (state) => states.push(state),
          server: (state) => servers.push(state),
          connection: (connection) => connection.ontrack = ({ track }) => tracks.push(track.kind),
          mail: (payload) => mails.push(payload),
        },
      });
      const { appId, side, sid } = peer.client;
      sessionStorage.room = JSON.stringify({ appId, side, sid });
      peer.closed.then((closed) => (window.over = closed.why));
      peer.channel("chat").onmessage = (data) => heard.push(data);
      return peer.code;
    };
    window.addTrack = () => {
      const canvas = document.createElement("canvas");
      canvas.getContext("2d");
      const stream = canvas.captureStream(5);
      peer.connection.addTrack(stream.getTracks()[0], stream);
    };
    window.ready = true;
  </script>`;
  return Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => new Response(html, { headers: { "content-type": "text/html" } }),
  });
}

const until = (person: Person, what: string) => person.page.waitForFunction(what);

/** Two people at such an application, who have not begun yet. */
export class PeerPeople implements AsyncDisposable {
  private constructor(
    readonly ann: Person,
    readonly bob: Person,
    private readonly pages: ReturnType<typeof application>,
  ) {}

  /** `script` runs before the application. */
  static async at(browser: TestBrowser, server: string, script = ""): Promise<PeerPeople> {
    const pages = application(server, script);
    const person = () => browser.person(pages.url.href);
    const [ann, bob] = await Promise.all([person(), person()]);
    return new PeerPeople(ann, bob, pages);
  }

  /** Ann makes a code and Bob enters it. */
  async pair(options: object = {}): Promise<this> {
    const code = await this.begin(this.ann, options);
    await this.begin(this.bob, { ...options, code });
    await this.talk("first");
    return this;
  }

  async begin(person: Person, options: object = {}): Promise<string> {
    await until(person, "window.ready");
    return person.page.evaluate(`begin(${JSON.stringify(options)})`);
  }

  /** Both hear each other, on a channel that opens anew with its connection. */
  async talk(about: string): Promise<void> {
    const { ann, bob } = this;
    const connected = (who: Person) => until(who, 'window.peer?.state === "connected"');
    await Promise.all([connected(ann), connected(bob)]);
    await this.says(ann, bob, `Ann, ${about}`);
    await this.says(bob, ann, `Bob, ${about}`);
  }

  async says(from: Person, to: Person, text: string): Promise<void> {
    await until(from, `window.peer.channel("chat").send(${JSON.stringify(text)})`);
    await until(to, `window.heard.includes(${JSON.stringify(text)})`);
  }

  both(what: (person: Person) => Promise<unknown>): Promise<unknown> {
    return Promise.all([this.ann, this.bob].map(what));
  }

  async over(person: Person): Promise<string> {
    await until(person, "window.over");
    return person.page.evaluate("window.over");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.ann.leave(), this.bob.leave()]);
    await this.pages.stop(true);
  }
}
