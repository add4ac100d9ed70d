import { expect, test } from "bun:test";
import { join } from "node:path";
import { closes, closeText } from "../../src/protocol/closes.ts";
import { clientFrames, serverFrames } from "../../src/protocol/frames.ts";

const root = join(import.meta.dir, "../..");

/** The rows of every table in the documents for users, as cells. */
async function rowsOfTables(): Promise<readonly (readonly string[])[]> {
  const docs = await Array.fromAsync(new Bun.Glob("docs/*.md").scan({ cwd: root }));
  const paths = ["README.md", ...docs];
  const texts = await Promise.all(paths.map((path) => Bun.file(join(root, path)).text()));
  return texts
    .flatMap((text) => text.split("\n"))
    .filter((line) => line.startsWith("|"))
    .map((line) => line.split("|").slice(1, -1));
}

const rows = await rowsOfTables();
const fault = serverFrames.error.fields.code;

test.each([...Object.keys(clientFrames), ...Object.keys(serverFrames)])(
  "a table for users names the frame %s",
  (type) => {
    const named = new RegExp(`\`(${type}\\b|\\{"type":"${type}")`);
    expect(rows.filter(([frame = ""]) => named.test(frame))).not.toEqual([]);
  },
);

test.each(fault.options)("a table for users names the error %s", (code) => {
  expect(rows.filter((cells) => cells.some((cell) => cell.includes(`\`${code}\``)))).not.toEqual(
    [],
  );
});

test.each(Object.entries(closes))(
  "a table for users names the close for %s, and says whether to come back",
  (reason, { code, retry }) => {
    const text = `\`${closeText(reason as keyof typeof closes, "A")}\``;
    const told = rows.filter(([c = "", t = ""]) => c.includes(`${code}`) && t.includes(text));
    const advice = told.map((cells) => cells.at(-1)?.trim().replace("yes, ", ""));
    expect(advice).toEqual([expect.stringContaining(retry.replace("yes, ", ""))]);
  },
);
