// The vault of the account behind a session: blobs that this side encrypts and the server only keeps.

import { fromBase64Url, toBase64Url } from "./bytes.js";
import { refusal, WayleaveError } from "./error.js";
import type { BlobPage, WrappedKeyText } from "./generated/api.js";
import type { Session } from "./session.js";
import { createVaultKey, decryptBlob, encryptBlob, unwrapWith, wrappingKey, wrapWith } from "./vault/crypto.js";

/** What is under a name. */
export interface VaultBlob {
  content: Uint8Array<ArrayBuffer>;
  /** Its version: for {@link Vault.write}. */
  etag: string;
}

/** An entry of the list. */
export interface VaultEntry {
  name: string;
  etag: string;
  /** In bytes, as encrypted. */
  size: number;
  /** RFC 3339. */
  changedAt: string;
}

/** Some of the entries. */
export interface VaultPage {
  items: VaultEntry[];
  /** Where the next page begins; nothing on the last. */
  next: string | undefined;
}

/** The vault key under another export key, and which wrapped key it takes the place of. */
export interface Rewrapped {
  key: Uint8Array;
  replaces: string;
}

/** An open vault. Its keys are in memory alone; no script can take them out. Calls reject with `vault_locked` when the vault
 * was locked, here or elsewhere, or was not used for too long: sign in or step up again then, and open it anew.
 *
 * The server sees names, sizes and times. It can lose blobs and give back older ones, but not read, change or swap them. */
export interface Vault {
  /** Names in their order, from after `after` on. */
  list(after?: string): Promise<VaultPage>;

  /** What is under a name, or `undefined`. */
  read(name: string): Promise<VaultBlob | undefined>;

  /** Puts content under a name, in the place of the version `etag`; without one only where there is nothing yet. Gives the
   * new version. Rejects with `precondition_failed` when somebody else was faster, and nothing is lost. */
  write(name: string, content: Uint8Array, etag?: string): Promise<string>;

  /** Removes the version `etag`. What is not there any more is removed. */
  remove(name: string, etag: string): Promise<void>;

  /** Wraps the vault key for another export key: for `changePassword`, which needs a vault that was opened to write. */
  rewrap(exportKey: Uint8Array): Promise<Rewrapped>;

  /** Forgets the keys, and has the server refuse this session until it opens the vault anew. */
  lock(): Promise<void>;
}

/** What an open vault has in memory. */
interface Keys {
  vaultKey: CryptoKey;
  wrapping: CryptoKey;
}

/** The wrapped vault key, as the server keeps it. */
interface Held {
  wrapped: Uint8Array;
  etag: string;
}

const KEY = "/api/vault/key";

/** Opens the vault of a session that asked for it (`vault`) when it was opened or stepped up, with the export key of then. The
 * first time it makes the vault key, which takes `vault: "write"`. Rejects with `undecipherable` for another export key. */
export async function openVault(session: Session, exportKey: Uint8Array): Promise<Vault> {
  const wrapping = await wrappingKey(exportKey);
  const account = (await session.user())?.id;
  if (account === undefined) throw new WayleaveError("session_required");
  const held = (await fetchKey(session)) ?? (await makeKey(session, wrapping, account));
  let keys: Keys | undefined = { vaultKey: await unwrapWith(wrapping, held.wrapped, account), wrapping };

  function unlocked(): Keys {
    if (keys === undefined) throw new WayleaveError("vault_locked");
    return keys;
  }

  return {
    async list(after) {
      unlocked();
      const query = after === undefined ? "" : `?after=${encodeURIComponent(after)}`;
      const page = await session.request<BlobPage>(`/api/vault/blobs${query}`);
      const items = page.items.map(({ name, etag, size, changed_at: changedAt }) => ({ name, etag, size, changedAt }));
      return { items, next: page.next ?? undefined };
    },

    async read(name) {
      const { vaultKey } = unlocked();
      const response = await call(session, pathOf(name));
      if (response === undefined) return undefined;
      const content = await decryptBlob(vaultKey, { account, name }, new Uint8Array(await response.arrayBuffer()));
      return { content, etag: etagOf(response) };
    },

    async write(name, content, etag) {
      const { vaultKey } = unlocked();
      const body = await encryptBlob(vaultKey, { account, name }, content);
      return put(session, pathOf(name), { body, type: "application/octet-stream", etag });
    },

    async remove(name, etag) {
      unlocked();
      await call(session, pathOf(name), { method: "DELETE", headers: { "if-match": etag } });
    },

    async rewrap(newExportKey) {
      const { wrapping } = unlocked();
      const vaultKey = await unwrapWith(wrapping, held.wrapped, account, { extractable: true });
      const key = await wrapWith(await wrappingKey(newExportKey), vaultKey, account);
      return { key, replaces: held.etag.replaceAll('"', "") };
    },

    async lock() {
      keys = undefined;
      await session.request("/api/vault/lock", { json: {} });
    },
  };
}

async function fetchKey(session: Session): Promise<Held | undefined> {
  const response = await call(session, KEY);
  if (response === undefined) return undefined;
  const { data } = (await response.json()) as { data: WrappedKeyText };
  return { wrapped: fromBase64Url(data.key), etag: etagOf(response) };
}

/** Makes the vault key. */
async function makeKey(session: Session, wrapping: CryptoKey, account: string): Promise<Held> {
  const wrapped = await wrapWith(wrapping, await createVaultKey(), account);
  const body = JSON.stringify({ key: toBase64Url(wrapped) } satisfies WrappedKeyText);
  try {
    return { wrapped, etag: await put(session, KEY, { body, type: "application/json" }) };
  } catch (error) {
    // Another tab was faster, or the answer was lost: what the server has is in force.
    const theirs = await fetchKey(session).catch(() => undefined);
    if (theirs === undefined) throw error;
    return theirs;
  }
}

/** What is put somewhere, in the place of the version `etag` or where there is nothing. */
interface Put {
  body: string | Uint8Array<ArrayBuffer>;
  type: string;
  etag?: string | undefined;
}

async function put(session: Session, path: string, { body, type, etag }: Put): Promise<string> {
  const condition = etag === undefined ? { "if-none-match": "*" } : { "if-match": etag };
  const response = await call(session, path, { method: "PUT", headers: { "content-type": type, ...condition }, body });
  if (response === undefined) throw new WayleaveError("not_found");
  return etagOf(response);
}

/** The answer; nothing for what is not there. */
async function call(session: Session, path: string, init?: RequestInit): Promise<Response | undefined> {
  const response = await session.fetch(path, init);
  if (response.ok) return response;
  const error = await refusal(response);
  if (error.code === "not_found") return undefined;
  throw error;
}

function pathOf(name: string): string {
  return `/api/vault/blobs/${encodeURIComponent(name)}`;
}

function etagOf(response: Response): string {
  const etag = response.headers.get("etag");
  if (etag === null) throw new WayleaveError("unexpected_answer", { details: { missing: "etag" } });
  return etag;
}
