// An open vault, over a server that keeps what it is given, and over one that lies.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createSession, type Session } from "wayleave";
import { openVault } from "wayleave/opaque";

import { answering, bad, good, type Asked } from "./answers.js";

const exportKey = Uint8Array.from({ length: 64 }, (_, index) => index);
const bytes = (text: string) => new TextEncoder().encode(text);
const refused = (code: string) => ({ name: "WayleaveError", code });

interface Kept {
  body: Uint8Array<ArrayBuffer>;
  etag: string;
}

/** A server with one account, what it keeps by path, and a session with it. */
function keeping(): { session: () => Session; fetch: typeof fetch; kept: Map<string, Kept>; asked: Asked[] } {
  const kept = new Map<string, Kept>();
  let versions = 0;
  const conditionally = ({ path, headers }: Asked, body: Uint8Array | undefined) => {
    const current = kept.get(path)?.etag;
    const fits = headers.get("if-none-match") === "*" ? current === undefined : headers.get("if-match") === current;
    if (!fits) return bad(412, "precondition_failed");
    const etag = `"${(versions += 1)}"`;
    if (body) kept.set(path, { body: new Uint8Array(body), etag });
    else kept.delete(path);
    return Response.json({ success: true, data: {} }, { headers: { etag } });
  };
  const blob = (asked: Asked) => {
    const { body, etag } = kept.get(asked.path) ?? {};
    return etag === undefined ? bad(404, "not_found") : new Response(body!, { headers: { etag } });
  };
  const { fetch, asked } = answering({
    "GET /api/auth/user": () => good({ id: "user_1" }),
    "GET /api/vault/key": ({ path }) => {
      const { body, etag } = kept.get(path) ?? {};
      if (etag === undefined) return bad(404, "not_found");
      const key = Buffer.from(body!).toString("base64url");
      return Response.json({ success: true, data: { key } }, { headers: { etag } });
    },
    "PUT /api/vault/key": (asked) => conditionally(asked, Buffer.from(asked.json!["key"]!, "base64url")),
    "POST /api/vault/lock": () => good({ locked: 1 }),
    "GET /api/vault/blobs": () =>
      good({
        items: [{ name: "a", etag: '"1"', size: 34, changed_at: "2026-01-01T00:00:00Z" }],
        next: "a",
        bytes: 34,
        quota: 99,
      }),
    ...Object.fromEntries(
      ["note", "a%2Fb%3F"].flatMap((name) => [
        [`GET /api/vault/blobs/${name}`, blob],
        [`PUT /api/vault/blobs/${name}`, (asked: Asked) => conditionally(asked, asked.bytes)],
        [`DELETE /api/vault/blobs/${name}`, (asked: Asked) => conditionally(asked, undefined)],
      ]),
    ),
  });
  const session = () => createSession({ baseUrl: "https://auth.example.org", carrier: "bearer", fetch });
  return { session, fetch, kept, asked };
}

test("what was written is read again, by whoever has the export key", async () => {
  const { session, kept } = keeping();
  const vault = await openVault(session(), exportKey);
  assert.equal(await vault.read("note"), undefined);
  const etag = await vault.write("note", bytes("milk"));
  const again = await openVault(session(), exportKey);
  assert.deepEqual(await again.read("note"), { content: bytes("milk"), etag });
  assert(!Buffer.from(kept.get("/api/vault/blobs/note")!.body).includes("milk"));
  await assert.rejects(openVault(session(), exportKey.slice().reverse()), refused("undecipherable"));
  await vault.remove("note", etag);
  assert.equal(await again.read("note"), undefined);
});

test("no write is lost", async () => {
  const { session } = keeping();
  const [one, other] = [await openVault(session(), exportKey), await openVault(session(), exportKey)];
  const first = await one.write("note", bytes("one"));
  await assert.rejects(other.write("note", bytes("other")), refused("precondition_failed"));
  const second = await one.write("note", bytes("two"), first);
  await assert.rejects(other.write("note", bytes("other"), first), refused("precondition_failed"));
  await assert.rejects(other.remove("note", first), refused("precondition_failed"));
  assert.deepEqual(await other.read("note"), { content: bytes("two"), etag: second });
});

