import { expect, test } from "bun:test";
import { join, relative } from "node:path";
import ts from "typescript-6";

// The rules run natively and, compiled to Lua 5.1, inside of Redis. Here is what the compiler takes without
// a word, though Lua does something else with it.

const root = join(import.meta.dir, "../..");
const options: ts.CompilerOptions = {
  target: ts.ScriptTarget.ESNext,
  lib: ["lib.esnext.d.ts"],
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  types: [],
  strict: true,
  noUncheckedIndexedAccess: true,
  allowImportingTsExtensions: true,
  noEmit: true,
};

/** Files as they are, but for those given here. Each is parsed once. */
const parsed = new Map<string, ts.SourceFile | undefined>();
function hostWith(sources: Readonly<Record<string, string>>): ts.CompilerHost {
  const host = ts.createCompilerHost(options);
  const fromDisk = host.getSourceFile.bind(host);
  host.getSourceFile = (name, ...rest) => {
    const source = sources[name];
    if (source !== undefined) {
      return ts.createSourceFile(name, source, ts.ScriptTarget.ESNext, true);
    }
    if (!parsed.has(name)) parsed.set(name, fromDisk(name, ...rest));
    return parsed.get(name);
  };
  return host;
}

/** Everything in these files that Lua would take otherwise, as "file:line what". */
function unfaithful(
  paths: readonly string[],
  sources: Readonly<Record<string, string>> = {},
): readonly string[] {
  const program = ts.createProgram([...paths], options, hostWith(sources));
  const checker = program.getTypeChecker();
  return paths.flatMap((path) => {
    const file = program.getSourceFile(path);
    if (file === undefined) throw new Error(`No file ${path}`);
    const found: string[] = [];
    const visit = (node: ts.Node): void => {
      const fault = faultOf(node, checker);
      const line = file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1;
      if (fault !== undefined) found.push(`${relative(root, path)}:${line} ${fault}`);
      ts.forEachChild(node, visit);
    };
    visit(file);
    return found;
  });
}

function faultOf(node: ts.Node, checker: ts.TypeChecker): string | undefined {
  if (ts.isRegularExpressionLiteral(node)) return "a regular expression: Lua has none";
  if (ts.isTemplateExpression(node)) return templateFault(node, checker);
  if (ts.isOmittedExpression(node)) return "a hole in a list: Lua's lists end there";
  if (ts.isAwaitExpression(node)) return "await: a turn is one step";
  if (ts.isPropertyAccessExpression(node)) return textFault(node, checker);
  if (ts.isObjectLiteralExpression(node)) return spreadFault(node);
  const condition = conditionOf(node);
  if (condition && !isSafeCondition(checker.getTypeAtLocation(condition))) {
    return `${condition.getText()} as a condition: 0 and "" are true in Lua`;
  }
  return undefined;
}

function templateFault(
  { templateSpans }: ts.TemplateExpression,
  checker: ts.TypeChecker,
): string | undefined {
  const isText = templateSpans.every(({ expression }) => {
    const type = checker.getTypeAtLocation(expression);
    return isKind(type, ts.TypeFlags.StringLike) && !isKind(type, ts.TypeFlags.NumberLike);
  });
  return isText ? undefined : "a number in a text: Lua writes 14 digits of it";
}

/** Texts are bytes in Lua: what counts or cuts them stands in text.ts. */
function textFault(
  { expression, name }: ts.PropertyAccessExpression,
  checker: ts.TypeChecker,
): string | undefined {
  const type = checker.getTypeAtLocation(expression);
  if (expression.getText() === "Object" && name.text === "assign") {
    return "Object.assign: undefined does not go over a key in Lua";
  }
  const runsInRedisOnly = name.getSourceFile().fileName.includes("/redis/inside/");
  if (runsInRedisOnly || !isKind(type, ts.TypeFlags.StringLike)) return undefined;
  return `.${name.text} of a text: Lua counts bytes`;
}

