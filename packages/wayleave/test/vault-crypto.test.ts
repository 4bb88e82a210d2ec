// The vault's own formats: what opens, and what does not.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { createVaultKey, decryptBlob, encryptBlob, unwrapVaultKey, wrapVaultKey } from "wayleave/opaque";

const exportKey = Uint8Array.from({ length: 64 }, (_, index) => index);
const account = "user_1";
const place = { account, name: "note" };
const content = new TextEncoder().encode("milk, bread, a boat");
/** The file of vectors; bytes in hexadecimal. */
interface Vectors {
  account: string;
  export_key: string;
  vault_key: string;
  wrapped_vault_key: string;
  blobs: { name: string; content: string; blob: string }[];
}

const undecipherable = { name: "WayleaveError", code: "undecipherable" };

test("a blob comes back, whatever its length", async () => {
  const key = await createVaultKey();
  for (const length of [0, 1, 15, 16, 17, 100_000]) {
    const content = new Uint8Array(length).fill(7);
    const blob = await encryptBlob(key, place, content);
    assert.equal(blob.length, length + 33);
    assert.deepEqual(await decryptBlob(key, place, blob), content);
  }
  // From within another buffer, and from memory that threads share.
  const shared = new Uint8Array(new SharedArrayBuffer(content.length));
  shared.set(content);
  assert.deepEqual(await decryptBlob(key, place, await encryptBlob(key, place, shared)), content);
  const within = Buffer.concat([Buffer.from("before"), await encryptBlob(key, place, content)]).subarray(6);
  assert.deepEqual(await decryptBlob(key, place, within), content);
});

test("nothing is encrypted twice alike", async () => {
  const key = await createVaultKey();
  const [one, other] = [await encryptBlob(key, place, content), await encryptBlob(key, place, content)];
  assert.notDeepEqual(one, other);
  assert.notDeepEqual(await wrapVaultKey(exportKey, key, account), await wrapVaultKey(exportKey, key, account));
});

test("every changed bit, every cut and every other place is noticed", async () => {
  const key = await createVaultKey();
  const blob = await encryptBlob(key, place, content);
  const wrapped = await wrapVaultKey(exportKey, key, account);
  for (const [bytes, open] of [
    [blob, (bytes: Uint8Array) => decryptBlob(key, place, bytes)],
    [wrapped, (bytes: Uint8Array) => unwrapVaultKey(exportKey, bytes, account)],
  ] as const) {
    await open(bytes);
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const changed = bytes.slice();
      changed[bit >> 3]! ^= 1 << (bit & 7);
      await assert.rejects(open(changed), undecipherable, `bit ${bit}`);
    }
    for (let length = 0; length < bytes.length; length += 1) {
      await assert.rejects(open(bytes.subarray(0, length)), undecipherable, `length ${length}`);
    }
  }
  for (const other of [
    { account: "user_2", name: "note" },
    { account, name: "nota" },
    { account: "user_1\0", name: "note" },
  ]) {
    await assert.rejects(decryptBlob(key, other, blob), undecipherable);
  }
  // Where account and name meet is not in doubt.
  const ab = await encryptBlob(key, { account: "ab", name: "c" }, content);
  await assert.rejects(decryptBlob(key, { account: "a", name: "bc" }, ab), undecipherable);
  await assert.rejects(decryptBlob(await createVaultKey(), place, blob), undecipherable);
  await assert.rejects(unwrapVaultKey(exportKey, wrapped, "user_2"), undecipherable);
  await assert.rejects(unwrapVaultKey(exportKey.slice().reverse(), wrapped, account), undecipherable);
  await assert.rejects(unwrapVaultKey(exportKey, blob, account), undecipherable);
});

test("an unwrapped key stays in the browser unless it is to be wrapped again", async () => {
  const key = await createVaultKey();
  const wrapped = await wrapVaultKey(exportKey, key, account);
  const kept = await unwrapVaultKey(exportKey, wrapped, account);
  await assert.rejects(crypto.subtle.exportKey("raw", kept), /key is not extractable/);
  await assert.rejects(wrapVaultKey(exportKey, kept, account), /key is not extractable/);
  assert.deepEqual(await decryptBlob(kept, place, await encryptBlob(key, place, content)), content);
  const again = await unwrapVaultKey(exportKey, wrapped, account, { extractable: true });
  const other = exportKey.slice().reverse();
  const moved = await unwrapVaultKey(other, await wrapVaultKey(other, again, account), account);
  assert.deepEqual(await decryptBlob(moved, place, await encryptBlob(key, place, content)), content);
});

test("an export key has 64 bytes", async () => {
  for (const length of [0, 32, 63, 65]) {
    await assert.rejects(wrapVaultKey(new Uint8Array(length), await createVaultKey(), account), TypeError);
  }
});

test("the formats are those of spec/vectors, which other clients read too", async () => {
  const file = new URL("../../../spec/vectors/vault.json", import.meta.url);
  const vectors = JSON.parse(readFileSync(file, "utf8")) as Vectors;
  const unhex = (text: string) => new Uint8Array(Buffer.from(text, "hex"));
  const { account, export_key, vault_key, wrapped_vault_key, blobs } = vectors;
  const key = await unwrapVaultKey(unhex(export_key), unhex(wrapped_vault_key), account, { extractable: true });
  assert.deepEqual(new Uint8Array(await crypto.subtle.exportKey("raw", key)), unhex(vault_key));
  assert.equal(blobs.length, 2);
  for (const { name, content, blob } of blobs) {
    assert.deepEqual(await decryptBlob(key, { account, name }, unhex(blob)), unhex(content));
  }
});