test("of two tabs that make the vault key at once, both have the same one", async () => {
  const { session, kept, asked } = keeping();
  const [one, other] = await Promise.all([openVault(session(), exportKey), openVault(session(), exportKey)]);
  const puts = asked.filter(({ method }) => method === "PUT");
  assert.deepEqual(
    puts.map(({ headers }) => headers.get("if-none-match")),
    ["*", "*"],
  );
  assert.equal(kept.size, 1);
  await one.write("note", bytes("from one"));
  assert.deepEqual((await other.read("note"))?.content, bytes("from one"));
});

test("a vault key whose making was not answered is the one in force", async () => {
  const { session, kept, fetch, asked } = keeping();
  const losing: typeof globalThis.fetch = async (input, init) => {
    const answer = await fetch(input, init);
    if (init?.method === "PUT" && kept.size === 1) throw new TypeError("fetch failed");
    return answer;
  };
  const vault = await openVault(
    createSession({ baseUrl: "https://auth.example.org", carrier: "bearer", fetch: losing }),
    exportKey,
  );
  assert.equal(asked.filter(({ method }) => method === "PUT").length, 1);
  await (await openVault(session(), exportKey)).write("note", bytes("milk"));
  assert.deepEqual((await vault.read("note"))?.content, bytes("milk"));
});

test("a vault that is locked has no keys, and asks nobody", async () => {
  const { session, asked } = keeping();
  const vault = await openVault(session(), exportKey);
  const etag = await vault.write("note", bytes("milk"));
  await vault.lock();
  assert.equal(asked.at(-1)!.path, "/api/vault/lock");
  const before = asked.length;
  const calls = [vault.read("note"), vault.write("note", bytes("a"), etag), vault.list(), vault.remove("note", etag)];
  for (const call of [...calls, vault.rewrap(exportKey)]) await assert.rejects(call, refused("vault_locked"));
  assert.equal(asked.length, before);
});

test("a vault that is wrapped anew opens with the new export key alone", async () => {
  const { session, kept } = keeping();
  const vault = await openVault(session(), exportKey);
  await vault.write("note", bytes("milk"));
  const newExportKey = exportKey.slice().reverse();
  const { key, replaces } = await vault.rewrap(newExportKey);
  assert.equal(`"${replaces}"`, kept.get("/api/vault/key")!.etag);
  kept.set("/api/vault/key", { body: new Uint8Array(key), etag: '"new"' });
  const again = await openVault(session(), newExportKey);
  assert.deepEqual((await again.read("note"))?.content, bytes("milk"));
  await assert.rejects(openVault(session(), exportKey), refused("undecipherable"));
});

test("a server that gives one blob for another is found out", async () => {
  const { session, kept } = keeping();
  const vault = await openVault(session(), exportKey);
  await vault.write("a/b?", bytes("milk"));
  assert.deepEqual((await vault.read("a/b?"))?.content, bytes("milk"));
  kept.set("/api/vault/blobs/note", kept.get("/api/vault/blobs/a%2Fb%3F")!);
  await assert.rejects(vault.read("note"), refused("undecipherable"));
});

test("the list is the server's", async () => {
  const { session, asked } = keeping();
  const vault = await openVault(session(), exportKey);
  const page = await vault.list("0&1");
  assert.equal(asked.at(-1)!.query, "?after=0%261");
  assert.deepEqual(page, {
    items: [{ name: "a", etag: '"1"', size: 34, changedAt: "2026-01-01T00:00:00Z" }],
    next: "a",
  });
});

test("without a session, or one that may have the vault, nothing is made", async () => {
  const answers: [() => Response, string][] = [
    [() => bad(401, "session_required"), "session_required"],
    [() => good({ id: "user_1" }), "vault_required"],
  ];
  for (const [user, code] of answers) {
    const { fetch, asked } = answering({
      "GET /api/auth/user": user,
      "GET /api/vault/key": () => bad(403, "vault_required"),
    });
    const session = createSession({ baseUrl: "https://auth.example.org", carrier: "bearer", fetch });
    await assert.rejects(openVault(session, exportKey), refused(code));
    assert(!asked.some(({ method }) => method === "PUT"));
  }
});
