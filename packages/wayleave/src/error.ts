// What can go wrong: one error class, told apart by its code.

import type { ErrorBody } from "./generated/api.js";
import { ERRORS, type ErrorCode } from "./generated/errors.js";

/** What goes wrong on this side, in the words of {@link WayleaveError.code}. */
export type ClientErrorCode =
  /** No answer came: there is no network, or the server cannot be reached. */
  | "unreachable"
  /** What answered is not this server, or a newer one than this package knows. */
  | "unexpected_answer"
  /** The server asks for cheaper key stretching than the application accepts, or for an impossible one. */
  | "key_stretching_refused"
  /** What is in the vault was not written with this key, for this account and under this name, or was changed since. */
  | "undecipherable";

const MESSAGES: Readonly<Record<ClientErrorCode, string>> = {
  unreachable: "The server cannot be reached.",
  unexpected_answer: "The server's answer is not understood.",
  key_stretching_refused: "The server asks for weaker protection of passwords than is accepted here.",
  undecipherable: "The content cannot be decrypted.",
};

/** What a {@link WayleaveError} says besides its code. */
export interface ErrorContext extends ErrorOptions {
  details?: Readonly<Record<string, unknown>>;
  requestId?: string;
  retryAfterSeconds?: number;
}

/** Everything that functions of this package reject with, but for `TypeError`s about how they were called. */
export class WayleaveError extends Error {
  override readonly name: string = "WayleaveError";
  /** What went wrong: to branch on. */
  readonly code: ErrorCode | ClientErrorCode;
  /** The status that belongs to the code; 0 for those of this side. */
  readonly status: number;
  /** More, for programs. */
  readonly details: Readonly<Record<string, unknown>> | undefined;
  /** The request's id, as it stands in the server's log. */
  readonly requestId: string | undefined;
  /** How long to wait before another try. */
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode | ClientErrorCode, context: ErrorContext = {}) {
    const [status, message] = isErrorCode(code) ? ERRORS[code] : [0, MESSAGES[code]];
    super(message, context);
    this.code = code;
    this.status = status;
    this.details = context.details;
    this.requestId = context.requestId;
    this.retryAfterSeconds = context.retryAfterSeconds;
  }
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}

/** The error that a refusal stands for. */
export async function refusal(response: Response): Promise<WayleaveError> {
  const body = (await response.json().catch(() => undefined)) as Partial<ErrorBody> | undefined;
  const { code, details, request_id: requestId } = body?.error ?? {};
  if (code === undefined || !isErrorCode(code)) {
    return new WayleaveError("unexpected_answer", { details: { status: response.status, code } });
  }
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return new WayleaveError(code, {
    ...(details && { details }),
    ...(requestId && { requestId }),
    ...(Number.isFinite(seconds) && { retryAfterSeconds: seconds }),
  });
}
