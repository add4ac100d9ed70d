import { describe, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { documentPath, sections, withSection } from "../../docs/generate.ts";
import { settings } from "../../src/config/config.ts";
import { problemCodes, statusOf } from "../../src/http/problem.ts";
import { closes, closeText } from "../../src/protocol/closes.ts";
import { clientFrames, serverFrames } from "../../src/protocol/frames.ts";

const project = join(import.meta.dir, "../..");
const read = (path: string) => Bun.file(join(project, path)).text();
const documents = [
  ...["README.md", "CONTRIBUTING.md", "SECURITY.md", "src/README.md"],
  ...(await readdir(join(project, "docs")))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];

describe("what programs write in the documents", () => {
  test.each(sections.map((section) => [section.file, section] as const))(
    "is up to date in %s",
    async (_, { file, name, text }) => {
      const written = await Bun.file(documentPath(file)).text();
      if (withSection(written, name, await text()) === written) return;
      throw new Error(
        `docs/${file} is out of date. Bring it up to date with: bun docs/generate.ts`,
      );
    },
  );

  test("has every setting once", async () => {
    const text = await read("docs/settings.md");
    const items = [...text.matchAll(/^- `([A-Z_]+)`/gm)].map(([, variable]) => variable);
    expect(items).toEqual(settings.map(({ variable }) => variable));
  });

  test("is all that changes between the markers", () => {
    const before = "a\n<!-- x:begin -->\nold\n<!-- x:end -->\nz";
    const after = "a\n<!-- x:begin -->\n\nnew\n\n<!-- x:end -->\nz";
    expect(withSection(before, "x", "new")).toBe(after);
    expect(withSection(after, "x", "new")).toBe(after);
    for (const text of ["", "<!-- x:begin -->", "<!-- x:end --><!-- x:begin -->"]) {
      expect(withSection(text, "x", "new")).toBeUndefined();
    }
  });
});

test("the README's settings have the defaults that it says", async () => {
  const rows = [...(await read("README.md")).matchAll(/^\| (`[A-Z].*?`) \| (?:`(.*?)` )?\|/gm)];
  expect(rows.length).toBeGreaterThan(10);
  for (const [, names = "", byDefault = ""] of rows) {
    for (const name of names.split(", ")) {
      const setting = settings.find(({ variable }) => name === `\`${variable}\``);
      expect([name, setting?.default]).toEqual([name, byDefault]);
    }
  }
});

describe("docs/protocol.md", () => {
  test("names every problem with its status", async () => {
    const rows = [
      ...(await read("docs/protocol.md")).matchAll(/^\| (\d{3}) \| (`[a-z_`, ]+`) \|/gm),
    ];
    const found = rows.flatMap(([, status, codes = ""]) =>
      codes.split(", ").map((code) => `${status} ${code.slice(1, -1)}`),
    );
    expect(found).toEqual(problemCodes.map((code) => `${statusOf(code)} ${code}`));
  });

  test("names every frame type and every fault of a frame", async () => {
    const text = await read("docs/protocol.md");
    for (const type of [...Object.keys(clientFrames), ...Object.keys(serverFrames)]) {
      expect(text).toMatch(new RegExp(`^\\|.*[\`"]${type}[ \`"]`, "m"));
    }
    for (const code of serverFrames.error.fields.code.options) {
      expect(text).toMatch(new RegExp(`^\\|.*\`${code}\``, "m"));
    }
  });

  test("has the code, the text and the advice of every close", async () => {
    const text = await read("docs/protocol.md");
    for (const reason of Object.keys(closes) as (keyof typeof closes)[]) {
      const { code, retry } = closes[reason];
      const rows = text.match(
        new RegExp(`^\\| ${code} \\| \`${closeText(reason, "A")}\` \\|.*`, "gm"),
      );
      expect(rows).toEqual([expect.stringMatching(new RegExp(`\\| ${retry}\\b`))]);
    }
  });
});

test("no file has the marks of an unresolved merge", async () => {
  const names = (await readdir(project)).filter(
    (name) => !/^(?:\.git|node_modules|dist)$/.test(name),
  );
  const marked: string[] = [];
  for (const pattern of names.flatMap((name) => [name, `${name}/**`])) {
    for await (const file of new Bun.Glob(pattern).scan({ cwd: project, dot: true })) {
      if (/^(?:<{7}|={7}|>{7}|\|{7})(?: |\r?$)/m.test(await read(file))) marked.push(file);
    }
  }
  expect(marked).toEqual([]);
});

test("every file that the map names is there", async () => {
  const files = ["src", "test/sim"].flatMap((folder) => [
    ...new Bun.Glob(`${folder}/**/*.{ts,lua}`).scanSync(project),
  ]);
  const named = [...(await read("src/README.md")).matchAll(/`(?:\w+\/)*[\w-]+\.(?:ts|lua)`/g)];
  const missing = named
    .map(([name]) => name.slice(1, -1))
    .filter((name) => !files.some((file) => file.endsWith(`/${name}`)))
    .filter((name) => !/^(test|docs)\//.test(name));
  expect(missing).toEqual([]);
});

test.each(documents)("every link in %s leads somewhere", async (document) => {
  const dead: string[] = [];
  for (const [, link = ""] of (await read(document)).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
    const [path = "", anchor] = link.split("#");
    const target = path === "" ? document : join(dirname(document), path);
    const isThere = (await Bun.file(join(project, target)).exists()) || (await isFolder(target));
    const hasAnchor = anchor === undefined || (await anchorsOf(target)).includes(anchor);
    if (!isThere || !hasAnchor) dead.push(link);
  }
  expect(dead).toEqual([]);
});

function isFolder(path: string): Promise<boolean> {
  return readdir(join(project, path)).then(
    () => true,
    () => false,
  );
}

/** As GitHub makes them of headings. */
async function anchorsOf(document: string): Promise<string[]> {
  const headings = [...(await read(document)).matchAll(/^#+ (.*)$/gm)];
  return headings.map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, "")
      .replaceAll(" ", "-"),
  );
}
