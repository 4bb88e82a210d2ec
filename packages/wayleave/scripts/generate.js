// Writes src/generated from spec/errors.toml and spec/openapi.json. With `--check` nothing is written: it fails if the
// files are not what they would be.

import { readFileSync, writeFileSync } from "node:fs";

const HEAD = "// Made by `npm run generate` from spec/; not to be changed by hand.\n\n";
const here = (path) => new URL(path, import.meta.url);
const read = (path) => readFileSync(here(path), "utf8");

/** The entries of errors.toml, whose values are strings and numbers on one line each, as in JSON. */
function errors(text) {
  const [, ...blocks] = text.split(/^\[\[error\]\]$/m);
  return blocks.map((block) => {
    const lines = block.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    const entry = Object.fromEntries(lines.map((line) => /^(\w+) = (.*)$/.exec(line).slice(1)));
    return Object.fromEntries(Object.entries(entry).map(([key, value]) => [key, JSON.parse(value)]));
  });
}

function errorsFile(entries) {
  const codes = entries.map(({ code, doc }) => `  /** ${doc} */\n  | ${JSON.stringify(code)}`);
  const rows = entries.map(({ code, status, message }) => `  ${code}: [${status}, ${JSON.stringify(message)}],`);
  return [
    "/** What the server calls a refusal. Names are frozen; new ones may come. */",
    `export type ErrorCode =\n${codes.join("\n")};`,
    "",
    "/** The status and the sentence for people that belong to each code. */",
    "export const ERRORS: Readonly<Record<ErrorCode, readonly [status: number, message: string]>> = {",
    ...rows,
    "};",
    "",
  ].join("\n");
}

const comment = (text, indent) =>
  text === undefined
    ? ""
    : text.includes("\n")
      ? `${indent}/**\n${text
          .split("\n")
          .map((line) => `${indent} * ${line}`.trimEnd())
          .join("\n")}\n${indent} */\n`
      : `${indent}/** ${text} */\n`;

/** A schema as a type. What is not in the document (formats, lengths) is not in the type either. */
function type(schema, indent) {
  if (schema.$ref) return schema.$ref.replace("#/components/schemas/", "");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.oneOf) return schema.oneOf.map((one) => type(one, indent)).join(" | ");
  if (schema.allOf) return schema.allOf.map((one) => type(one, indent)).join(" & ");
  if (Array.isArray(schema.type)) {
    return schema.type.map((one) => type({ ...schema, type: one }, indent)).join(" | ");
  }
  switch (schema.type) {
    case "string":
    case "boolean":
    case "null":
      return schema.type;
    case "integer":
    case "number":
      return "number";
    case "array":
      return `readonly (${type(schema.items, indent)})[]`.replace(/^readonly \((\w+)\)\[\]$/, "readonly $1[]");
    case "object":
      return object(schema, indent);
    case undefined:
      return "unknown";
    default:
      throw new Error(`a schema that this script does not know: ${JSON.stringify(schema)}`);
  }
}

function object({ properties, required = [], additionalProperties }, indent) {
  if (!properties) {
    const values = typeof additionalProperties === "object" ? type(additionalProperties, indent) : "unknown";
    return `Readonly<Record<string, ${values}>>`;
  }
  const inner = `${indent}  `;
  const fields = Object.entries(properties).map(([name, schema]) => {
    const mark = required.includes(name) ? "" : "?";
    return `${comment(schema.description, inner)}${inner}readonly ${name}${mark}: ${type(schema, inner)};\n`;
  });
  return `{\n${fields.join("")}${indent}}`;
}

/** The schemas that operations mention, and those that these mention. */
function reachable(operations, schemas) {
  const found = new Set();
  const waiting = [operations];
  while (waiting.length > 0) {
    const text = JSON.stringify(waiting.pop());
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
      if (!found.has(name)) waiting.push(schemas[name]);
      found.add(name);
    }
  }
  return found;
}

/** What a person's client sends and gets: not what administrators do. */
function apiFile({ paths, components: { schemas } }) {
  const operations = Object.entries(paths).filter(
    ([path]) => path.startsWith("/api/") && !path.startsWith("/api/admin/"),
  );
  // Envelopes are unpacked before anybody sees them, and what is in them is spelt out there.
  const inside = Object.keys(schemas)
    .filter((name) => JSON.stringify(operations).includes(`/Envelope_${name}"`))
    .map((name) => ({ $ref: `#/components/schemas/${name}` }));
  const wanted = reachable([operations, inside], schemas);
  return Object.entries(schemas)
    .filter(([name]) => wanted.has(name) && !name.startsWith("Envelope_"))
    .map(([name, schema]) => `${comment(schema.description, "")}export type ${name} = ${type(schema, "")};\n`)
    .join("\n");
}

const spec = "../../../spec/";
const files = {
  "../src/generated/errors.ts": HEAD + errorsFile(errors(read(`${spec}errors.toml`))),
  "../src/generated/api.ts": HEAD + apiFile(JSON.parse(read(`${spec}openapi.json`))),
};
for (const [path, text] of Object.entries(files)) {
  if (!process.argv.includes("--check")) {
    writeFileSync(here(path), text);
  } else if (read(path) !== text) {
    console.error(`error: ${path.slice(3)} is not what spec/ says; run \`npm run generate\``);
    process.exitCode = 1;
  }
}
