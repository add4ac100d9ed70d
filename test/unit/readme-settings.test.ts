import { expect, test } from "bun:test";
import { readmePath, readmeSections, withSection } from "../../docs/section.ts";

test.each(Object.entries(readmeSections))(
  "the README's section on %s says what the code does",
  async (name, section) => {
    const readme = await Bun.file(readmePath).text();
    if (withSection(readme, name, section()) === readme) return;
    throw new Error(
      `README.md is out of date between <!-- ${name}:begin --> and <!-- ${name}:end -->. ` +
        "Bring it up to date with: bun docs/generate.ts",
    );
  },
);

test("only the text between the markers is replaced", () => {
  const before = "a\n<!-- x:begin -->\nold\n<!-- x:end -->\nz";
  const after = "a\n<!-- x:begin -->\n\nnew\n\n<!-- x:end -->\nz";
  expect(withSection(before, "x", "new")).toBe(after);
  expect(withSection(after, "x", "new")).toBe(after);
});

test("text without both markers is left alone", () => {
  for (const text of ["", "<!-- x:begin -->", "<!-- x:end --><!-- x:begin -->"]) {
    expect(withSection(text, "x", "new")).toBeUndefined();
  }
});
