import { afterAll, afterEach, beforeEach, describe } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { requireProgram } from "./program.ts";

/** Chromium's headless shell takes a third of the CPU time of a whole Chromium, and is as good here. */
export const chromiumProgram = requireProgram("chromium-headless-shell", "chromium");

/** Tests with a browser are skipped where there is none. */
export const noBrowser = chromiumProgram.missing;

const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--allow-loopback-in-peer-connection",
  // A name for this machine that is no more trusted than one on a LAN.
  "--host-resolver-rules=MAP lan.test 127.0.0.1",
  // Pages see addresses, not names that only multicast could resolve.
  "--disable-features=WebRtcHideLocalIpsWithMdns",
];

/**
 * Tests that share a headless Chromium, which starts when the first of them needs it. Who comes during a
 * test leaves at its end.
 */
export function describeInBrowser(name: string, tests: (browser: TestBrowser) => void): void {
  describe.skipIf(noBrowser)(name, () => {
    const browser = new TestBrowser();
    let before: ReadonlySet<Person> = new Set();
    beforeEach(() => {
      before = new Set(browser.people);
    });
    afterEach(async () => {
      for (const person of browser.people.difference(before)) await person.leave();
    });
    afterAll(() => browser[Symbol.asyncDispose]());
    tests(browser);
  });
}

export interface PersonOptions {
  readonly colorScheme?: "light" | "dark";
  readonly viewport?: { readonly width: number; readonly height: number };
  /** The device's clock is that far ahead of the true time. */
  readonly clockAheadMs?: number;
}

/** A headless Chromium of its own, from when somebody comes. */
export class TestBrowser implements AsyncDisposable {
  readonly people = new Set<Person>();
  private browser: Promise<Browser> | undefined;

  /** Somebody with a browser profile of their own, on the page at `url`. */
  async person(url: string, { clockAheadMs = 0, ...options }: PersonOptions = {}): Promise<Person> {
    // What moves on a page is drawn anew 60 times a second, by the CPU.
    const usual = { acceptDownloads: true, reducedMotion: "reduce" } as const;
    this.browser ??= chromium.launch({ executablePath: chromiumProgram.path, args: flags });
    const context = await (await this.browser).newContext({ ...usual, ...options });
    context.setDefaultTimeout(10_000);
    await context.addInitScript(
      `{ const now = Date.now; Date.now = () => now() + ${clockAheadMs}; }`,
    );
    const person = new Person(context, await context.newPage());
    this.people.add(person);
    context.on("close", () => this.people.delete(person));
    await person.page.goto(url);
    return person;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.browser)?.close();
  }
}

/** One person at the demo page, with everything the browser complained about. */
export class Person {
  /** Console errors, uncaught exceptions and violations of the content security policy. */
  readonly complaints: string[] = [];
  private files: Promise<string> | undefined;

  constructor(
    readonly context: BrowserContext,
    readonly page: Page,
  ) {
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") {
        this.complaints.push(message.text());
      }
    });
    page.on("pageerror", (error) => this.complaints.push(String(error)));
  }

  /** Makes a code and reads it. */
  async createCode(): Promise<string> {
    await this.page.getByRole("button", { name: "Create a code" }).click();
    await this.page.locator("#waiting").waitFor();
    return (await this.page.locator("#code").textContent()) ?? "";
  }

  async enterCode(code: string): Promise<void> {
    await this.page.getByLabel("Enter a code").fill(code);
    await this.page.getByRole("button", { name: "Connect" }).click();
  }

  /** Resolves when the page says that it is connected. */
  async connected(): Promise<void> {
    await this.page.getByRole("heading", { name: "Connected", exact: true }).waitFor();
  }

  async say(text: string): Promise<void> {
    await this.page.getByLabel("Message", { exact: true }).fill(text);
    await this.page.getByRole("button", { name: "Send", exact: true }).click();
  }

  /** Resolves when this message is on the page, whoever wrote it. */
  async sees(text: string): Promise<void> {
    await this.page.locator("#messages li", { hasText: text }).waitFor();
  }

  /** What the page holds against the code that was entered. */
  async fault(): Promise<string> {
    await this.page.locator("#start-error:not(:empty)").waitFor();
    return (await this.page.locator("#start-error").textContent()) ?? "";
  }

  /** Chooses a file that has these bytes. It lies on the disk, as a person's does. */
  async sendFile(name: string, bytes: Uint8Array): Promise<void> {
    await this.page.locator("#choose:enabled").waitFor();
    const path = join(await this.folder(), name);
    await Bun.write(path, bytes);
    await this.page.locator("#file").setInputFiles(path);
  }

  /** Resolves when the transfer of this file says that it ended so. */
  async transferEnds(name: string, words: string): Promise<void> {
    await this.transfer(name).locator(".state", { hasText: words }).waitFor();
  }

  /** Downloads a file that was received. */
  async save(name: string): Promise<{ readonly name: string; readonly bytes: Uint8Array }> {
    const [download] = await Promise.all([
      this.page.waitForEvent("download"),
      this.transfer(name).getByText("Save").click(),
    ]);
    const bytes = await Bun.file(await download.path()).bytes();
    return { name: download.suggestedFilename(), bytes };
  }

  /** The process behind the page dies. */
  async crash(): Promise<void> {
    const crashed = this.page.waitForEvent("crash");
    await Promise.all([crashed, this.page.goto("chrome://crash").catch(() => {})]);
  }

  /** Goes away, and closes the browser's profile. */
  async leave(): Promise<void> {
    await this.context.close();
    if (this.files !== undefined) await rm(await this.files, { recursive: true, force: true });
  }

  /** Where this person's files lie. */
  private folder(): Promise<string> {
    this.files ??= mkdtemp(join(tmpdir(), "nt-signal-person-"));
    return this.files;
  }

  private transfer(name: string) {
    return this.page
      .locator(".transfer")
      .filter({ has: this.page.getByText(name, { exact: true }) });
  }

  /** What the connection panel says of a step, once it says something that matches. */
  async step(title: string, detail: RegExp): Promise<string> {
    const step = this.page.locator(".step", { hasText: title }).filter({ hasText: detail });
    await step.waitFor();
    return (await step.locator(".detail").textContent()) ?? "";
  }
}

/** Two people who found each other by a code, and are connected. */
export async function connectedPeople(
  browser: TestBrowser,
  url: string,
): Promise<{ readonly ann: Person; readonly bob: Person; readonly code: string }> {
  const ann = await browser.person(url);
  const bob = await browser.person(url);
  const code = await ann.createCode();
  await bob.enterCode(code);
  await Promise.all([ann.connected(), bob.connected()]);
  return { ann, bob, code };
}
