// The README's TypeScript compiles.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** What the README takes for granted. */
const GIVEN = `
import type { Session } from "wayleave";
import type { Vault } from "wayleave/opaque";
declare const password: string;
declare const session: Session;
declare const vault: Vault;
`;

/** An import as it may stand inside a function. */
const awaited = (line: string) => line.replace("import {", "const {").replace(/ from (".*");/, " = await import($1);");

test("the snippets of the README compile", () => {
  const blocks = [...readFileSync(at("../README.md"), "utf8").matchAll(/^```ts\n(.*?)^```$/gms)].map(
    ([, code]) => code!,
  );
  assert(blocks.length >= 5);
  const isImport = (line: string) => line.startsWith("import ");
  const snippets = blocks.map((block, index) => {
    const lines = block.split("\n");
    const imported = lines.filter(isImport).map(awaited);
    const rest = lines.filter((line) => !isImport(line));
    const body = [...imported, ...rest].join("\n");
    return `async function snippet${index}(): Promise<void> {\n${body}}\nvoid snippet${index};\n`;
  });
  mkdirSync(at("readme"), { recursive: true });
  writeFileSync(at("readme/snippets.ts"), GIVEN + snippets.join("\n"));
  const extended = {
    extends: "../../tsconfig.json",
    include: ["."],
    compilerOptions: { noEmit: true, rootDir: ".", noUnusedLocals: false },
  };
  writeFileSync(at("readme/tsconfig.json"), JSON.stringify(extended));
  const { status, stdout } = spawnSync("npx", ["tsc", "-p", at("readme")], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});
