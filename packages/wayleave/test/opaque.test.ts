// OPAQUE against the server's half of the same library, in the test's hands where it is hostile.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ready, server } from "@serenity-kit/opaque";
import { createSession, type Session, WayleaveError } from "wayleave";
import {
  changePassword,
  createVaultKey,
  register,
  signIn,
  stepUp,
  unwrapVaultKey,
  wrapVaultKey,
} from "wayleave/opaque";

import { answering, bad, good, type Asked } from "./answers.js";

await ready;

const ANN = "ann@example.com";
const PASSWORD = "a quiet evening at sea";
const CHEAP = { iterations: 1, memory_kib: 1024, parallelism: 1 };
const floor = { iterations: 1, memoryKib: 1024 };

/** A server of one deployment, and a session with it. */
function deployment(key_stretching = CHEAP): { session: Session; asked: Asked[] } {
  const serverSetup = server.createSetup();
  const records = new Map<string, string>();
  const logins = new Map<string, string>();
  const evaluate = (userIdentifier: string, registrationRequest: string) => {
    const request = { serverSetup, userIdentifier, registrationRequest };
    return good({ response: server.createRegistrationResponse(request).registrationResponse, key_stretching });
  };
  const { fetch, asked } = answering({
    "POST /api/auth/opaque/register/start": ({ json }) => evaluate(json!["identifier"]!, json!["request"]!),
    "POST /api/auth/opaque/register/finish": ({ json }) => {
      records.set(json!["identifier"]!, json!["upload"]!);
      return good({ id: "user_1" });
    },
    "POST /api/auth/opaque/login/start": ({ json }) => {
      const userIdentifier = json!["identifier"]!;
      const registrationRecord = records.get(userIdentifier);
      const request = { serverSetup, userIdentifier, registrationRecord, startLoginRequest: json!["request"]! };
      const { serverLoginState, loginResponse } = server.startLogin(request);
      logins.set("login", serverLoginState);
      return good({ login_id: "login", response: loginResponse, key_stretching });
    },
    "POST /api/auth/opaque/login/finish": ({ json }) => {
      const serverLoginState = logins.get(json!["login_id"]!)!;
      server.finishLogin({ serverLoginState, finishLoginRequest: json!["finish"]! });
      return good({ session_token: "wl_1", session_id: "sess_1", expires_at: "2026-01-01T00:00:00Z" });
    },
    "POST /api/auth/opaque/step-up": ({ json }) => {
      const serverLoginState = logins.get(json!["login_id"]!)!;
      server.finishLogin({ serverLoginState, finishLoginRequest: json!["finish"]! });
      return good({ session_id: "sess_2", auth_time: "2026-01-01T00:00:00Z", tokens: { session_token: "wl_2" } });
    },
    "POST /api/auth/opaque/change/start": ({ json }) => evaluate(ANN, json!["request"]!),
    "POST /api/auth/opaque/change/finish": ({ json }) => {
      records.set(ANN, json!["upload"]!);
      return good();
    },
    "GET /api/auth/user": () => bad(401, "session_required"),
  });
  return { session: createSession({ baseUrl: "https://auth.example.org", carrier: "bearer", fetch }), asked };
}

const caught = async (promise: Promise<unknown>): Promise<WayleaveError> => {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert(error instanceof WayleaveError, String(error));
  return error;
};

test("R107: the export key is that of the registration at every sign-in, and nobody else's", async () => {
  const { session, asked } = deployment();
  const registered = await register(session, { identifier: ANN, password: PASSWORD, name: "Ann", floor });
  const first = await signIn(session, { identifier: ANN, password: PASSWORD, vault: "write", floor });
  const second = await signIn(session, { identifier: ANN, password: PASSWORD, floor });
  assert.equal(registered.exportKey.length, 64);
  assert.deepEqual([first.exportKey, second.exportKey], [registered.exportKey, registered.exportKey]);
  assert.equal(first.opened.sessionId, "sess_1");
  const finishes = asked.filter(({ path }) => path.endsWith("login/finish"));
  assert.deepEqual(
    finishes.map(({ json }) => json!["vault"]),
    ["write", undefined],
  );
  const bob = await register(session, { identifier: "bob@example.com", password: PASSWORD, name: "Bob", floor });
  assert.notDeepEqual(bob.exportKey, registered.exportKey);
});

test("a fresh proof gives the same export key, and the session goes on under its new token", async () => {
  const { session, asked } = deployment();
  const { exportKey } = await register(session, { identifier: ANN, password: PASSWORD, name: "Ann", floor });
  await signIn(session, { identifier: ANN, password: PASSWORD, floor });
  const again = await stepUp(session, { identifier: ANN, password: PASSWORD, vault: "read", floor });
  assert.deepEqual(again.exportKey, exportKey);
  const { headers, json } = asked.at(-1)!;
  assert.deepEqual([headers.get("authorization"), json!["vault"]], ["Bearer wl_1", "read"]);
  await session.user();
  assert.equal(asked.at(-1)!.headers.get("authorization"), "Bearer wl_2");
  assert.equal((await caught(stepUp(session, { identifier: ANN, password: "no", floor }))).code, "invalid_credentials");
});

