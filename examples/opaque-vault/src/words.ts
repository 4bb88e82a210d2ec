// What the page says when something goes wrong.

import type { WayleaveError } from "wayleave";

/** A sentence for the person at the page. */
export function explain(error: WayleaveError): string {
  const { code, retryAfterSeconds = 0 } = error;
  switch (code) {
    case "account_locked":
    case "rate_limited":
      return `Too many attempts. Try again in ${duration(retryAfterSeconds)}.`;
    case "precondition_failed":
      return "This note was changed elsewhere. Copy what you wrote, sign out and in again, and put it together.";
    case "undecipherable":
      return "The note cannot be opened: it was not sealed with this key.";
    case "key_stretching_refused":
      return "This server protects passwords too weakly. Nothing was sent.";
    case "registration_closed":
      return "An account for this address cannot be made here.";
    case "vault_quota_exceeded":
    case "blob_too_large":
      return "The note is too long.";
    case "vault_locked":
      return "The note was locked. Your password opens it again.";
    default:
      return error.message;
  }
}

function duration(seconds: number): string {
  if (seconds < 60) return `${Math.max(1, Math.ceil(seconds))} seconds`;
  const minutes = Math.ceil(seconds / 60);
  return minutes === 1 ? "a minute" : `${minutes} minutes`;
}
