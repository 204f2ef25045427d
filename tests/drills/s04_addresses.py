"""S04, where may we connect: an address that is not the service's is refused before a name is even looked up.

`dynamics-sync` runs with connections that lead somewhere else, in a process where every name leads into a trap: a
listener with a certificate that the connection trusts, so that nothing but the product's own care keeps a secret back.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from tests.drills.drill import Drill, Verdict
from tests.drills.listening import NOTHING, Answer, Listener, Seen, certificate_for, listener
from tests.drills.world import ROOT, World

ORG = "contoso.crm4.dynamics.com"
SECRET = "canary~secret-of-the-connection"
ID = "00000000-0000-4000-8000-000000000001"
REFUSED = 2
CHECK = ("check", "--action", "drill")
RUN = ("run", "--action", "drill")

# {tls} and {plain} are ports where somebody listens.
NUMBERS = (
    "127.0.0.1:{tls}",
    "2130706433:{tls}",
    "0x7f000001:{tls}",
    "0177.0.0.1:{tls}",
    "0x7f.0.0.1:{tls}",
    "127.1:{tls}",
    "[::1]:{tls}",
    "[::ffff:127.0.0.1]:{tls}",
    "[::ffff:7f00:1]:{tls}",
    "[64:ff9b::7f00:1]:{tls}",
    "0.0.0.0:{tls}",
    "[::]:{tls}",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "[fe80::1]",
    "[fd00::1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "①②⑦.⓪.⓪.①:{tls}",
)
NAMES = (
    "localhost:{tls}",
    "localhost.:{tls}",
    "localhost.localdomain",
    "127.0.0.1.nip.io",
    "localtest.me",
    "metadata.google.internal",
    "rebind.example.test",
    "example.test",
    f"{ORG}.example.test",
    f"example.test/{ORG}",
    f"example.test?{ORG}",
    f"example.test#{ORG}",
    f"{ORG}.",
    f"{ORG}:{{tls}}",
    f"{ORG}:80",
    f"{ORG}:22",
    f"{ORG}@127.0.0.1:{{tls}}",
    f"{ORG}:443@127.0.0.1:{{tls}}",
    f"example.test\\@{ORG}",
    f"user:word@{ORG}",
    "contoso.crm4.dynamics.com%2eexample.test",
    "contoso。crm4.dynamics.com.example.test",
    "crm4.dynamics.com",
    "contoso-crm4.dynamics.com",
)
HTTP = (f"http://{ORG}", "http://127.0.0.1:{plain}", f"HTTP://{ORG}", f"//{ORG}", f"ftp://{ORG}", f"file://{ORG}/x")
AUTHORITIES = (
    *(f"https://{host}/{ID}" for host in NUMBERS),
    f"https://example.test/{ID}",
    f"https://localhost:{{tls}}/{ID}",
    f"https://login.microsoftonline.com.example.test/{ID}",
    f"https://login.microsoftonline.com@127.0.0.1:{{tls}}/{ID}",
    f"https://user:word@login.microsoftonline.com/{ID}",
    f"https://login.microsoftonline.com:{{tls}}/{ID}",
    f"https://example.test\\@login.microsoftonline.com/{ID}",
    f"https://{ORG}/{ID}",
    f"http://login.microsoftonline.com/{ID}",
    f"http://127.0.0.1:{{plain}}/{ID}",
)
# Captello names no host of its own: any public name may be right, but no number of a private place or in disguise.
CAPTELLO = (
    *(f"https://{host}" for host in NUMBERS if not host.startswith(("127.0.0.1", "[::1]"))),
    "https://localhost.:{tls}",
    "https://user:word@capture.example.test",
    "https://capture.example.test@127.0.0.1:{tls}",
    "https://example.test\\@capture.example.test",
    "https://capture.example.test/path",
    "http://capture.example.test",
    "http://127.0.0.1:{plain}",
)


@dataclass(frozen=True)
class Case:
    """One command with its connections, `label` without anything secret."""

    label: str
    connections: dict[str, str]
    words: Sequence[str] = CHECK


@dataclass(frozen=True)
class Traps:
    """The listeners: `tls` and `plain` are where every unknown address leads; `other` is where redirects lead."""

    tls: Listener
    plain: Listener
    other: Listener
    bundle: str

    def fill(self, text: str) -> str:
        return text.replace("{tls}", str(self.tls.port)).replace("{plain}", str(self.plain.port))


def environments(world: World, seed: int) -> Verdict:
    """Addresses of the environment, with and without `sandbox: true`."""
    addresses = [*(f"https://{host}" for host in NUMBERS + NAMES), *HTTP]
    with _traps(world, addresses) as traps:
        cases = [
            Case(f"{address}, sandbox {sandbox}", _dynamics(traps, host=traps.fill(address), sandbox=sandbox))
            for address in addresses
            for sandbox in (False, True)
            if not (sandbox and _is_this_machine(address))
        ]
        parted = _dynamics(traps, host="https://127.0.0.1", port=traps.tls.port)
        odd = _dynamics(traps, host=f"https://{ORG}", port=traps.tls.port)
        cases += [Case("the port in a field of its own", parted), Case("an odd port in its field", odd)]
        return _refused(world, traps, cases, seed)


def authorities(world: World, seed: int) -> Verdict:
    """Addresses of the token endpoint: the environment's is good, but the secret would go somewhere else."""
    with _traps(world, AUTHORITIES) as traps:
        traps.tls.answer = traps.plain.answer = _lure
        local = {"sandbox": True, "host": f"https://localhost:{traps.tls.port}"}
        settings: list[tuple[bool, dict[str, Any]]] = [(False, {}), (True, local)]
        cases = [
            Case(f"authority {address}, sandbox {sandbox}", _dynamics(traps, authority=traps.fill(address), **more))
            for address in AUTHORITIES
            for sandbox, more in settings
            if not (sandbox and _is_this_machine(address))
        ]
        return _refused(world, traps, cases, seed)


