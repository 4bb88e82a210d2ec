// Sessions of a page: what is sent along, and what becomes of the answers.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createSession, WayleaveError } from "wayleave";

import { answering, bad, good } from "./answers.js";

const baseUrl = "https://auth.example.org";
const refused = (code: string) => (error: unknown) => error instanceof WayleaveError && error.code === code;

/** Gives CSRF tokens `t1`, `t2` and so on, and takes the newest alone. */
function withCsrf() {
  let issued = 0;
  const server = answering({
    "GET /api/csrf": () => Response.json({ success: true, token: `t${(issued += 1)}` }),
    "POST /api/auth/logout": ({ headers }) =>
      headers.get("x-csrf-token") === `t${issued}` ? good() : bad(403, "csrf_failed"),
    "GET /api/auth/user": () => good({ id: "user_1" }),
    "POST /step-up": () => good({ session_id: "web_2", auth_time: "2026-01-01T00:00:00Z" }),
    "POST /login": () => good({ user: {}, session: { sessionId: "web_1", expire: "2026-01-01T00:00:00Z" } }),
  });
  return { ...server, renew: () => (issued += 1) };
}

test("R046: cookie sessions send a CSRF token with what changes something, and with nothing else", async () => {
  const { fetch, asked } = withCsrf();
  const session = createSession({ baseUrl, carrier: "cookie", fetch });
  assert.equal((await session.user())?.id, "user_1");
  await session.signOut();
  const sent = asked.map(({ method, path, headers }) => `${method} ${path} ${headers.get("x-csrf-token")}`);
  assert.deepEqual(sent, ["GET /api/auth/user null", "GET /api/csrf null", "POST /api/auth/logout t1"]);
  assert(asked.every(({ credentials, headers }) => credentials === "include" && !headers.has("authorization")));
});

test("a token that is refused is replaced once, and shared by requests at the same time", async () => {
  const { fetch, asked, renew } = withCsrf();
  const session = createSession({ baseUrl, carrier: "cookie", fetch });
  const post = () => session.fetch("/api/auth/logout", { method: "POST" });
  await Promise.all([post(), post(), post()]);
  assert.equal(asked.filter(({ path }) => path === "/api/csrf").length, 1);
  renew();
  assert.deepEqual(
    (await Promise.all([post(), post()])).map(({ status }) => status),
    [200, 200],
  );
  assert.equal(asked.filter(({ path }) => path === "/api/csrf").length, 2);
  const hopeless = answering({
    "GET /api/csrf": () => Response.json({ success: true, token: "t" }),
    "POST /api/auth/logout": () => bad(403, "csrf_failed"),
  });
  await assert.rejects(
    createSession({ baseUrl, carrier: "cookie", fetch: hopeless.fetch }).signOut(),
    refused("csrf_failed"),
  );
  assert.equal(hopeless.asked.length, 4);
});

test("a refusal that comes late does not throw away the token that replaced its own", async () => {
  let issued = 0;
  let answerLate = (_: Response): void => undefined;
  const late = new Promise<Response>((resolve) => (answerLate = resolve));
  const { fetch, asked } = answering({
    "GET /api/csrf": () => Response.json({ success: true, token: `t${(issued += 1)}` }),
    "POST /late": ({ headers }) => (headers.get("x-csrf-token") === "t1" ? late : good()),
    "POST /soon": ({ headers }) => (headers.get("x-csrf-token") === "t1" ? bad(403, "csrf_failed") : good()),
  });
  const session = createSession({ baseUrl, carrier: "cookie", fetch });
  const waiting = session.fetch("/late", { method: "POST" });
  assert.equal((await session.fetch("/soon", { method: "POST" })).status, 200);
  answerLate(bad(403, "csrf_failed"));
  assert.equal((await waiting).status, 200);
  assert.equal(asked.filter(({ path }) => path === "/api/csrf").length, 2);
});

test("a sign-in and a fresh proof bring another CSRF token", async () => {
  const { fetch, asked } = withCsrf();
  const session = createSession({ baseUrl, carrier: "cookie", fetch });
  const opened = await session.open("/login", {});
  assert.equal(opened.sessionId, "web_1");
  assert.equal(asked.at(-1)?.json?.["transport"], "cookie");
  await session.renew("/step-up", {});
  await session.signOut();
  assert.equal(asked.at(-1)?.headers.get("x-csrf-token"), "t3");
});

