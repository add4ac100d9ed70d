import { existsSync } from "node:fs";

export interface Platform {
  /** Bun's name for it, without `bun-`. */
  readonly name: string;
  /** What its executable's header says. */
  readonly kind: string;
}

export const platforms: readonly Platform[] = [
  { name: "linux-x64", kind: "ELF x86-64 ld-linux-x86-64.so.2" },
  /** For processors without AVX2, before 2013. */
  { name: "linux-x64-baseline", kind: "ELF x86-64 ld-linux-x86-64.so.2" },
  { name: "linux-x64-musl", kind: "ELF x86-64 ld-musl-x86_64.so.1" },
  { name: "linux-arm64", kind: "ELF aarch64 ld-linux-aarch64.so.1" },
  { name: "linux-arm64-musl", kind: "ELF aarch64 ld-musl-aarch64.so.1" },
  { name: "darwin-x64", kind: "Mach-O x86-64" },
  { name: "darwin-arm64", kind: "Mach-O aarch64" },
  { name: "windows-x64", kind: "PE x86-64" },
];

const proxies = ["deploy/nginx.conf", "deploy/Caddyfile", "deploy/haproxy.cfg"];
const systemd = ["deploy/nt-signal.service", "deploy/certbot-hook.sh"];

/** Paths in its archive: the executable, then what lies at the same path in the project. */
export function archived({ name }: Platform): readonly [string, ...string[]] {
  const executable = name.startsWith("windows") ? "nt-signal.exe" : "nt-signal";
  return [executable, "LICENSE", ...proxies, ...(name.startsWith("linux") ? systemd : [])];
}

/** This machine can run it. A musl build needs musl's C++ library beside musl itself. */
export function isAvailable({ name }: Platform): boolean {
  const [system, architecture] = name.split("-");
  if (system !== process.platform.replace("win32", "windows")) return false;
  if (architecture !== process.arch) return false;
  const onMusl = existsSync("/etc/alpine-release");
  return system !== "linux" || name.endsWith("-musl") === onMusl;
}

/** Format, processor and, for ELF, the loader that the executable asks for. */
export async function kindOf(file: string): Promise<string> {
  const head = Buffer.from(await Bun.file(file).slice(0, 4096).arrayBuffer());
  if (head.readUInt32BE(0) === 0x7f454c46) {
    const loader = /ld-[\w-]+\.so\.\d/.exec(head.toString("latin1"))?.[0];
    return `ELF ${processor(head.readUInt16LE(18), { 62: "x86-64", 183: "aarch64" })} ${loader}`;
  }
  if (head.readUInt32LE(0) === 0xfeedfacf) {
    const codes = { [0x01000007]: "x86-64", [0x0100000c]: "aarch64" };
    return `Mach-O ${processor(head.readUInt32LE(4), codes)}`;
  }
  if (head.toString("latin1", 0, 2) === "MZ") {
    const peAt = head.readUInt32LE(60);
    return `PE ${processor(head.readUInt16LE(peAt + 4), { [0x8664]: "x86-64", [0xaa64]: "aarch64" })}`;
  }
  return "of no known format";
}

function processor(code: number, names: Readonly<Record<number, string>>): string {
  return names[code] ?? `processor 0x${code.toString(16)}`;
}
