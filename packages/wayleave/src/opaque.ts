// Signing in by OPAQUE, where the server never sees a password, and the encrypted vault behind it.

import { client, ready } from "@serenity-kit/opaque";

import { fromBase64Url, toBase64Url } from "./bytes.js";
import { WayleaveError } from "./error.js";
import type {
  OpaqueChangeFinish,
  OpaqueChangeStart,
  OpaqueLoginFinish,
  OpaqueLoginStart,
  OpaqueLoginStarted,
  OpaqueRegisterFinish,
  OpaqueRegisterStart,
  OpaqueStepUp,
  RegistrationStarted,
  Stretching,
  User,
} from "./generated/api.js";
import type { Opened, Session } from "./session.js";
import type { Rewrapped } from "./vault.js";

export type { Rewrapped, Vault, VaultBlob, VaultEntry, VaultPage } from "./vault.js";
export { openVault } from "./vault.js";
export type { BlobPlace, UnwrapOptions } from "./vault/crypto.js";
export { createVaultKey, decryptBlob, encryptBlob, unwrapVaultKey, wrapVaultKey } from "./vault/crypto.js";

/** The least that key stretching (Argon2id) has to cost. */
export interface KeyStretchingFloor {
  /** Passes. */
  iterations: number;
  /** Memory in KiB. */
  memoryKib: number;
}

/** RFC 9106's second recommendation, and what servers ask for unless they are told otherwise: 3 passes over 64 MiB. */
export const DEFAULT_FLOOR: Readonly<KeyStretchingFloor> = { iterations: 3, memoryKib: 65_536 };

/** What all ways below have in common. */
export interface StretchingOptions {
  /** What is refused is below this. The parameters are the server's to say and no part of any message, so a server that
   * was taken over would ask for cheap ones: raise it with the server's, and lower it for tests alone. */
  floor?: Readonly<KeyStretchingFloor>;
}

/** Who signs in. */
export interface Credentials {
  /** The e-mail address. */
  identifier: string;
  /** Taken as it is: nothing is trimmed or normalised. */
  password: string;
}

/** A new account. */
export interface Registration extends Credentials, StretchingOptions {
  /** What to call the person. */
  name: string;
  /** From the invitation's link, where one is needed. */
  invitation?: string;
}

/** A fresh proof. */
export interface StepUp extends Credentials, StretchingOptions {
  /** What the session may do with the vault, which it opens; nothing unless told. */
  vault?: "read" | "write";
}

/** A sign-in. */
export interface SignIn extends StepUp {
  /** 30 days instead of 24 hours. Cookies only. */
  rememberMe?: boolean;
}

/** Another password. */
export interface Change extends StretchingOptions {
  newPassword: string;
  /** Wraps the vault key anew: {@link Vault.rewrap}. Needed where the account has a vault key. */
  rewrap?: (exportKey: Uint8Array) => Promise<Rewrapped>;
}

/** What only whoever knows the password has.
 *
 * `exportKey` is 64 bytes that the server never sees, the same at every sign-in until the password changes. **Whoever has it
 * opens the vault**: keep it in memory alone, never store, send or log it, and let go of it when the vault is open. */
export interface Secret {
  exportKey: Uint8Array<ArrayBuffer>;
}

/** Makes an account. Nobody is signed in by it. The page is busy for as long as key stretching takes, here and below.
 *
 * Check the password before: its length, and lists of common ones. The server cannot. */
export async function register(session: Session, options: Registration): Promise<Secret & { user: User }> {
  const { identifier, password, name, invitation, floor } = options;
  await ready;
  const { clientRegistrationState, registrationRequest } = client.startRegistration({ password });
  const start: OpaqueRegisterStart = { identifier, request: registrationRequest, ...(invitation && { invitation }) };
  const started = await session.request<RegistrationStarted>("/api/auth/opaque/register/start", { json: start });
  const { record, exportKey } = enrol(started, clientRegistrationState, password, floor);
  const finish: OpaqueRegisterFinish = { identifier, name, ...record, ...(invitation && { invitation }) };
  const user = await session.request<User>("/api/auth/opaque/register/finish", { json: finish });
  return { user, exportKey };
}

/** Signs in. A wrong password, an unknown address, a disabled account and one without OPAQUE all reject with the same
 * `invalid_credentials`. */
