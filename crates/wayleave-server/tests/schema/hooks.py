"""Signs every request in, and gives every other request what it needs to succeed.

A session that a request ended is replaced by a new one. What is known to be good (an account's password, an id that
exists) stands in the environment and below; the other half of the requests keeps what was generated.
"""

import json
import os
import urllib.error
import urllib.request
from collections import Counter

import schemathesis

URL = os.environ["WAYLEAVE_URL"]
EMAIL = os.environ["WAYLEAVE_EMAIL"]
PASSWORD = os.environ["WAYLEAVE_PASSWORD"]
ADMINISTRATOR = os.environ["WAYLEAVE_ADMINISTRATOR"]
SERVICE_KEY = os.environ["WAYLEAVE_SERVICE_KEY"]
FOR_SERVICES = {("POST", "/api/auth/sessions"), ("POST", "/api/auth/introspect"), ("POST", "/api/auth/revoke")}
calls = Counter()
# Names of this run, apart from those of a run before against the same server.
RUN = os.getpid()


def ask(method, path, body=None, token=None):
    headers = {"content-type": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(URL + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return {"status": error.code}


def sign_in(email=EMAIL):
    body = {"email": email, "password": PASSWORD, "transport": "bearer"}
    return ask("POST", "/api/auth/login", body)["data"]


class Held:
    token = None

    @classmethod
    def session(cls):
        if "data" not in ask("GET", "/api/auth/session", token=cls.token):
            cls.token = sign_in()["session_token"]
        return cls.token


@schemathesis.auth(refresh_interval=None)
class Session:
    def get(self, case, context):
        return SERVICE_KEY if (case.method.upper(), case.path) in FOR_SERVICES else Held.session()

    def set(self, case, data, context):
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


def administrator():
    return sign_in(ADMINISTRATOR)["session_token"]


def somebody():
    """A new account's id."""
    calls["somebody"] += 1
    body = {"email": f"person-{RUN}-{calls['somebody']}@example.com", "name": "Person", "password": PASSWORD}
    return ask("POST", "/api/admin/users", body, administrator())["data"]["user"]["id"]


def invitation():
    body = {"permissions": [], "expires_in": 3600}
    return ask("POST", "/api/admin/invitations", body, administrator())["data"]["invitation"]["id"]


def service():
    calls["service"] += 1
    name = f"service-{RUN}-{calls['service']}"
    body = {"name": name, "permissions": [], "expires_in": 3600}
    ask("POST", "/api/admin/service-keys", body, administrator())
    return name


def settings():
    data = ask("GET", "/api/admin/settings", token=administrator())["data"]
    return {"policy": data["policy"], "revision": data["revision"]}


def reset_token():
    calls["reset"] += 1
    path = f"/api/admin/users/{somebody()}/reset-link"
    return ask("POST", path, {}, administrator())["data"]["url"].split("#")[1]


# What makes an operation succeed: body and path parameters.
GOOD = {
    ("POST", "/api/auth/login"): lambda: {"body": {"email": EMAIL, "password": PASSWORD, "transport": "bearer"}},
    ("POST", "/api/auth/register"): lambda: {
        "body": {"email": f"new-{RUN}-{calls.total()}@example.com", "password": PASSWORD, "name": "New"}
    },
    ("POST", "/api/auth/password"): lambda: {
        "body": {"current_password": PASSWORD, "new_password": PASSWORD, "end_other_sessions": False}
    },
    ("POST", "/api/auth/password/reset"): lambda: {"body": {"token": reset_token(), "new_password": PASSWORD}},
    ("POST", "/api/auth/step-up"): lambda: {"body": {"password": PASSWORD}},
    ("POST", "/api/auth/sessions"): lambda: {"body": {"subject": "customer-17"}},
    ("POST", "/api/auth/sessions/refresh"): lambda: {"body": {"refresh_token": sign_in()["refresh_token"]}},
    ("POST", "/api/auth/sessions/extend"): lambda: {"body": {}},
    ("DELETE", "/api/auth/sessions/{id}"): lambda: {"path": {"id": sign_in()["session_id"]}},
    ("GET", "/api/admin/sessions/{id}"): lambda: {"path": {"id": sign_in()["session_id"]}},
    ("DELETE", "/api/admin/sessions/{id}"): lambda: {"path": {"id": sign_in()["session_id"]}},
    ("PUT", "/api/admin/settings"): lambda: {"body": settings()},
    ("POST", "/api/admin/users"): lambda: {"body": {"email": f"made-{RUN}-{calls.total()}@example.com", "name": "Made"}},
    ("GET", "/api/admin/users/{id}"): lambda: {"path": {"id": somebody()}},
    ("PATCH", "/api/admin/users/{id}"): lambda: {"path": {"id": somebody()}, "body": {"name": "Changed"}},
    ("POST", "/api/admin/users/{id}/unlock"): lambda: {"path": {"id": somebody()}},
    ("POST", "/api/admin/users/{id}/reset-link"): lambda: {"path": {"id": somebody()}},
    ("DELETE", "/api/admin/users/{id}/sessions"): lambda: {"path": {"id": somebody()}},
    ("DELETE", "/api/admin/invitations/{id}"): lambda: {"path": {"id": invitation()}},
    ("DELETE", "/api/admin/service-keys/{name}"): lambda: {"path": {"name": service()}},
}


@schemathesis.hook
def before_call(context, case, kwargs):
    operation = (case.method.upper(), case.path)
    calls[operation] += 1
    # The first and every other one.
    if operation not in GOOD or calls[operation] % 2 == 0:
        return
    good = GOOD[operation]()
    if "body" in good:
        case.body = good["body"]
        case.media_type = "application/json"
    if "path" in good:
        case.path_parameters = good["path"]
