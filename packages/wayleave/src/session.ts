// A session of this page with the server, by cookie or by bearer token.

import { refusal, WayleaveError } from "./error.js";
import type { BearerAnswer, CsrfAnswer, LoginAnswer, Reauthenticated, SessionInfo, User } from "./generated/api.js";

/** What holds the session: cookies that no script can read, or a token in the memory of this page. */
export type Carrier = "cookie" | "bearer";

/** How a session is held. */
export interface SessionOptions {
  /** The server's origin, such as `https://auth.example.org`; the page's own unless told. */
  baseUrl?: string | URL;
  carrier: Carrier;
  /** Takes the place of the global `fetch`. */
  fetch?: typeof globalThis.fetch;
}

/** What a request to the API carries. */
export interface RequestOptions {
  /** `GET` unless told; `POST` where there is `json`. */
  method?: string;
  /** The body. */
  json?: unknown;
  headers?: Readonly<Record<string, string>>;
  signal?: AbortSignal;
}

/** What a sign-in opened. */
export interface Opened {
  /** The session's public handle. */
  sessionId: string;
  /** RFC 3339. */
  expiresAt: string;
  /** Whether the session can do nothing but choose a new password. Bearer clients learn it by `password_change_required`. */
  mustChangePassword: boolean;
}

/** This page's session. Several in one page do not know of each other. */
export interface Session {
  readonly carrier: Carrier;

  /** `fetch` for routes of the server's origin alone: adds the CSRF token or the bearer token. A cookie session whose
   * token is refused gets another and tries once more, if the body can be sent again. Redirects are errors unless
   * `init` says otherwise.
   *
   * Rejects with `unreachable` when no answer comes, and with a `TypeError` for another origin. */
  fetch(path: string | URL, init?: RequestInit): Promise<Response>;

  /** Calls the API and unpacks the answer's `data`; a refusal rejects with its code. */
  request<T>(path: string, options?: RequestOptions): Promise<T>;

  /** Posts the last step of a sign-in, and holds the session that it opens. For ways of signing in. */
  open(path: string, json: object): Promise<Opened>;

  /** Posts a fresh proof of who is behind the session, and holds the session under what it is answered with. */
  renew(path: string, json: object): Promise<void>;

  /** Posts what ends the session, and forgets it when that is done. */
  close(path: string, json?: object): Promise<void>;

  /** The session, or `undefined` when there is none or it is over. */
  current(): Promise<SessionInfo | undefined>;

  /** The account behind the session, or `undefined` when there is no session. */
  user(): Promise<User | undefined>;

  /** Ends the session here and on the server. Rejects when the server could not be told: the session lives on then, and a
   * bearer token is kept so that signing out can be tried again. */
  signOut(): Promise<void>;
}

const SAFE: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);
const OVER: ReadonlySet<string> = new Set(["session_required", "session_invalid", "session_expired"]);

/** Makes the session of a page. Nothing is asked of the server yet: a cookie may hold a session already. */
export function createSession(options: SessionOptions): Session {
  const { carrier } = options;
  const base = baseOf(options.baseUrl);
  const send = options.fetch ?? globalThis.fetch.bind(globalThis);
  let bearer: string | undefined;
  let csrf: Promise<string> | undefined;

  async function ask(url: URL, init: RequestInit): Promise<Response> {
    try {
      return await send(url, { redirect: "error", ...init, credentials: carrier === "cookie" ? "include" : "omit" });
    } catch (cause) {
      if (init.signal?.aborted) throw cause;
      throw new WayleaveError("unreachable", { cause });
    }
  }

  async function fetchCsrf(): Promise<string> {
    const response = await ask(new URL("/api/csrf", base), {});
    if (!response.ok) throw await refusal(response);
    const { token } = await body<CsrfAnswer>(response);
    return token;
  }

  /** Sends with the CSRF token at hand, and says whether it was refused: that one is not used again. */
  async function askWithCsrf(url: URL, init: RequestInit, headers: Headers): Promise<[Response, refused: boolean]> {
    const using = (csrf ??= fetchCsrf());
    const forget = (): void => {
      if (csrf === using) csrf = undefined;
    };
    try {
      headers.set("x-csrf-token", await using);
    } catch (error) {
      forget();
      throw error;
    }
    const response = await ask(url, { ...init, headers });
    const refused = response.status === 403 && (await refusal(response.clone())).code === "csrf_failed";
    if (refused) forget();
    return [response, refused];
  }

  async function fetchIt(path: string | URL, init: RequestInit = {}): Promise<Response> {
    const url = new URL(path, base);
    if (url.origin !== base.origin) throw new TypeError(`${url.origin} is not the origin of this session`);
    const headers = new Headers(init.headers);
    if (carrier === "bearer") {
      if (bearer !== undefined) headers.set("authorization", `Bearer ${bearer}`);
      return ask(url, { ...init, headers });
    }
    if (SAFE.has((init.method ?? "GET").toUpperCase())) return ask(url, { ...init, headers });
    const [response, refused] = await askWithCsrf(url, init, headers);
    if (!refused || init.body instanceof ReadableStream) return response;
    // Another tab may have signed in or out since the token was given.
    const [second] = await askWithCsrf(url, init, headers);
    return second;
  }

  async function request<T>(path: string, { json, method, headers, signal }: RequestOptions = {}): Promise<T> {
    const response = await fetchIt(path, {
      method: method ?? (json === undefined ? "GET" : "POST"),
      headers: { ...headers, ...(json !== undefined && { "content-type": "application/json" }) },
      ...(json !== undefined && { body: JSON.stringify(json) }),
      ...(signal && { signal }),
    });
    if (!response.ok) throw await refusal(response);
    const { data } = await body<{ data: T }>(response);
    return data;
  }

  async function orNothing<T>(path: string): Promise<T | undefined> {
    try {
      return await request<T>(path);
    } catch (error) {
      if (error instanceof WayleaveError && OVER.has(error.code)) return undefined;
      throw error;
    }
  }

  async function close(path: string, json?: object): Promise<void> {
    await request(path, { method: "POST", json });
    bearer = undefined;
    csrf = undefined;
  }

  return {
    carrier,
    fetch: fetchIt,
    request,
    close,
    async open(path, json) {
      const answer = await request<LoginAnswer | BearerAnswer>(path, { json: { ...json, transport: carrier } });
      csrf = undefined;
      if ("session_token" in answer) {
        bearer = answer.session_token;
        return { sessionId: answer.session_id, expiresAt: answer.expires_at, mustChangePassword: false };
      }
      const { session, mustChangePassword } = answer;
      return { sessionId: session.sessionId, expiresAt: session.expire, mustChangePassword };
    },
    async renew(path, json) {
      const { tokens } = await request<Reauthenticated>(path, { json });
      csrf = undefined;
      bearer = tokens?.session_token;
    },
    current: () => orNothing("/api/auth/sessions/current"),
    user: () => orNothing("/api/auth/user"),
    signOut: () => close("/api/auth/logout"),
  };
}

function baseOf(given: string | URL | undefined): URL {
  const origin = given ?? globalThis.location?.origin;
  if (origin === undefined) throw new TypeError("outside a page `baseUrl` must be given");
  const url = new URL(origin);
  if (url.protocol !== "https:" && url.protocol !== "http:") throw new TypeError("`baseUrl` must be a web address");
  return url;
}

async function body<T>(response: Response): Promise<T> {
  const json: unknown = await response.json().catch(() => undefined);
  if (typeof json !== "object" || json === null || !("success" in json) || json.success !== true) {
    throw new WayleaveError("unexpected_answer", { details: { status: response.status } });
  }
  return json as T;
}