test("R051: a bearer token is in memory, goes nowhere else, and comes with no cookies", async () => {
  const { fetch, asked } = answering({
    "POST /login": () => good({ session_token: "wl_1", session_id: "sess_1", expires_at: "2026-01-01T00:00:00Z" }),
    "GET /api/auth/user": () => good({ id: "user_1" }),
    "POST /api/auth/logout": () => good(),
  });
  const session = createSession({ baseUrl, carrier: "bearer", fetch });
  await session.open("/login", {});
  assert.equal(asked[0]?.headers.get("authorization"), null);
  await session.user();
  assert.equal(asked[1]?.headers.get("authorization"), "Bearer wl_1");
  for (const elsewhere of [
    "https://example.org/",
    "//auth.example.org.evil.example/",
    "http://auth.example.org/",
    "data:,",
  ]) {
    await assert.rejects(session.fetch(elsewhere), TypeError);
  }
  assert.equal(asked.length, 2);
  assert(!JSON.stringify(session).includes("wl_1"));
  await session.signOut();
  await session.user();
  assert.equal(asked.at(-1)?.headers.get("authorization"), null);
  assert(asked.every(({ credentials }) => credentials === "omit"));
});

test("a sign-out that did not arrive can be tried again", async () => {
  let down = true;
  const { fetch, asked } = answering({
    "POST /login": () => good({ session_token: "wl_1", session_id: "sess_1", expires_at: "2026-01-01T00:00:00Z" }),
    "POST /api/auth/logout": () => {
      if (down) throw new TypeError("fetch failed");
      return good();
    },
  });
  const session = createSession({ baseUrl, carrier: "bearer", fetch });
  await session.open("/login", {});
  await assert.rejects(session.signOut(), refused("unreachable"));
  down = false;
  await session.signOut();
  assert.equal(asked.at(-1)?.headers.get("authorization"), "Bearer wl_1");
});

test("no session is an answer, anything else a rejection", async () => {
  const codes: [number, string, string?][] = [
    [401, "session_required"],
    [401, "session_invalid"],
    [401, "session_expired"],
    [503, "store_unavailable", "store_unavailable"],
    [429, "rate_limited", "rate_limited"],
    [418, "no_such_code", "unexpected_answer"],
  ];
  for (const [status, code, rejection] of codes) {
    const { fetch } = answering({ "GET /api/auth/sessions/current": () => bad(status, code, { "retry-after": "7" }) });
    const current = createSession({ baseUrl, carrier: "bearer", fetch }).current();
    if (rejection === undefined) {
      assert.equal(await current, undefined, code);
    } else {
      await assert.rejects(current, refused(rejection));
    }
  }
});

test("what is refused says why, for how long, and under which id the log has it", async () => {
  const { fetch } = answering({ "GET /x": () => bad(429, "account_locked", { "retry-after": "61" }) });
  const error = await createSession({ baseUrl, carrier: "bearer", fetch })
    .request("/x")
    .catch((caught: unknown) => caught);
  assert(error instanceof WayleaveError);
  const { code, status, retryAfterSeconds, requestId } = error;
  assert.deepEqual(
    { code, status, retryAfterSeconds, requestId },
    {
      code: "account_locked",
      status: 429,
      retryAfterSeconds: 61,
      requestId: "req_1",
    },
  );
});

test("what is not this API is not taken for it", async () => {
  const pages = [
    new Response("<html>", { status: 200 }),
    new Response("<html>", { status: 502 }),
    Response.json({ error: "no" }, { status: 403 }),
    Response.json(null, { status: 200 }),
    Response.json({ success: false, data: {} }, { status: 200 }),
    Response.json({ success: false, error: { code: "toString" } }, { status: 400 }),
  ];
  for (const page of pages) {
    const { fetch } = answering({ "GET /x": () => page });
    const session = createSession({ baseUrl, carrier: "bearer", fetch });
    await assert.rejects(session.request("/x"), refused("unexpected_answer"));
  }
});

test("a caller's abort is the caller's error", async () => {
  const session = createSession({ baseUrl, carrier: "bearer" });
  await assert.rejects(session.request("/x", { signal: AbortSignal.abort() }), { name: "AbortError" });
});

test("the server's address must be one", () => {
  for (const baseUrl of ["auth.example.org", "ftp://auth.example.org", ""]) {
    assert.throws(() => createSession({ baseUrl, carrier: "cookie" }), TypeError);
  }
  assert.throws(() => createSession({ carrier: "cookie" }), TypeError);
});