/** What is spread may hold undefined, which does not go over a key in Lua: it comes before all keys. */
function spreadFault({ properties }: ts.ObjectLiteralExpression): string | undefined {
  const named = properties.findIndex((property) => !ts.isSpreadAssignment(property));
  const isLate = properties.some(
    (property, index) =>
      ts.isSpreadAssignment(property) &&
      named >= 0 &&
      index > named &&
      !ts.isObjectLiteralExpression(property.expression),
  );
  return isLate ? "a spread behind a key: undefined does not go over it in Lua" : undefined;
}

function conditionOf(node: ts.Node): ts.Expression | undefined {
  if (ts.isIfStatement(node) || ts.isWhileStatement(node)) return node.expression;
  if (ts.isConditionalExpression(node) || ts.isForStatement(node)) return node.condition;
  if (ts.isPrefixUnaryExpression(node) && node.operator === ts.SyntaxKind.ExclamationToken) {
    return node.operand;
  }
  if (!ts.isBinaryExpression(node)) return undefined;
  const { kind } = node.operatorToken;
  const isLogical =
    kind === ts.SyntaxKind.AmpersandAmpersandToken || kind === ts.SyntaxKind.BarBarToken;
  return isLogical ? node.left : undefined;
}

/** Neither a number nor a text can come to it, nor null, which is a true value there. */
function isSafeCondition(type: ts.Type): boolean {
  const unsafe = ts.TypeFlags.StringLike | ts.TypeFlags.NumberLike | ts.TypeFlags.Null;
  return !isKind(type, unsafe | ts.TypeFlags.Unknown | ts.TypeFlags.Any);
}

function isKind(type: ts.Type, flags: ts.TypeFlags): boolean {
  const parts = type.isUnion() ? type.types : [type];
  return parts.some((part) =>
    part.isIntersection()
      ? part.types.some((one) => (one.flags & flags) !== 0)
      : (part.flags & flags) !== 0,
  );
}

test("the rules hold nothing that Lua takes otherwise", async () => {
  const glob = new Bun.Glob("src/engine/**/*.ts");
  const paths = (await Array.fromAsync(glob.scan({ cwd: root }))).filter(
    // The two that are left out have a twin in library.lua.
    (path) =>
      /engine\/(rules|redis\/inside)\//.test(path) && !/(rules\/text|inside\/lua)\.ts$/.test(path),
  );
  expect(paths.length).toBeGreaterThan(7);
  expect(unfaithful(paths.map((path) => join(root, path)))).toEqual([]);
}, 60_000);

test.each([
  ["const a = (text: string) => text.length;", "Lua counts bytes"],
  ["const a = (text: string) => text.slice(1);", "Lua counts bytes"],
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the source that is looked at.
  ["const a = (n: number) => `${n}`;", "14 digits"],
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the source that is looked at.
  ["const a = (text: string) => `${text}`;", undefined],
  ["const a = [1, , 2];", "a hole"],
  ["const a = /x/;", "regular expression"],
  ["const a = (n: number) => (n ? 1 : 2);", "as a condition"],
  ["const a = (text: string) => text || 'b';", "as a condition"],
  ["const a = (text: string | undefined) => !text;", "as a condition"],
  ["function a(n: number | null) { while (n) return; }", "as a condition"],
  ["const a = (b: { c?: number | undefined }) => ({ c: 1, ...b });", "behind a key"],
  ["const a = (b: object) => Object.assign({ c: 1 }, b);", "Object.assign"],
  ["const a = (b: { c?: number }) => ({ ...b, c: 1 });", undefined],
  ["const a = (b: number[] | undefined) => (b ? b.length : 0);", undefined],
  ["const a = (n: number | undefined) => n ?? (n === 0 ? 1 : 2);", undefined],
])(
  "%s: %p",
  (source, fault) => {
    const path = join(root, "rule.ts");
    const found = unfaithful([path], { [path]: source });
    expect(found).toEqual(fault === undefined ? [] : [expect.stringContaining(fault)]);
  },
  30_000,
);
