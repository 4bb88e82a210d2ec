// A server in the test's hands: answers written as the API writes them, and a record of what was asked.

import assert from "node:assert/strict";

/** A request as it came. */
export interface Asked {
  method: string;
  path: string;
  query: string;
  headers: Headers;
  credentials: string | undefined;
  json: Record<string, string> | undefined;
  bytes: Uint8Array | undefined;
}

type Handler = (asked: Asked) => Response | Promise<Response>;

/** A `fetch` that answers by `METHOD /path`, and what it was asked. */
export function answering(handlers: Readonly<Record<string, Handler>>): { fetch: typeof fetch; asked: Asked[] } {
  const asked: Asked[] = [];
  return {
    asked,
    fetch: async (input, init = {}) => {
      assert(input instanceof URL);
      const one: Asked = {
        method: init.method ?? "GET",
        path: input.pathname,
        query: input.search,
        headers: new Headers(init.headers),
        credentials: init.credentials,
        json: typeof init.body === "string" ? JSON.parse(init.body) : undefined,
        bytes: init.body instanceof Uint8Array ? new Uint8Array(init.body) : undefined,
      };
      asked.push(one);
      const handler = handlers[`${one.method} ${one.path}`];
      assert(handler, `${one.method} ${one.path} was not expected`);
      return handler(one);
    },
  };
}

/** `{"success":true,"data":...}`. */
export function good(data?: unknown): Response {
  return Response.json({ success: true, data });
}

/** A refusal. */
export function bad(status: number, code: string, headers: Record<string, string> = {}): Response {
  return Response.json({ success: false, error: { code, message: "...", request_id: "req_1" } }, { status, headers });
}
