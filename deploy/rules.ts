import { join, relative } from "node:path";
import { plugin } from "bun";
import ts from "typescript-6";

// Compiles the rules of a room and of codes (src/engine/rules) to the Lua that runs inside of Redis:
// npm run rules. What it writes is committed, so that neither a start nor a build needs a compiler.

const root = join(import.meta.dir, "..");
const entry = join(root, "src/engine/redis/inside/inside.ts");
const output = join(root, "src/engine/redis/rules.generated.lua");
const usedByRules = ["src/base/account.ts"];

/** The rules as Lua. Throws for what does not compile, naming file and line. */
export async function compiledRules(): Promise<string> {
  // The compiler to Lua asks for TypeScript 6; the project itself is checked by another version.
  const setup = (build: Bun.PluginBuilder) =>
    void build.module("typescript", () => ({ exports: { default: ts, ...ts }, loader: "object" }));
  plugin({ name: "typescript-6", setup });
  const tstl = await import("typescript-to-lua");
  const program = ts.createProgram([entry], {
    target: ts.ScriptTarget.ESNext,
    lib: ["lib.esnext.d.ts"],
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    types: [],
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: true,
    allowImportingTsExtensions: true,
    rewriteRelativeImportExtensions: true,
    rootDir: root,
    ...{ luaTarget: tstl.LuaTarget.Lua51, luaLibImport: tstl.LuaLibImportKind.RequireMinimal },
    ...{ luaBundle: "rules.lua", luaBundleEntry: entry, noHeader: true, noImplicitSelf: true },
    // library.lua has what stands for these.
    noResolvePaths: ["./text.ts", "./lua.ts", "./text", "./lua"],
  });
  const sourceFiles = program.getSourceFiles().filter(({ fileName }) => isCompiled(fileName));
  let text = "";
  const { diagnostics } = new tstl.Transpiler().emit({
    program,
    sourceFiles,
    writeFile: (_: string, written: string) => {
      text = written;
    },
  });
  const found = [
    ...diagnostics,
    ...sourceFiles.flatMap((file) => program.getSemanticDiagnostics(file)),
  ];
  if (found.length > 0) throw new Error(found.map(described).join("\n"));
  return text;
}

/** What the rules use at run time. Of other files they take types only. */
function isCompiled(path: string): boolean {
  const file = relative(root, path);
  if (file.endsWith("/rules/text.ts") || file.endsWith("/inside/lua.ts")) return false;
  return /^src\/engine\/(rules|redis\/inside)\//.test(file) || usedByRules.includes(file);
}

function described({ file, start, messageText }: ts.Diagnostic): string {
  const text = ts.flattenDiagnosticMessageText(messageText, "\n");
  if (file === undefined || start === undefined) return text;
  const { line } = file.getLineAndCharacterOfPosition(start);
  return `${relative(root, file.fileName)}:${line + 1} ${text}`;
}

if (import.meta.main) await Bun.write(output, await compiledRules());
