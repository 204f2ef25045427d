"""S02: doors. Every route of the plugin is closed to whoever may not enter; only webhooks are open, to signed calls.

On a real API server of Airflow with one user of each role: the route table is walked as nobody, viewer, user, operator
and admin; requests of other sites carry a valid cookie; and where Airflow's sign-in cannot be imported all is closed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping

import requests

from tests.contract.web.posting import SECRET, message, signed
from tests.drills.api_server import ROLES, ApiServer, api_server
from tests.drills.drill import Drill, Verdict
from tests.drills.s06_webhooks import effects
from tests.drills.world import World

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
CHANGING = ("POST", "PUT", "PATCH", "DELETE")
OPEN = ("/webhooks/{source}", "/webhooks/{source}/{token}")
NOT_THERE = ("", "no-such-page", "docs", "redoc", "openapi.json", "webhooks", "webhooks/a/b/c")
REFUSED = (401, 403)

# Lists the app's routes, and, with the sign-in made impossible to import, what each of them answers.
WALK = """
import sys
from starlette.testclient import TestClient
if sys.argv[1] == "broken":
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "airflow.api_fastapi.core_api.security":
                raise ImportError(name=name)
    sys.modules.pop("airflow.api_fastapi.core_api.security", None)
    sys.meta_path.insert(0, Broken())
from dynamics.web.app import create_app
app = create_app()
for route in app.routes:
    for method in sorted(getattr(route, "methods", None) or {"GET"}):
        path = route.path.format(source="captello_default", token="t" * 40, run_id="1")
        status = TestClient(app).request(method, path).status_code if sys.argv[1] == "broken" else 0
        print("ROUTE", method, route.path, status)
"""


def doors(world: World, seed: int) -> Verdict:
    """Every route and role, and requests of other sites."""
    world.captello_extra["webhook_secret"] = SECRET
    with api_server(world) as server:
        before = effects(world)
        routes = [(method, path) for method, path, _ in walked(world, "whole")]
        wrong = [*_as_nobody(server, routes), *_by_role(server), *_from_other_sites(server)]
        if effects(world) != before:
            wrong.append("something was changed by who may not")
        body = message("msg_1", "webhook.test")
        for who in ({}, _cookie(server, "viewer")):
            answer = _call(server, "POST", "webhooks/captello_default", {**signed("msg_1", body), **who}, body)
            if answer != 202:
                wrong.append(f"a signed webhook was answered {answer}")
    return Verdict(wrong, {"routes": len(routes)})


def _as_nobody(server: ApiServer, routes: list[tuple[str, str]]) -> Iterator[str]:
    """Without a sign-in nothing is there: not what exists, not what does not, by no method."""
    places = [
        (path.strip("/").format(source="captello_default", token="t" * 40, run_id="1"), path) for _, path in routes
    ]
    for place, path in [*dict.fromkeys(places), *((name, name) for name in NOT_THERE)]:
        for method in METHODS:
            status = _call(server, method, place, {})
            # An open one is still no page: it looks after itself, and says as little.
            expected = (401, 404) if path in OPEN and method == "POST" else REFUSED
            if status not in expected:
                yield f"nobody, {method} {path}: {status}"
    for token in ("", "x", "eyJhbGciOiJub25lIn0.e30."):
        if (status := _call(server, "GET", "no-such-page", {"Authorization": f"Bearer {token}"})) not in REFUSED:
            yield f"a token of nobody: {status}"


def _by_role(server: ApiServer) -> Iterator[str]:
    """Who may read may see pages, who may start runs may ask for changes. A page that is not there says so to both."""
    for role in ROLES:
        bearer = {"Authorization": f"Bearer {server.token(role)}"}
        for method in METHODS:
            may = method not in CHANGING or role != "viewer"
            status = _call(server, method, "no-such-page", bearer)
            if status != (404 if may else 403):
                yield f"{role}, {method}: {status}"


def _from_other_sites(server: ApiServer) -> Iterator[str]:
    """With the cookie of an admin, as a browser would send it."""
    cookie, own = _cookie(server, "admin"), {"X-Dynamics-Page": "1"}
    origin = {"Origin": server.url}
    tries: list[tuple[str, Mapping[str, str], bool]] = [
        ("a form of another site", {"Origin": "https://evil.example"}, False),
        ("a form without an origin", {}, False),
        ("a sandboxed frame", {"Origin": "null"}, False),
        ("a fetch of another site", {"Origin": "https://evil.example", **own}, False),
        ("a form of this site", origin, False),
        ("a header without an origin", own, False),
        ("a page of this site", {**origin, **own}, True),
    ]
    for name, headers, may in tries:
        for method in CHANGING:
            if (status := _call(server, method, "no-such-page", {**cookie, **headers})) != (404 if may else 403):
                yield f"{name}, {method}: {status}"


def closed_without_sign_in(world: World, seed: int) -> Verdict:
    """Where Airflow's sign-in cannot be imported, every route is closed, webhooks too."""
    found = walked(world, "broken")
    wrong = [f"{method} {path}: {status}" for method, path, status in found if status != 503]
    return Verdict(wrong if found else ["there is no route to try"], {"routes": len(found)})


def walked(world: World, how: str) -> list[tuple[str, str, int]]:
    """Method, path and answer of each route."""
    environment = world.environment() | {"AIRFLOW_HOME": str(world.folder), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", WALK, how]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    words = [line.split() for line in told.stdout.splitlines() if line.startswith("ROUTE ")]
    return [(method, path, int(status)) for _, method, path, status in words]


def _cookie(server: ApiServer, role: str) -> dict[str, str]:
    return {"Cookie": f"_token={server.token(role)}"}


def _call(server: ApiServer, method: str, place: str, headers: Mapping[str, str], body: bytes = b"") -> int:
    with requests.Session() as session:
        session.trust_env = False
        url = f"{server.url}/dynamics/{place}"
        return session.request(
            method, url, headers=dict(headers), data=body, timeout=30, allow_redirects=False
        ).status_code


DRILL = Drill(
    number="S02",
    severity="S1",
    seeds=1,
    variants={"routes, roles, other sites": doors, "no sign-in to import": closed_without_sign_in},
)
