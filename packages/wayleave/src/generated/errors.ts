// Made by `npm run generate` from spec/; not to be changed by hand.

/** What the server calls a refusal. Names are frozen; new ones may come. */
export type ErrorCode =
  /** The request cannot be read: malformed JSON, a malformed header or an impossible parameter. */
  | "bad_request"
  /** The request carries credentials in a malformed way, or more than one of them (RFC 6750 section 3.1). */
  | "invalid_request"
  /** The one-time link is unknown, used up or expired. */
  | "link_invalid"
  /** The invitation is unknown, used up, expired or made for another address. */
  | "invitation_invalid"
  /** No session or other credential was sent to a route that needs one. */
  | "session_required"
  /** The session is on record and its time is over. Said of nothing else. */
  | "session_expired"
  /** The session is not valid: unknown, malformed, ended or revoked. */
  | "session_invalid"
  /** The refresh token does not refresh anything: unknown, expired, already used or revoked. */
  | "refresh_failed"
  /** Sign-in failed. The same for an unknown name, a wrong password and a disabled account. */
  | "invalid_credentials"
  /** The action needs a stronger or more recent sign-in (RFC 9470); `details` says which. */
  | "insufficient_user_authentication"
  /** The session is valid and does not hold the permission that the action needs. */
  | "permission_denied"
  /** The CSRF token is missing, malformed or of another session. */
  | "csrf_failed"
  /** The request comes from an origin that may not make it. */
  | "origin_not_allowed"
  /** The password must be changed before anything else. */
  | "password_change_required"
  /** Nobody can register here. */
  | "registration_closed"
  /** The first administrator exists already. */
  | "setup_closed"
  /** The session does not hold the vault open, or not for this; `details.reason` says why. A session that was opened by a password, by a service or by nobody in particular never can. */
  | "vault_required"
  /** The session held the vault open: it was locked, or not used for too long; `details.reason` says which. */
  | "vault_locked"
  /** The kind's limit of sessions is reached and none is evicted for a new one. */
  | "session_limit_reached"
  /** There is no such thing, or it is not the caller's to see. */
  | "not_found"
  /** The resource does not support the method; `Allow` names those it does. */
  | "method_not_allowed"
  /** The client took too long to send its request. */
  | "request_timeout"
  /** The resource was changed meanwhile, or exists already. */
  | "conflict"
  /** An account with this address exists already. Only administrators are told. */
  | "email_taken"
  /** The body's length must be declared in `Content-Length`; chunked bodies are not accepted. */
  | "length_required"
  /** Something else than the request expects is there: `If-Match` names another version, or `If-None-Match: *` meets one. */
  | "precondition_failed"
  /** The body is larger than the route accepts. */
  | "payload_too_large"
  /** The blob is larger than one may be. */
  | "blob_too_large"
  /** The account would have more in its vault than it may; `details` says how much that is. */
  | "vault_quota_exceeded"
  /** The request target is too long. */
  | "uri_too_long"
  /** The body's media type is not one that the route accepts. */
  | "unsupported_media_type"
  /** The request is well formed and a field is not acceptable; `details.fields` names it. */
  | "validation_failed"
  /** The session type and the requested duration, permissions or transport do not go together. */
  | "unsupported_option"
  /** The new password is too short, too long or too common; `details.reason` says which. */
  | "weak_password"
  /** There is something already, and the request does not say which version of it is to be changed: `If-Match` is missing. */
  | "precondition_required"
  /** Sign-in for this identifier is paused after too many failures, whether or not it exists; see `Retry-After`. */
  | "account_locked"
  /** Too many requests of this class; see `Retry-After` and `RateLimit`. */
  | "rate_limited"
  /** The request has too many header fields or too large ones. */
  | "headers_too_large"
  /** The server failed. The reason is in its log under the request id. */
  | "internal_error"
  /** The server is at its limit of concurrent work; see `Retry-After`. */
  | "overloaded"
  /** A store did not answer. Nothing was decided. */
  | "store_unavailable"
  /** The server did not finish within its deadline; what it was doing may or may not have happened. */
  | "timeout";

/** The status and the sentence for people that belong to each code. */
export const ERRORS: Readonly<Record<ErrorCode, readonly [status: number, message: string]>> = {
  bad_request: [400, "The request is malformed."],
  invalid_request: [400, "The request's credentials are malformed or repeated."],
  link_invalid: [400, "The link is not valid or no longer valid."],
  invitation_invalid: [400, "The invitation is not valid or no longer valid."],
  session_required: [401, "Sign in to continue."],
  session_expired: [401, "The session has expired."],
  session_invalid: [401, "The session is not valid."],
  refresh_failed: [401, "The session could not be refreshed."],
  invalid_credentials: [401, "The e-mail address or the password is not right."],
  insufficient_user_authentication: [401, "This action needs a recent sign-in."],
  permission_denied: [403, "You do not have permission to do this."],
  csrf_failed: [403, "The request could not be verified. Reload the page and try again."],
  origin_not_allowed: [403, "Requests from this origin are not allowed."],
  password_change_required: [403, "Change your password to continue."],
  registration_closed: [403, "Registration is closed."],
  setup_closed: [403, "Setup is already complete."],
  vault_required: [403, "Open the vault to continue."],
  vault_locked: [403, "The vault is locked."],
  session_limit_reached: [403, "Too many sessions are open for this account."],
  not_found: [404, "Not found."],
  method_not_allowed: [405, "The method is not allowed here."],
  request_timeout: [408, "The request took too long to arrive."],
  conflict: [409, "The request conflicts with the current state."],
  email_taken: [409, "This e-mail address is already in use."],
  length_required: [411, "The request must declare its length."],
  precondition_failed: [412, "It was changed in the meantime."],
  payload_too_large: [413, "The request body is too large."],
  blob_too_large: [413, "The blob is too large."],
  vault_quota_exceeded: [413, "There is not enough room in the vault."],
  uri_too_long: [414, "The request target is too long."],
  unsupported_media_type: [415, "The content type is not supported."],
  validation_failed: [422, "Some fields are not valid."],
  unsupported_option: [422, "The requested option is not supported."],
  weak_password: [422, "Choose a stronger password."],
  precondition_required: [428, "The request must say which version it changes."],
  account_locked: [429, "Too many failed sign-ins. Try again later."],
  rate_limited: [429, "Too many requests. Try again later."],
  headers_too_large: [431, "The request headers are too large."],
  internal_error: [500, "Something went wrong on the server."],
  overloaded: [503, "The server is busy. Try again shortly."],
  store_unavailable: [503, "The service is temporarily unavailable."],
  timeout: [504, "The server took too long to answer."],
};
