// What the vault looks like outside: the vault key wrapped by the export key, and blobs under the vault key.
//
//     wrapped vault key   "WLVK" 0x01 | nonce (12) | AES-256-GCM of the vault key (32 + 16)
//     blob                "WLVB" 0x01 | nonce (12) | AES-256-GCM of the content (its length + 16)
//
// The wrapping key is HKDF-SHA-256 of the export key without salt, info "wayleave vault key wrapping v1". The additional data
// are the first five bytes, then the account, and for blobs their name: each after its length in four bytes, big-endian.

import { concat, framed } from "../bytes.js";
import { WayleaveError } from "../error.js";

const INFO = new TextEncoder().encode("wayleave vault key wrapping v1");
const KEY_HEADER = new TextEncoder().encode("WLVK\x01");
const BLOB_HEADER = new TextEncoder().encode("WLVB\x01");
const NONCE = 12;
const TAG = 16;
const AES: AesKeyAlgorithm = { name: "AES-GCM", length: 256 };

/** Length of an export key, in bytes. */
const EXPORT_KEY = 64;

/** Where a blob belongs. Content that was written for one place does not decrypt in another. */
export interface BlobPlace {
  /** The account's id: `user_...`. */
  account: string;
  name: string;
}

/** How an unwrapped vault key may be used. */
export interface UnwrapOptions {
  /** Whether the key can be wrapped again. Without it no script can take it out of the browser. */
  extractable?: boolean;
}

/** A new random vault key, for {@link wrapVaultKey}. */
export async function createVaultKey(): Promise<CryptoKey> {
  return (await crypto.subtle.generateKey(AES, true, ["encrypt", "decrypt"])) as CryptoKey;
}

/** The vault key under the export key: 65 bytes, for the server to keep. */
export async function wrapVaultKey(
  exportKey: Uint8Array,
  vaultKey: CryptoKey,
  account: string,
): Promise<Uint8Array<ArrayBuffer>> {
  return wrapWith(await wrappingKey(exportKey), vaultKey, account);
}

/** The vault key of {@link wrapVaultKey}. Rejects with `undecipherable` for another export key or another account. */
export async function unwrapVaultKey(
  exportKey: Uint8Array,
  wrapped: Uint8Array,
  account: string,
  options: UnwrapOptions = {},
): Promise<CryptoKey> {
  return unwrapWith(await wrappingKey(exportKey), wrapped, account, options);
}

/** The key that wraps: never leaves the browser. */
export async function wrappingKey(exportKey: Uint8Array): Promise<CryptoKey> {
  if (exportKey.length !== EXPORT_KEY) throw new TypeError("an export key has 64 bytes");
  const material = await crypto.subtle.importKey("raw", concat(exportKey), "HKDF", false, ["deriveKey"]);
  const hkdf: HkdfParams = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info: INFO };
  return crypto.subtle.deriveKey(hkdf, material, AES, false, ["wrapKey", "unwrapKey"]);
}

/** {@link wrapVaultKey}, with the wrapping key at hand. */
export async function wrapWith(
  wrapping: CryptoKey,
  vaultKey: CryptoKey,
  account: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE));
  const wrapped = await crypto.subtle.wrapKey("raw", vaultKey, wrapping, gcm(nonce, KEY_HEADER, account));
  return concat(KEY_HEADER, nonce, new Uint8Array(wrapped));
}

/** {@link unwrapVaultKey}, with the wrapping key at hand. */
export async function unwrapWith(
  wrapping: CryptoKey,
  wrapped: Uint8Array,
  account: string,
  { extractable = false }: UnwrapOptions = {},
): Promise<CryptoKey> {
  const { nonce, sealed } = opened(wrapped, KEY_HEADER);
  const algorithm = gcm(nonce, KEY_HEADER, account);
  const usages: KeyUsage[] = ["encrypt", "decrypt"];
  return deciphered(() => crypto.subtle.unwrapKey("raw", sealed, wrapping, algorithm, AES, extractable, usages));
}

/** Content for the server to keep: 33 bytes longer. Each time with a new random nonce, which is safe for the first 2^32
 * blobs under one vault key. */
export async function encryptBlob(
  vaultKey: CryptoKey,
  place: BlobPlace,
  content: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE));
  const algorithm = gcm(nonce, BLOB_HEADER, place.account, place.name);
  const sealed = await crypto.subtle.encrypt(algorithm, vaultKey, plain(content));
  return concat(BLOB_HEADER, nonce, new Uint8Array(sealed));
}

/** The content of {@link encryptBlob}. Rejects with `undecipherable` for another key or place, and for changed content. That
 * it is the newest version cannot be told. */
export async function decryptBlob(
  vaultKey: CryptoKey,
  place: BlobPlace,
  blob: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  const { nonce, sealed } = opened(blob, BLOB_HEADER);
  const algorithm = gcm(nonce, BLOB_HEADER, place.account, place.name);
  return new Uint8Array(await deciphered(() => crypto.subtle.decrypt(algorithm, vaultKey, sealed)));
}

function gcm(nonce: Uint8Array<ArrayBuffer>, header: Uint8Array, ...context: readonly string[]): AesGcmParams {
  return { name: "AES-GCM", iv: nonce, additionalData: concat(header, ...context.map(framed)), tagLength: TAG * 8 };
}

function opened(
  bytes: Uint8Array,
  header: Uint8Array,
): { nonce: Uint8Array<ArrayBuffer>; sealed: Uint8Array<ArrayBuffer> } {
  const begins = header.every((byte, index) => bytes[index] === byte);
  if (!begins || bytes.length < header.length + NONCE + TAG) throw new WayleaveError("undecipherable");
  const rest = plain(bytes).subarray(header.length);
  return { nonce: rest.subarray(0, NONCE), sealed: rest.subarray(NONCE) };
}

/** WebCrypto takes no memory that is shared between threads. */
function plain(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes);
}

async function deciphered<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    throw new WayleaveError("undecipherable", { cause });
  }
}
