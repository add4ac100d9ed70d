import { readmePath, readmeSections, withSection } from "./section.ts";

// Brings the README's generated sections up to date: bun docs/generate.ts

let text = await Bun.file(readmePath).text();
for (const [name, section] of Object.entries(readmeSections)) {
  const updated = withSection(text, name, section());
  if (updated === undefined) {
    process.stderr.write(
      `README.md has no markers <!-- ${name}:begin --> and <!-- ${name}:end -->\n`,
    );
    process.exit(1);
  }
  text = updated;
}
await Bun.write(readmePath, text);
