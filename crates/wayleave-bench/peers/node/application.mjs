// What the small applications on Express have in common: the same routes as those on axum, and how they listen.
import express from 'express';

const NOBODY = 'user-00000000';
let signedIn = 0;

/** A user who has not signed in to this process before. */
export const nextUser = () => `user-${String(++signedIn).padStart(8, '0')}`;

/** Where sessions are kept: the environment's STORE. */
export const store = process.env.STORE;

/** Says who it is. */
export const me = (response, userId) => (userId ? response.json({ user_id: userId }) : response.status(401).end());

/** Answers with nothing, whose length is told. */
export const done = (response) => response.set('content-length', '0').end();

const plain = (_request, response) => me(response, NOBODY);

/**
 * Serves until the process is ended. `sessions(app)` puts the sessions in front of what follows and returns what is done
 * at `/me`, `/sign-in`, `/renew` and `/sign-out`.
 */
export const serve = async (sessions) => {
  const app = express();
  app.disable('x-powered-by');
  app.get('/plain', plain);
  const { who, signIn, renew, signOut } = await sessions(app);
  app.get('/me', who);
  app.get('/open', plain);
  app.post('/sign-in', signIn);
  app.post('/renew', renew);
  app.post('/sign-out', signOut);
  const server = app.listen(0, '127.0.0.1', () => {
    console.log(`peer listens on http://127.0.0.1:${server.address().port}`);
  });
};
