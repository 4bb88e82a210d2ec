// What a page needs to hold a session: `createSession`, what it answers, and what can go wrong.

export type { ClientErrorCode } from "./error.js";
export { WayleaveError } from "./error.js";
export type { LoginAnswer, SessionInfo, TokenAnswer, User } from "./generated/api.js";
export type { ErrorCode } from "./generated/errors.js";
export type { Carrier, Opened, RequestOptions, Session, SessionOptions } from "./session.js";
export { createSession } from "./session.js";
