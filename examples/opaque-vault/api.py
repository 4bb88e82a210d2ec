"""An application of its own behind Wayleave's sessions: who is asking is one dependency.

WAYLEAVE_URL=http://127.0.0.1:8080 WAYLEAVE_SERVICE_KEY=... uvicorn api:app
"""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

import httpx
import jwt
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

LONGEST_TOKEN = 8192
# How often a token with an unknown key may have the key set fetched, in seconds.
KEYS_PAUSE = 10
CLAIMS = ["iss", "exp", "aud", "sub", "client_id", "iat", "jti", "sid"]


@dataclass(frozen=True)
class User:
    """Whoever is behind a session."""

    subject: str
    session_id: str
    permissions: frozenset[str]
    # How they proved who they are: `opaque`, `pwd` ...
    methods: tuple[str, ...]


class Unavailable(Exception):
    """Wayleave cannot say, so nobody gets in."""


class Wayleave:
    """A Wayleave server, as a service asks it."""

    def __init__(self, http: httpx.AsyncClient, issuer: str, audience: str) -> None:
        self.http = http
        self.issuer = issuer
        self.audience = audience
        self.keys: dict[str, jwt.PyJWK] = {}
        self.keys_asked_at = float("-inf")

    async def user(self, token: str) -> User | None:
        """Whose token it is; nothing for one that is forged, over or revoked."""
        if len(token) > LONGEST_TOKEN or not token.isascii():
            return None
        # What is forged or over costs no round trip. That a good one was not revoked only the server knows: without the
        # question a JWT would be good up to its end, 15 minutes after it was made unless configured otherwise.
        if token.count(".") == 2 and not await self.is_signed(token):
            return None
        answer = await self.ask("POST", "/api/auth/introspect", data={"token": token})
        if not answer["active"] or "sub" not in answer:
            return None
        return User(
            subject=answer["sub"],
            session_id=answer["sid"],
            permissions=frozenset(answer["scope"].split()),
            methods=tuple(answer.get("amr", [])),
        )

    async def is_signed(self, token: str) -> bool:
        """Whether a JWT is one of the server's and not over, by the published keys (RFC 9068)."""
        try:
            header = jwt.get_unverified_header(token)
            key = await self.key(header.get("kid"))
            if key is None or header.get("typ") != "at+jwt":
                return False
            jwt.decode(
                token,
                key,
                algorithms=["EdDSA"],
                audience=self.audience,
                issuer=self.issuer,
                leeway=30,
                options={"require": CLAIMS},
            )
        except jwt.InvalidTokenError:
            return False
        return True

    async def key(self, name: object) -> jwt.PyJWK | None:
        """A published key. New ones are there well before they sign, so that an unknown name is rarely one."""
        if not isinstance(name, str):
            return None
        if name not in self.keys and time.monotonic() - self.keys_asked_at >= KEYS_PAUSE:
            self.keys_asked_at = time.monotonic()
            published = await self.ask("GET", "/.well-known/jwks.json")
            self.keys = {key["kid"]: jwt.PyJWK(key) for key in published["keys"]}
        return self.keys.get(name)

    async def ask(self, method: str, path: str, data: dict[str, str] | None = None) -> dict:
        try:
            answer = await self.http.request(method, path, data=data)
            answer.raise_for_status()
            return answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise Unavailable(path) from error


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    url = os.environ["WAYLEAVE_URL"]
    issuer = os.environ.get("WAYLEAVE_ISSUER", url)
    audience = os.environ.get("WAYLEAVE_AUDIENCE", issuer)
    authorization = {"authorization": f"Bearer {os.environ['WAYLEAVE_SERVICE_KEY']}"}
    async with httpx.AsyncClient(base_url=url, headers=authorization, timeout=5) as http:
        app.state.wayleave = Wayleave(http, issuer, audience)
        yield


app = FastAPI(lifespan=lifespan)
bearer = HTTPBearer(auto_error=False, description="A session's token, opaque or JWT.")


async def get_current_user_from_session_token(
    request: Request, shown: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> User:
    """Whoever is behind the request's session. Anything but a live one is answered 401, and no answer from Wayleave 503."""
    if shown is None:
        raise HTTPException(401, "Sign in to continue.", {"WWW-Authenticate": "Bearer"})
    try:
        user = await request.app.state.wayleave.user(shown.credentials)
    except Unavailable as error:
        raise HTTPException(503, "Try again later.", {"Retry-After": "5"}) from error
    if user is None:
        raise HTTPException(401, "The session is not valid.", {"WWW-Authenticate": 'Bearer error="invalid_token"'})
    return user


CurrentUser = Annotated[User, Depends(get_current_user_from_session_token)]


def requires(permission: str):
    """A dependency that lets through whose session holds `permission`, and answers others 403."""

    def check(user: CurrentUser) -> User:
        if permission not in user.permissions:
            raise HTTPException(403, "You do not have permission to do this.")
        return user

    return Depends(check)


@app.get("/me")
def me(user: CurrentUser) -> dict[str, object]:
    return {"subject": user.subject, "session": user.session_id, "methods": user.methods}


@app.get("/messages")
def messages(user: Annotated[User, requires("write:messages")]) -> dict[str, object]:
    return {"to": user.subject, "messages": ["Welcome."]}
