// The small application with better-auth, on the PostgreSQL database whose URL STORE is.
//
// Sessions are opened as its own plugins open them, without a password. It has no renewal that gives a session another
// id: renewing is what it does itself to a session in use, a later end and the cookie once more.
import { betterAuth } from 'better-auth';
import { createAuthEndpoint, getSessionFromCtx } from 'better-auth/api';
import { setSessionCookie } from 'better-auth/cookies';
import { getMigrations } from 'better-auth/db/migration';
import { fromNodeHeaders } from 'better-auth/node';
import pg from 'pg';
import { done, me, serve, store } from './application.mjs';

const EMAIL = 'ann@example.org';
const DAY_SECONDS = 86_400;

const doors = (ann) => ({
  id: 'doors',
  endpoints: {
    open: createAuthEndpoint('/doors/open', { method: 'POST' }, async (context) => {
      const user = ann();
      const session = await context.context.internalAdapter.createSession(user.id);
      await setSessionCookie(context, { session, user });
      return context.json({});
    }),
    renew: createAuthEndpoint('/doors/renew', { method: 'POST', requireHeaders: true }, async (context) => {
      const { session, user } = await getSessionFromCtx(context, { disableRefresh: true });
      const now = new Date();
      const expiresAt = new Date(now.getTime() + DAY_SECONDS * 1000);
      const { internalAdapter } = context.context;
      const renewed = await internalAdapter.updateSession(session.token, { expiresAt, updatedAt: now });
      await setSessionCookie(context, { session: renewed, user });
      return context.json({});
    }),
  },
});

await serve(async () => {
  let ann;
  const auth = betterAuth({
    database: new pg.Pool({ connectionString: store }),
    secret: '0123456789abcdef0123456789abcdef',
    baseURL: 'http://127.0.0.1',
    rateLimit: { enabled: false },
    telemetry: { enabled: false },
    session: { expiresIn: DAY_SECONDS },
    plugins: [doors(() => ann)],
  });
  await (await getMigrations(auth.options)).runMigrations();
  const { internalAdapter } = await auth.$context;
  const known = await internalAdapter.findUserByEmail(EMAIL);
  ann = known?.user ?? (await internalAdapter.createUser({ email: EMAIL, name: 'Ann', emailVerified: true }));
  // Calls an endpoint in process and passes on the cookies that it sets.
  const call = (endpoint) => async (request, response) => {
    const { headers } = await endpoint({ headers: fromNodeHeaders(request.headers), returnHeaders: true });
    response.append('set-cookie', headers.getSetCookie());
    done(response);
  };
  return {
    who: async (request, response) => {
      const session = await auth.api.getSession({ headers: fromNodeHeaders(request.headers) });
      me(response, session?.user.id);
    },
    signIn: call(auth.api.open),
    renew: call(auth.api.renew),
    signOut: call(auth.api.signOut),
  };
});
