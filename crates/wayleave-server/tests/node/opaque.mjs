// Registers and signs in many people with @serenity-kit/opaque against a running server: `node opaque.mjs URL ACCOUNTS`.
// Prints one line of JSON: how many registered, signed in, and failed with a wrong password or an unknown name.

import * as opaque from "@serenity-kit/opaque";

const [, , base, accounts] = process.argv;
await opaque.ready;

/** Posts JSON; the status and the body. */
async function post(path, body, token) {
  const headers = { "content-type": "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  const response = await fetch(base + path, { method: "POST", headers, body: JSON.stringify(body) });
  return { status: response.status, body: await response.json() };
}

/** The library's own form of what the server says that key stretching costs; refuses less than the floor. */
function stretching({ iterations, memory_kib: memory, parallelism }, floor) {
  if (iterations < floor.iterations || memory < floor.memory) throw new Error("the server asks for too little");
  return { "argon2id-custom": { iterations, memory, parallelism } };
}

// The tests configure the server to ask for this little, so that they do not wait.
const FLOOR = { iterations: 1, memory: 1024 };

async function register(identifier, password) {
  const { clientRegistrationState, registrationRequest } = opaque.client.startRegistration({ password });
  const started = await post("/api/auth/opaque/register/start", { identifier, request: registrationRequest });
  if (started.status !== 200) throw new Error(JSON.stringify(started));
  const { response, key_stretching } = started.body.data;
  const { registrationRecord, exportKey } = opaque.client.finishRegistration({
    clientRegistrationState,
    registrationResponse: response,
    password,
    keyStretching: stretching(key_stretching, FLOOR),
  });
  const finished = await post("/api/auth/opaque/register/finish", {
    identifier,
    name: "Somebody",
    upload: registrationRecord,
    key_stretching,
  });
  if (finished.status !== 201) throw new Error(JSON.stringify(finished));
  return exportKey;
}

/** The export key and the session's token; nothing where the client sees that it cannot get in. */
async function signIn(identifier, password) {
  const { clientLoginState, startLoginRequest } = opaque.client.startLogin({ password });
  const started = await post("/api/auth/opaque/login/start", { identifier, request: startLoginRequest });
  if (started.status !== 200) throw new Error(JSON.stringify(started));
  const { login_id, response, key_stretching } = started.body.data;
  const finished = opaque.client.finishLogin({
    clientLoginState,
    loginResponse: response,
    password,
    keyStretching: stretching(key_stretching, FLOOR),
  });
  if (!finished) return undefined;
  const { finishLoginRequest, exportKey } = finished;
  const answer = await post("/api/auth/opaque/login/finish", {
    login_id,
    finish: finishLoginRequest,
    transport: "bearer",
  });
  if (answer.status !== 200) throw new Error(JSON.stringify(answer));
  return { exportKey, token: answer.body.data.session_token };
}

async function amr(token) {
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(`${base}/api/auth/sessions/current`, { headers });
  return (await response.json()).data.amr.join();
}

const counts = { registered: 0, signedIn: 0, wrong: 0, unknown: 0 };
for (let number = 0; number < Number(accounts); number += 1) {
  const identifier = `person${number}@example.com`;
  const password = `correct horse battery staple ${number}`;
  const exportKey = await register(identifier, password);
  counts.registered += 1;
  const session = await signIn(identifier, password);
  if (session?.exportKey === exportKey && (await amr(session.token)) === "opaque") counts.signedIn += 1;
  if ((await signIn(identifier, `${password}!`)) === undefined) counts.wrong += 1;
  if ((await signIn(`nobody${number}@example.com`, password)) === undefined) counts.unknown += 1;
}
console.log(JSON.stringify(counts));