export async function signIn(session: Session, options: SignIn): Promise<Secret & { opened: Opened }> {
  const { rememberMe, vault } = options;
  const { proof, exportKey } = await prove(session, options);
  const finish: OpaqueLoginFinish = {
    ...proof,
    ...(rememberMe !== undefined && { remember_me: rememberMe }),
    ...(vault && { vault }),
  };
  return { opened: await session.open("/api/auth/opaque/login/finish", finish), exportKey };
}

/** Proves again who is behind the session, for what wants a recent sign-in, and to open a vault that was locked. The session
 * goes on; `identifier` is the address of its own account. */
export async function stepUp(session: Session, options: StepUp): Promise<Secret> {
  const { proof, exportKey } = await prove(session, options);
  const finish: OpaqueStepUp = { ...proof, ...(options.vault && { vault: options.vault }) };
  await session.renew("/api/auth/opaque/step-up", finish);
  return { exportKey };
}

/** Puts another OPAQUE password in the place of the account's password, OPAQUE or not. It takes a session whose sign-in is
 * recent, and **ends every session of the account**, this one too: sign in with the new password next.
 *
 * A vault that was wrapped for the old export key has to be wrapped for the new one in the same step: see `rewrap`. */
export async function changePassword(session: Session, options: Change): Promise<Secret> {
  const { newPassword: password, rewrap, floor } = options;
  await ready;
  const { clientRegistrationState, registrationRequest } = client.startRegistration({ password });
  const start: OpaqueChangeStart = { request: registrationRequest };
  const started = await session.request<RegistrationStarted>("/api/auth/opaque/change/start", { json: start });
  const { record, exportKey } = enrol(started, clientRegistrationState, password, floor);
  const { key, replaces } = (await rewrap?.(exportKey)) ?? {};
  const wrapped_key = key && { key: toBase64Url(key), ...(replaces !== undefined && { replaces }) };
  const finish: OpaqueChangeFinish = { ...record, ...(wrapped_key && { wrapped_key }) };
  await session.close("/api/auth/opaque/change/finish", finish);
  return { exportKey };
}

/** Both halves of a login, up to what the second one sends. */
async function prove(
  session: Session,
  { identifier, password, floor }: Credentials & StretchingOptions,
): Promise<Secret & { proof: Pick<OpaqueLoginFinish, "login_id" | "finish"> }> {
  await ready;
  const { clientLoginState, startLoginRequest } = client.startLogin({ password });
  const start: OpaqueLoginStart = { identifier, request: startLoginRequest };
  const started = await session.request<OpaqueLoginStarted>("/api/auth/opaque/login/start", { json: start });
  const keyStretching = accepted(started.key_stretching, floor);
  const finished = understood(() =>
    client.finishLogin({ clientLoginState, loginResponse: started.response, password, keyStretching }),
  );
  // The server said nothing of it, and is not told.
  if (finished === undefined) throw new WayleaveError("invalid_credentials");
  return {
    proof: { login_id: started.login_id, finish: finished.finishLoginRequest },
    exportKey: fromBase64Url(finished.exportKey),
  };
}

/** The record to upload, with what it was made with. */
function enrol(
  { response, key_stretching }: RegistrationStarted,
  clientRegistrationState: string,
  password: string,
  floor: KeyStretchingFloor | undefined,
): Secret & { record: { upload: string; key_stretching: Stretching } } {
  const keyStretching = accepted(key_stretching, floor);
  const finished = understood(() =>
    client.finishRegistration({ clientRegistrationState, registrationResponse: response, password, keyStretching }),
  );
  return {
    record: { upload: finished.registrationRecord, key_stretching },
    exportKey: fromBase64Url(finished.exportKey),
  };
}

/** The library reads messages strictly, and throws what it likes. */
function understood<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new WayleaveError("unexpected_answer", { cause });
  }
}

/** The library's own form of the server's parameters, within the API's limits and not below the floor. */
function accepted(
  { iterations, memory_kib: memory, parallelism }: Stretching,
  floor: KeyStretchingFloor = DEFAULT_FLOOR,
): { "argon2id-custom": { iterations: number; memory: number; parallelism: number } } {
  const within = (value: number, least: number, most: number): boolean =>
    Number.isInteger(value) && value >= least && value <= most;
  const fine =
    within(iterations, Math.max(floor.iterations, 1), 64) &&
    within(memory, Math.max(floor.memoryKib, 1024), 2_097_151) &&
    within(parallelism, 1, 16);
  if (!fine) {
    throw new WayleaveError("key_stretching_refused", { details: { iterations, memory_kib: memory, parallelism } });
  }
  return { "argon2id-custom": { iterations, memory, parallelism } };
}
