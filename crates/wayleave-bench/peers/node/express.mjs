// The small application with express-session and connect-redis, on the Redis server whose URL STORE is.
import session from 'express-session';
import { RedisStore } from 'connect-redis';
import { createClient } from 'redis';
import { done, me, nextUser, serve, store } from './application.mjs';

const DAY = 86_400_000;
const answer = (response, error) => (error ? response.status(500).end() : done(response));

await serve(async (app) => {
  const client = createClient({ url: store });
  await client.connect();
  app.use(
    session({
      store: new RedisStore({ client }),
      secret: '0123456789abcdef0123456789abcdef',
      resave: false,
      saveUninitialized: false,
      cookie: { maxAge: DAY },
    }),
  );
  return {
    who: (request, response) => me(response, request.session.user_id),
    signIn: (request, response) => {
      request.session.user_id = nextUser();
      done(response);
    },
    renew: (request, response) => {
      const user = request.session.user_id;
      request.session.regenerate((error) => {
        if (!error) request.session.user_id = user;
        answer(response, error);
      });
    },
    signOut: (request, response) => request.session.destroy((error) => answer(response, error)),
  };
});
