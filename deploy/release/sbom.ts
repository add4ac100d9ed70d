import { readdir } from "node:fs/promises";
import { join } from "node:path";

/** One package of bun.lock: what it resolved to, its own needs, and its integrity. */
type LockedPackage = readonly [
  id: string,
  registry: string,
  needs: { readonly dependencies?: Readonly<Record<string, string>> },
  integrity: string,
];

export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  /** As bun.lock has it: `sha512-` and base64. */
  readonly integrity: string;
  /** Names of the packages that it needs itself. */
  readonly needs: readonly string[];
}

export interface ReleaseFile {
  readonly name: string;
  /** Hexadecimal. */
  readonly sha256: string;
  readonly version: string;
  readonly bunVersion: string;
}

/**
 * The npm packages inside the executable: those that sources import, and whatever they need. Not
 * package.json's word but the sources', since the page's packages are development dependencies.
 */
export async function bundledPackages(project: string): Promise<readonly BundledPackage[]> {
  const lock = Bun.JSONC.parse(await Bun.file(join(project, "bun.lock")).text()) as {
    readonly packages: Readonly<Record<string, LockedPackage>>;
  };
  const found = new Map<string, BundledPackage>();
  const open = await importedPackages(join(project, "src"));
  for (const name of open) {
    if (found.has(name)) continue;
    const locked = lock.packages[name];
    if (locked === undefined) throw new Error(`${name} is imported, but not in bun.lock`);
    const [id, , { dependencies = {} }, integrity] = locked;
    const manifest = await Bun.file(join(project, "node_modules", name, "package.json")).json();
    const version = id.slice(name.length + 1);
    if (manifest.version !== version) {
      throw new Error(`${name} is installed as ${manifest.version}, but locked at ${version}`);
    }
    const needs = Object.keys(dependencies);
    found.set(name, { name, version, license: manifest.license, integrity, needs });
    open.push(...needs);
  }
  return [...found.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

async function importedPackages(sources: string): Promise<string[]> {
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  const names = new Set<string>();
  for (const file of await readdir(sources, { recursive: true })) {
    if (!file.endsWith(".ts")) continue;
    for (const { path } of transpiler.scanImports(await Bun.file(join(sources, file)).text())) {
      const name = /^(?!node:|bun$|bun:)((?:@[^/]+\/)?[^./@][^/]*)/.exec(path)?.[1];
      if (name !== undefined) names.add(name);
    }
  }
  return [...names];
}

/** A CycloneDX 1.6 document on one file of a release. The same input gives the same bytes. */
export function sbom(file: ReleaseFile, packages: readonly BundledPackage[]): string {
  const refs = new Map(packages.map((one) => [one.name, purl(one)]));
  const bunRef = `pkg:github/oven-sh/bun@bun-v${file.bunVersion}`;
  const document = {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    serialNumber: `urn:uuid:${uuidOf(file.sha256)}`,
    version: 1,
    metadata: {
      component: {
        type: "application",
        "bom-ref": file.name,
        name: "nt-signal",
        version: file.version,
        hashes: [{ alg: "SHA-256", content: file.sha256 }],
        licenses: [{ license: { id: "Apache-2.0" } }],
        properties: [{ name: "nt-signal:file", value: file.name }],
      },
    },
    components: [
      {
        type: "platform",
        "bom-ref": bunRef,
        name: "bun",
        version: file.bunVersion,
        description: "The runtime that is part of the executable",
        licenses: [{ license: { id: "MIT" } }],
        purl: bunRef,
      },
      ...packages.map((one) => ({
        type: "library",
        "bom-ref": purl(one),
        name: one.name,
        version: one.version,
        hashes: [{ alg: "SHA-512", content: sha512Of(one.integrity) }],
        licenses: [{ license: { id: one.license } }],
        purl: purl(one),
      })),
    ],
    dependencies: [
      { ref: file.name, dependsOn: [bunRef, ...rootsOf(packages).map(purl)] },
      { ref: bunRef, dependsOn: [] },
      ...packages.map((one) => ({
        ref: purl(one),
        dependsOn: one.needs.map((need) => refs.get(need) as string),
      })),
    ],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

/** Those that no other package brought along. */
function rootsOf(packages: readonly BundledPackage[]): readonly BundledPackage[] {
  const needed = new Set(packages.flatMap(({ needs }) => needs));
  return packages.filter(({ name }) => !needed.has(name));
}

/** Package URL, type npm: the scope's @ is percent-encoded. */
function purl({ name, version }: BundledPackage): string {
  return `pkg:npm/${name.replace("@", "%40")}@${version}`;
}

function sha512Of(integrity: string): string {
  return Buffer.from(integrity.replace(/^sha512-/, ""), "base64").toString("hex");
}

/** A version 8 UUID (RFC 9562 section 5.8) made of a hash. */
function uuidOf(hex: string): string {
  const parts = [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`];
  return [...parts, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join("-");
}