test("R098: a wrong password and an unknown address look the same, and the server is not told", async () => {
  const { session, asked } = deployment();
  await register(session, { identifier: ANN, password: PASSWORD, name: "Ann", floor });
  const wrong = await caught(signIn(session, { identifier: ANN, password: `${PASSWORD}!`, floor }));
  const unknown = await caught(signIn(session, { identifier: "nobody@example.com", password: PASSWORD, floor }));
  const shown = ({ name, message, code, status, details }: WayleaveError) => ({ name, message, code, status, details });
  assert.deepEqual(shown(wrong), shown(unknown));
  assert.deepEqual([wrong.code, wrong.status], ["invalid_credentials", 401]);
  assert(!asked.some(({ path }) => path.endsWith("login/finish")));
});

test("R108: a server that asks for cheaper key stretching gets neither a record nor a proof", async () => {
  const weak: [Partial<typeof CHEAP>, object?][] = [
    [{ iterations: 2 }],
    [{ memory_kib: 65_535 }],
    [{ memory_kib: 2_097_152 }],
    [{ iterations: 65 }],
    [{ iterations: 3.5 }],
    [{ parallelism: 0 }],
    [{ parallelism: 17 }],
    [{}, { iterations: 4, memoryKib: 65_536 }],
    [{ iterations: 0 }, { iterations: 0, memoryKib: 0 }],
  ];
  for (const [change, floor] of weak) {
    const { session, asked } = deployment({ iterations: 3, memory_kib: 65_536, parallelism: 4, ...change });
    const options = { identifier: ANN, password: PASSWORD, name: "Ann", ...(floor && { floor }) } as Parameters<
      typeof register
    >[1];
    const ways = [
      register(session, options),
      signIn(session, options),
      stepUp(session, options),
      changePassword(session, { newPassword: PASSWORD, ...(floor && { floor: options.floor! }) }),
    ];
    for (const way of ways) assert.equal((await caught(way)).code, "key_stretching_refused", JSON.stringify(change));
    assert(!asked.some(({ path }) => path.endsWith("/finish")));
  }
});

test("what is asked for by default is accepted by default", async () => {
  const { session } = deployment({ iterations: 3, memory_kib: 65_536, parallelism: 4 });
  const { exportKey } = await register(session, { identifier: ANN, password: PASSWORD, name: "Ann" });
  assert.deepEqual((await signIn(session, { identifier: ANN, password: PASSWORD })).exportKey, exportKey);
});

test("a change of password wraps the vault key anew, and ends the session", async () => {
  const { session, asked } = deployment();
  await register(session, { identifier: ANN, password: PASSWORD, name: "Ann", floor });
  const old = await signIn(session, { identifier: ANN, password: PASSWORD, floor });
  const vaultKey = await createVaultKey();
  const rewrap = async (exportKey: Uint8Array) => ({
    key: await wrapVaultKey(exportKey, vaultKey, "user_1"),
    replaces: "0a",
  });
  const { exportKey } = await changePassword(session, { newPassword: "another one", rewrap, floor });
  assert.notDeepEqual(exportKey, old.exportKey);
  const { key, replaces } = asked.at(-1)!.json!["wrapped_key"] as unknown as Record<string, string>;
  assert.equal(replaces, "0a");
  const wrapped = new Uint8Array(Buffer.from(key!, "base64url"));
  await unwrapVaultKey(exportKey, wrapped, "user_1");
  assert.equal((await caught(unwrapVaultKey(old.exportKey, wrapped, "user_1"))).code, "undecipherable");
  await session.user();
  assert.equal(asked.at(-1)!.headers.get("authorization"), null);
  const again = await signIn(session, { identifier: ANN, password: "another one", floor });
  assert.deepEqual(again.exportKey, exportKey);
});

test("where the vault key cannot be wrapped, nothing changes", async () => {
  const { session, asked } = deployment();
  const rewrap = () => Promise.reject(new RangeError("not now"));
  await assert.rejects(changePassword(session, { newPassword: "another one", rewrap, floor }), RangeError);
  assert(!asked.some(({ path }) => path.endsWith("/finish")));
});

test("R116: neither password nor export key is in any request", async () => {
  const { session, asked } = deployment();
  const { exportKey } = await register(session, { identifier: ANN, password: PASSWORD, name: "Ann", floor });
  await signIn(session, { identifier: ANN, password: PASSWORD, floor });
  const all = JSON.stringify(asked);
  const forms = [
    PASSWORD,
    ...(["hex", "base64", "base64url"] as const).map((form) => Buffer.from(exportKey).toString(form)),
  ];
  for (const form of forms) assert(!all.includes(form));
  assert(all.includes(asked[0]!.json!["request"]!));
});

test("messages that are none are refused", async () => {
  const { fetch } = answering({
    "POST /api/auth/opaque/login/start": () => good({ login_id: "1", response: "AAAA", key_stretching: CHEAP }),
    "POST /api/auth/opaque/register/start": () => good({ response: "?", key_stretching: CHEAP }),
  });
  const session = createSession({ baseUrl: "https://auth.example.org", carrier: "bearer", fetch });
  const person = { identifier: ANN, password: PASSWORD, name: "Ann", floor };
  assert.equal((await caught(signIn(session, person))).code, "unexpected_answer");
  assert.equal((await caught(register(session, person))).code, "unexpected_answer");
});