def sources(world: World, seed: int) -> Verdict:
    """Addresses of Captello."""
    with _traps(world, CAPTELLO) as traps:
        cases = [
            Case(f"Captello at {address}", {"AIRFLOW_CONN_CAPTELLO_DEFAULT": _captello(traps, address)}, RUN)
            for address in CAPTELLO
        ]
        return _refused(world, traps, cases, seed)


def led_elsewhere(world: World, seed: int) -> Verdict:
    """Redirects, documents that name another host, and names that lead to another machine."""
    with _traps(world, ["https://localhost"]) as traps:
        here = f"https://localhost:{traps.tls.port}"
        there = f"https://localhost:{traps.other.port}"
        local: dict[str, Any] = {"host": here, "authority": f"{here}/{ID}", "sandbox": True}
        signed_in = {
            "/openid-configuration": _discovery(here),
            "/token": _json({"access_token": "t", "expires_in": 99}),
        }
        redirect: Answer = (307, {"Location": f"{there}/api/data/v9.2/WhoAmI"}, b"")
        stories: list[tuple[str, dict[str, str], Sequence[str], dict[str, Answer]]] = [
            ("the environment redirects", _dynamics(traps, **local), CHECK, {**signed_in, "": redirect}),
            ("the authority redirects", _dynamics(traps, **local), CHECK, {"": redirect}),
            ("the token endpoint redirects", _dynamics(traps, **local), CHECK, signed_in | {"/token": redirect}),
            (
                "the authority names another token endpoint",
                _dynamics(traps, **local),
                CHECK,
                {"/openid-configuration": _discovery(there)},
            ),
            (
                "Captello redirects",
                {"AIRFLOW_CONN_CAPTELLO_DEFAULT": _captello(traps, here)},
                RUN,
                {"": redirect},
            ),
        ]
        wrong = []
        for label, connections, words, answers in stories:
            traps.tls.answer = partial(_first, answers)
            (result,) = _commands(world, traps, [Case(label, connections, words)])
            wrong += _judged(label, result)
            if not traps.tls.seen:
                wrong.append(f"{label}: nobody came to be led elsewhere")
            if traps.other.connections:
                wrong.append(f"{label}: it was followed, {_given_away(traps.other)}")
            for trap in (traps.tls, traps.other):
                trap.clear()
        # The name is the service's, the machine is not: its certificate is not good for the name.
        plainly = _dynamics(traps, ca_bundle=None)
        (result,) = _commands(world, traps, [Case("names lead elsewhere", plainly)])
        wrong += _judged("names lead elsewhere", result)
        if not result["hosts"] or not traps.tls.connections:
            wrong.append("names lead elsewhere: nobody went there")
        if traps.tls.seen:
            wrong.append(f"names lead elsewhere: a request was sent, {_given_away(traps.tls)}")
        return Verdict(wrong, {"stories": len(stories) + 1})


def _refused(world: World, traps: Traps, cases: list[Case], seed: int) -> Verdict:
    """Run the cases: each ends with a refusal, without a look-up, a connection or the secret in its text."""
    random.Random(seed).shuffle(cases)
    wrong = []
    for case, result in zip(cases, _commands(world, traps, cases), strict=True):
        wrong += _judged(case.label, result)
        if result["hosts"]:
            wrong.append(f"{case.label}: went to {', '.join(sorted(set(result['hosts'])))}")
    for name, trap in (("TLS", traps.tls), ("plain", traps.plain)):
        if trap.connections:
            wrong.append(f"{trap.connections} connections reached the {name} listener, {_given_away(trap)}")
    return Verdict(wrong, {"addresses": len(cases)})


