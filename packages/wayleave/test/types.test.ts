// What does not compile: read by `tsc`, which fails where an error is expected and there is none.

import { test } from "node:test";

import { createSession, type ErrorCode, type Session, WayleaveError } from "wayleave";
import { signIn } from "wayleave/opaque";

function carriers(): void {
  // @ts-expect-error there are two carriers, and one must be chosen
  createSession({ baseUrl: "https://auth.example.org" });
  // @ts-expect-error a carrier is not any text
  createSession({ carrier: "localStorage" });
}

function codes(error: WayleaveError): string {
  switch (error.code) {
    case "session_expired":
    case "unreachable":
      return error.code;
    // @ts-expect-error no such code
    case "session_expred":
      return "";
    default: {
      const rest:
        Exclude<ErrorCode, "session_expired"> | "unexpected_answer" | "key_stretching_refused" | "undecipherable" =
        error.code;
      return rest;
    }
  }
}

async function opaque(session: Session): Promise<void> {
  // @ts-expect-error the vault is opened to read or to write
  await signIn(session, { identifier: "a", password: "b", vault: true });
  const { exportKey } = await signIn(session, { identifier: "a", password: "b", vault: "write" });
  // @ts-expect-error the export key is bytes, which do not go into a text by mistake
  const text: string = exportKey;
  void text;
}

test("the types compile", () => void [carriers, codes, opaque]);
