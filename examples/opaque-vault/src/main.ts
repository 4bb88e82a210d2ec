// The page: a door to register and sign in by, and a desk with one note on it.

import { createSession, WayleaveError } from "wayleave";
import { changePassword, openVault, register, signIn, type Vault } from "wayleave/opaque";

import { explain } from "./words";

const NOTE = "note";
/** The server never sees a password, so this side has to look at it. */
const SHORTEST_PASSWORD = 12;

const session = createSession({ carrier: "cookie" });
const element = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const identifier = element<HTMLInputElement>("identifier");
const password = element<HTMLInputElement>("password");
const personName = element<HTMLInputElement>("name");
const note = element<HTMLTextAreaElement>("note");
const newPassword = element<HTMLInputElement>("new-password");

/** What is open. The keys are in `vault`, which no script can take them out of. */
let desk: { vault: Vault; who: string; etag: string | undefined } | undefined;
let isRegistering = false;

function say(text: string, isWrong = false): void {
  const status = element("status");
  status.textContent = text;
  status.classList.toggle("wrong", isWrong);
}

/** Shows the door or the desk, and puts the caret where one types next. */
function show(): void {
  element("door").hidden = desk !== undefined;
  for (const id of ["desk", "who", "sign-out"]) element(id).hidden = desk === undefined;
  element("who").textContent = desk?.who ?? "";
  element("name-field").hidden = !isRegistering;
  element("enter").textContent = isRegistering ? "Make an account" : "Sign in";
  element("switch-text").textContent = isRegistering ? "There is an account already?" : "New here?";
  element("switch").textContent = isRegistering ? "Sign in" : "Make an account";
  element("password-hint").textContent = isRegistering
    ? `At least ${SHORTEST_PASSWORD} characters. Nobody can reset it.`
    : "";
  personName.required = isRegistering;
  password.autocomplete = isRegistering ? "new-password" : "current-password";
  password.minLength = isRegistering ? SHORTEST_PASSWORD : 0;
  (desk ? note : identifier.value === "" ? identifier : password).focus();
}

/** Runs one thing at a time, and says what went wrong with it. */
async function run(doing: string, act: () => Promise<string>): Promise<void> {
  const main = document.querySelector("main")!;
  if (main.ariaBusy === "true") return;
  main.ariaBusy = "true";
  say(doing);
  // Key stretching keeps the page busy: what was said is painted before.
  await new Promise((painted) => requestAnimationFrame(() => setTimeout(painted)));
  try {
    say(await act());
  } catch (error) {
    if (!(error instanceof WayleaveError)) {
      say("Something went wrong here. Reload the page.", true);
      throw error;
    }
    if (error.code === "vault_locked" || error.code === "session_required" || error.code === "session_invalid") leave();
    say(explain(error), true);
    if (!desk) password.focus();
  } finally {
    main.ariaBusy = "false";
  }
}

/** Forgets everything that was open. */
function leave(): void {
  desk = undefined;
  note.value = "";
  show();
}

/** Signs in, opens the vault and puts its note on the desk. */
async function enter(who: string, secret: string): Promise<void> {
  const { exportKey } = await signIn(session, { identifier: who, password: secret, vault: "write" });
  const vault = await openVault(session, exportKey);
  const found = await vault.read(NOTE);
  note.value = found ? new TextDecoder().decode(found.content) : "";
  desk = { vault, who, etag: found?.etag };
  show();
}

function onSubmit(id: string, act: () => Promise<void>): void {
  element<HTMLFormElement>(id).addEventListener("submit", (event) => {
    event.preventDefault();
    void act();
  });
}

onSubmit("credentials", () => {
  const [who, secret, name] = [identifier.value.trim(), password.value, personName.value];
  password.value = "";
  return run(isRegistering ? "Making your keys…" : "Opening…", async () => {
    if (isRegistering) await register(session, { identifier: who, password: secret, name });
    isRegistering = false;
    await enter(who, secret);
    return desk?.etag ? "Opened." : "There is no note yet.";
  });
});

onSubmit("note-form", () =>
  run("Sealing…", async () => {
    if (!desk) return "";
    desk.etag = await desk.vault.write(NOTE, new TextEncoder().encode(note.value), desk.etag);
    return "Sealed and saved.";
  }),
);

onSubmit("change-form", () => {
  const secret = newPassword.value;
  newPassword.value = "";
  return run("Changing the password…", async () => {
    if (!desk) return "";
    const { vault, who } = desk;
    await changePassword(session, { newPassword: secret, rewrap: (exportKey) => vault.rewrap(exportKey) });
    await enter(who, secret);
    element<HTMLDetailsElement>("change").open = false;
    return "The password is changed. Your other devices are signed out.";
  });
});

element("lock").addEventListener("click", () =>
  run("Locking…", async () => {
    await desk?.vault.lock();
    leave();
    return "Locked. Your password opens it again.";
  }),
);

element("sign-out").addEventListener("click", () =>
  run("Signing out…", async () => {
    await session.signOut();
    identifier.value = personName.value = "";
    leave();
    return "Signed out.";
  }),
);

element("switch").addEventListener("click", () => {
  isRegistering = !isRegistering;
  say("");
  show();
});

element("change").addEventListener("toggle", () => {
  element<HTMLInputElement>("change-identifier").value = desk?.who ?? "";
});

show();