def _judged(label: str, result: dict[str, Any]) -> list[str]:
    wrong = [] if result["code"] == REFUSED else [f"{label}: exit code {result['code']} instead of {REFUSED}"]
    return wrong + ([f"{label}: the text holds the secret"] if SECRET in result["text"] else [])


def _given_away(trap: Listener) -> str:
    return f"{sum(seen.gives_away for seen in trap.seen)} of {len(trap.seen)} requests with a credential"


def _commands(world: World, traps: Traps, cases: Sequence[Case]) -> list[dict[str, Any]]:
    """What each case came to; all of them in one process."""
    hub = urlsplit(world.crm.ready["authority"]).port
    organization = urlsplit(world.crm.ready["organizations"][0]["url"]).port
    before = world.environment()
    task = {
        "trap": traps.tls.port,
        "plain_trap": traps.plain.port,
        "open": [hub, organization, traps.tls.port, traps.other.port],
        "cases": [
            {
                "words": case.words,
                "connections": {"AIRFLOW_CONN_DYNAMICS_DEFAULT": before["AIRFLOW_CONN_DYNAMICS_DEFAULT"]}
                | case.connections,
            }
            for case in cases
        ],
    }
    proxies = {"http_proxy", "https_proxy", "all_proxy"}
    run = subprocess.run(
        [sys.executable, "-m", "tests.drills.trapped_cli"],
        input=json.dumps(task),
        env={name: value for name, value in before.items() if name.lower() not in proxies},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    return [json.loads(line) for line in run.stdout.splitlines()]


@contextmanager
def _traps(world: World, addresses: Sequence[str]) -> Iterator[Traps]:
    """Listeners whose certificate is good for every host of these addresses, and trusted."""
    hosts = {"localhost", "127.0.0.1", "login.microsoftonline.com", ORG} | set(filter(None, map(_host, addresses)))
    certificate = certificate_for(hosts, world.folder / "trap.pem")
    with listener(certificate) as tls, listener() as plain, listener(certificate) as other:
        yield Traps(tls, plain, other, str(certificate))


def _host(address: str) -> str:
    """The host a client may read out of an address, where a certificate can name it."""
    try:
        host = urlsplit(address.replace(":{tls}", "").replace(":{plain}", "")).hostname or ""
    except ValueError:
        return ""
    return host.rstrip(".") if host.isascii() and "%" not in host and "\\" not in host else ""


def _is_this_machine(address: str) -> bool:
    """Whether a sandbox may be there."""
    return (
        address.startswith("https://") and _host(address) in ("localhost", "127.0.0.1", "::1") and ".:" not in address
    )


def _dynamics(traps: Traps, host: str = f"https://{ORG}", port: int | None = None, **extra: Any) -> dict[str, str]:
    content = {
        "conn_type": "dynamics",
        "host": host,
        "port": port,
        "login": ID,
        "password": SECRET,
        "extra": {"tenant_id": ID, "ca_bundle": traps.bundle} | extra,
    }
    return {"AIRFLOW_CONN_DYNAMICS_DEFAULT": json.dumps(content)}


def _captello(traps: Traps, address: str) -> str:
    extra = {"ca_bundle": traps.bundle}
    content = {"conn_type": "captello", "host": traps.fill(address), "password": SECRET, "extra": extra}
    return json.dumps(content)


def _json(content: object) -> Answer:
    return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()


def _discovery(origin: str) -> Answer:
    base = f"{origin}/{ID}"
    endpoints = {"authorization_endpoint": f"{base}/authorize", "token_endpoint": f"{base}/token"}
    return _json(endpoints | {"issuer": f"{base}/v2.0"})


def _first(answers: dict[str, Answer], seen: Seen) -> Answer:
    """The answer of the first ending that fits; the empty one fits always."""
    path = seen.path.partition("?")[0]
    return next((answer for ending, answer in answers.items() if path.endswith(ending)), NOTHING)


def _lure(seen: Seen) -> Answer:
    """What makes a client send its secret: a sign-in document for whatever host it took this one for."""
    return _discovery(f"https://{seen.headers.get('Host', 'localhost')}")


DRILL = Drill(
    "S04",
    "S1",
    {"environment": environments, "authority": authorities, "Captello": sources, "led elsewhere": led_elsewhere},
    seeds=3,  # a seed changes the order of cases alone
)
