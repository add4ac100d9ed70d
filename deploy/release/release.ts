/**
 * Builds a release into dist/release: for each platform an archive with the executable (114 MB, 55
 * compressed), the license and the files that docs/deployment.md installs; its software bill of
 * materials (CycloneDX); and SHA256SUMS over all. Each executable is checked for the platform in its
 * header and, if this machine can run it, unpacked from its archive and tried as users would.
 *
 *     bun deploy/release/release.ts                # all platforms
 *     bun deploy/release/release.ts linux-x64      # only these
 */
import { chmod, cp, mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { run } from "../run.ts";
import { archived, isAvailable, kindOf, type Platform, platforms } from "./platforms.ts";
import { type BundledPackage, bundledPackages, sbom } from "./sbom.ts";

const project = join(import.meta.dir, "../..");
const out = join(project, "dist/release");
const manifest = await Bun.file(join(project, "package.json")).json();
const wanted = chosen(process.argv.slice(2));
const packages = await bundledPackages(project);

/** The time that npm gives the files in its packages: 1985-10-26T08:15:00Z, in seconds. */
const npmEpoch = 499_162_500;

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
const sums: string[] = [];
for (const platform of wanted) {
  const startedAt = performance.now();
  const name = `nt-signal-${platform.name}`;
  const archive = `${name}.tar.gz`;
  const folder = join(out, name);
  const file = join(folder, archived(platform)[0]);
  await mkdir(folder);
  await build(platform, file);
  const kind = await kindOf(file);
  if (kind !== platform.kind) throw new Error(`${name} is ${kind}, not ${platform.kind}`);
  const sha256 = await sha256Of(file);
  const bill = sbom(
    { name, sha256, version: manifest.version, bunVersion: manifest.engines.bun },
    packages,
  );
  await Bun.write(join(out, `${name}.cdx.json`), bill);
  await pack(platform, folder, archive);
  for (const released of [archive, `${name}.cdx.json`]) {
    sums.push(`${await sha256Of(join(out, released))}  ${released}`);
  }
  const ran = isAvailable(platform) ? await probe(archive, file) : "not run: needs another machine";
  await rm(folder, { recursive: true });
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
  const megabytes = (Bun.file(join(out, archive)).size / 1_000_000).toFixed(1);
  process.stdout.write(`${archive}: ${megabytes} MB, ${kind}, ${ran}, ${seconds} s\n`);
}
await Bun.write(join(out, "SHA256SUMS"), `${sums.join("\n")}\n`);
process.stdout.write(`${packages.length} packages inside: ${packages.map(called).join(" ")}\n`);

function chosen(names: readonly string[]): readonly Platform[] {
  for (const name of names) {
    if (platforms.some((platform) => platform.name === name)) continue;
    const known = platforms.map((platform) => platform.name).join(", ");
    throw new Error(`There is no platform ${name}, only ${known}`);
  }
  return names.length === 0 ? platforms : platforms.filter(({ name }) => names.includes(name));
}

async function build(platform: Platform, file: string): Promise<void> {
  const script = join(project, "deploy/build.ts");
  const metafile = `${file}.json`;
  const options = [`--target=bun-${platform.name}`, `--metafile=${metafile}`];
  await run([process.execPath, script, file, ...options]);
  // Everything that was bundled, whichever chunk it is in.
  const { inputs } = (await Bun.file(metafile).json()) as { readonly inputs: object };
  await rm(metafile);
  for (const source of Object.keys(inputs)) {
    const name = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(source)?.[1];
    if (name === undefined || packages.some((one) => one.name === name)) continue;
    throw new Error(`${name} is bundled, but not in the bill of materials`);
  }
  await chmod(file, 0o755);
}

/**
 * Tar keeps the executable's mode, and Windows has tar too. The same input gives the same bytes, on any
 * machine and at any time. The compressor is Bun's, which is pinned.
 */
async function pack(platform: Platform, folder: string, archive: string): Promise<void> {
  const files = archived(platform);
  for (const name of files.slice(1)) await cp(join(project, name), join(folder, name));
  const tar = join(folder, "archive.tar");
  const mtime = `--mtime=@${process.env["SOURCE_DATE_EPOCH"] ?? npmEpoch}`;
  const same = ["--format=ustar", mtime, "--owner=0", "--group=0", "--numeric-owner"];
  await run(["tar", ...same, "--mode=u=rwX,go=rX", "-cf", tar, "-C", folder, ...files]);
  await Bun.write(join(out, archive), Bun.gzipSync(await Bun.file(tar).bytes()));
}

/** Tries what comes out of the archive. */
async function probe(archive: string, file: string): Promise<string> {
  await rm(file);
  await run(["tar", "-xzf", join(out, archive), "-C", dirname(file)]);
  await run([process.execPath, join(import.meta.dir, "probe-binary.ts"), file]);
  return "run";
}

async function sha256Of(file: string): Promise<string> {
  const hasher = new Bun.CryptoHasher("sha256");
  for await (const chunk of Bun.file(file).stream()) hasher.update(chunk);
  return hasher.digest("hex");
}

function called({ name, version }: BundledPackage): string {
  return `${name}@${version}`;
}
