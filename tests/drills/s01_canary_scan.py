"""S01, canary scan: people and secrets that can be recognised go through faults of every kind; then everything is read.

Looked through are what the command line prints with our loggers at DEBUG, an Airflow run's logs and its whole metadata
database, every table of the audit database but `prospect`, and the addresses of all requests. People may stand in
`sync.prospect` and in the CRM, secrets nowhere.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.drills.drill import Drill, Verdict
from tests.drills.world import ROOT, World

CLI_AT_DEBUG = (
    "import logging; logging.getLogger('dynamics').setLevel(logging.DEBUG); from dynamics.cli import main; main()"
)
PEOPLE = ("qzfirst", "qzlast", "qzmail", "qznote", "qzcompany", "qztitle", "3055512", "qzcustom")
TOKEN = "qztoken"
PASSWORD = "qzpassword"
AIRFLOW = "airflow's output"
SAID = "No Qzfirst1 Qzlast1 <qzmail1@canary.example> here, call +49 3055512001"  # by the CRM, of prospect 1
OTHER = "Qzfirst9 Qzlast9 <qzmail9@canary.example> says so already"  # of somebody else

Places = dict[str, str]  # where -> what was found to be read there


def drill(
    world: World, seed: int, count: int = 60, airflow: bool = True, names: Collection[str] | None = None
) -> Verdict:
    """All disturbances, or those of these names, one after the other; then the scan."""
    world.crm.control("PUT", "settings", {"token_prefix": TOKEN})
    read: Places = {}
    wrong = []
    for name in names or DISTURBANCES:
        disturb = (DISTURBANCES | TALKATIVE)[name]
        world.crm.control("PUT", "faults", [])
        _stand(world)
        extra = disturb(world)
        people = _people(name, count, revision=seed)
        file = world.write_prospects(people, f"{_id_of(name)}.jsonl")
        read[name] = _at_debug(world, extra, "run", "--action", "drill", "--file", str(file))
        fired = [fault["fired"] for fault in world.crm.control("GET", "faults")]
        wrong += [f"{name}: fault {place} never fired" for place, times in enumerate(fired) if not times]
    world.crm.control("PUT", "faults", [])
    _stand(world)
    read["broken file"] = _at_debug(world, {}, "run", "--action", "drill", "--file", str(_broken_file(world)))
    for form in ("table", "json", "csv"):
        read[f"log as {form}"] = _at_debug(world, {}, "log", "--outcome", "rejected", "--format", form)
    if airflow:
        read |= _in_airflow(world, _people("airflow", count, revision=seed))
    read |= _audit_tables(world)
    read["addresses of requests"] = "\n".join(
        str(entry["path"]) for entry in world.journal() if entry["parent"] is None
    )
    secrets = [world.crm.ready[name] for name in ("client_secret", "capture_key", "control_key")]
    for place, text in read.items():
        lower = text.lower()
        found = [word for word in PEOPLE if word in lower]
        found += ["a secret" for secret in [*secrets, TOKEN, PASSWORD] if secret.lower() in lower]
        wrong += [f"{place}: {', '.join(found)}"] * bool(found)
    wrong += _really_read(world, read, airflow)
    return Verdict(wrong, {"places": len(read), "bytes": sum(map(len, read.values()))})


# ---------------------------------------------------------------- disturbances


def _stand(world: World, **standing: str) -> None:
    """The application's standing: in order but for what is named."""
    whole = {"secret": "valid", "user": "enabled"} | standing
    world.crm.control("PUT", "settings", {"applications": {world.crm.ready["client_id"]: whole}})


def _faults(world: World, *faults: Mapping[str, Any]) -> dict[str, str]:
    world.crm.control("PUT", "faults", list(faults))
    return {}


def _lost_answers(world: World) -> dict[str, str]:
    page = f"<html><body>{SAID}</body></html>"
    create = {"operation": "CreateMultiple"}
    return _faults(
        world,
        {"match": create | {"nth": 1}, "effect": "status", "status": 503, "body": page, "committed": True},
    )


def _dropped(world: World) -> dict[str, str]:
    return _faults(world, {"match": {"operation": "CreateMultiple", "nth": 1}, "effect": "drop_after_commit"})


def _poison(world: World, message: str = SAID) -> dict[str, str]:
    """A plug-in refuses prospect 1."""
    rule = {"table": "lead", "event": "create", "column": "jobtitle", "value": "Refused", "message": message}
    world.crm.control("POST", "schema", {"action": "remove_plugin", "table": "lead"})
    world.crm.control("POST", "schema", {"action": "install_plugin", **rule})
    return {}


def _poison_by_another(world: World) -> dict[str, str]:
    """A plug-in that looks for duplicates names the one it has found."""
    return _poison(world, OTHER)


def _unknown_refusal(world: World) -> dict[str, str]:
    refusal = {"effect": "status", "status": 418, "code": "0x8badf00d", "message": SAID}
    return _faults(world, {"match": {"operation": "CreateMultiple"}, **refusal})


def _told_off(world: World) -> dict[str, str]:
    """The CRM repeats what it was sent."""
    secret = world.crm.ready["client_secret"]
    said = {"effect": "status", "status": 403, "code": "0x80040220", "message": f"{SAID} {secret}"}
    return _faults(world, {"match": {"operation": "CreateMultiple", "nth": 1}, **said})


def _sign_in_refused(world: World) -> dict[str, str]:
    """Entra repeats what it was sent."""
    told = f"AADSTS7000215: Invalid client secret provided: {world.crm.ready['client_secret']}."
    body = json.dumps({"error": "invalid_client", "error_description": told})
    return _faults(world, {"match": {"operation": "Token"}, "effect": "status", "status": 401, "body": body})


def _revoked(world: World) -> dict[str, str]:
    _stand(world, secret="revoked")
    return {}


def _disabled(world: World) -> dict[str, str]:
    _stand(world, user="disabled")
    return {}


def _unusable_connection(world: World) -> dict[str, str]:
    account = json.loads(world.environment()["AIRFLOW_CONN_DYNAMICS_DEFAULT"])
    account["extra"] |= {"client_secret": PASSWORD, "tenant_id": PASSWORD, "sandbox": PASSWORD}
    return {"AIRFLOW_CONN_DYNAMICS_DEFAULT": json.dumps(account)}


def _unusable_database(_: World) -> dict[str, str]:
    url = f"postgresql://audit:{PASSWORD}@127.0.0.1:9/nowhere"
    return {"AIRFLOW_CONN_DYNAMICS_AUDIT": json.dumps({"conn_type": "postgres", "extra": {"url": url}})}


DISTURBANCES: dict[str, Callable[[World], dict[str, str]]] = {
    "lost answers": _lost_answers,
    "dropped": _dropped,
    "poison": _poison,
    "unknown refusal": _unknown_refusal,
    "told off": _told_off,
    "sign in refused": _sign_in_refused,
    "secret revoked": _revoked,
    "user disabled": _disabled,
    "unusable connection": _unusable_connection,
    "unusable database": _unusable_database,
}
# A plug-in's own words about people that were never sent.
TALKATIVE: dict[str, Callable[[World], dict[str, str]]] = {"poison, naming another": _poison_by_another}


# ---------------------------------------------------------------- people


def _id_of(name: str) -> str:
    return name.replace(",", "").replace(" ", "_")


def _people(group: str, count: int, revision: int) -> list[dict[str, Any]]:
    """Everything in them is a canary. A few are refused by the mapping, a few by the CRM's rule."""
    return [
        {
            "id": f"pro_{_id_of(group)}_{number:04d}",
            "revision": revision,
            "status": "active",
            "created_at": "2026-03-14T09:00:00.000Z",
            "updated_at": "2026-03-14T09:01:00.000Z",
            "first_name": f"Qzfirst{number}",
            "last_name": f"Qzlast{number}",
            "email": f"qzmail{number}.{_id_of(group)}@canary.example",
            "job_title": ("Qztitle" * 20, "Refused", "Qztitle")[min(number, 2)],
            "company": {"name": "Qzcompany"},
            "phones": [{"kind": "mobile", "raw": f"+49 3055512{number:03d}", "e164": f"+493055512{number:03d}"}],
            "notes": [{"id": f"note_{number}", "text": "Qznote \u0000", "created_at": "2026-03-14T09:00:00.000Z"}],
            "custom_fields": {"qzcustomkey": "Qzcustom"},
        }
        for number in range(count)
    ]


def _broken_file(world: World) -> Path:
    """What a reader of files complains about, with people in it."""
    person = _people("broken", 1, 1)[0]
    broken = [person | {"company": "Qzcompany"}, person | {"revision": "Qzlast"}, person | {"email": ["qzmail"]}]
    path = world.write_prospects([*broken, person, person | {"first_name": "Qzfirstother"}], "broken.jsonl")
    path.write_text(path.read_text() + '{"email": qzmail@canary.example}\n')
    return path


# ---------------------------------------------------------------- what is read


def _at_debug(world: World, environment: Mapping[str, str], *words: str) -> str:
    """What the command line prints, whatever its end."""
    command = [sys.executable, "-c", CLI_AT_DEBUG, *words]
    variables = world.environment() | dict(environment)
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
    return f"{ended.stdout}\n{ended.stderr}"


def _in_airflow(world: World, people: list[dict[str, Any]]) -> Places:
    """A run of the shipped DAG from the source's API; its output, and every file that this Airflow has written."""
    world.crm.control("POST", "seed", {"prospects": people})
    home, ready = world.folder / "airflow", world.crm.ready
    captello = {
        "conn_type": "captello",
        "host": ready["capture_url"],
        "password": ready["capture_key"],
        "extra": {"auth": "api_key", "ca_bundle": ready["ca_bundle"]},
    }
    variables = world.environment() | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW_CONN_CAPTELLO_DEFAULT": json.dumps(captello),
    }
    conf = json.dumps({"action": "drill", "workers": 2, "max_rejected_percent": 100})
    command = [sys.executable, "-m", "tests.drills._airflow_run", conf]
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)
    files = [path for path in sorted(home.rglob("*")) if path.is_file()]
    read = {f"airflow/{path.relative_to(home)}": path.read_bytes().decode("latin-1") for path in files}
    lines = f"{ended.stdout}\n{ended.stderr}".splitlines()
    # Airflow's own DEBUG, which nobody promises, repeats what it was told to mask.
    ours = [line for line in lines if "[debug " not in line or "[dynamics." in line]
    return read | {AIRFLOW: "\n".join(ours)}


def _audit_tables(world: World) -> Places:
    query = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'sync' AND table_name <> 'prospect'"
    read = {}
    for name in [row["table_name"] for row in world.sql(query)]:
        rows = world.sql(f'SELECT x::text AS line FROM sync."{name}" x')
        read[f"table {name}"] = "\n".join(row["line"] for row in rows)
    return read


def _really_read(world: World, read: Places, airflow: bool) -> Iterator[str]:
    """Nothing to find is no merit where nothing was said."""
    if "qzmail" not in str(world.sql("SELECT payload FROM sync.prospect LIMIT 5")).lower():
        yield "no canary stands in the prospects: nothing was drilled"
    if not any("qzmail" in str(row.get("emailaddress1")).lower() for row in world.rows("lead")):
        yield "no canary stands in the CRM: nothing was drilled"
    for name in {"lost answers", "poison", *TALKATIVE, AIRFLOW} & set(read):
        if ": HTTP " not in read[name]:
            yield f"{name}: our loggers said nothing at DEBUG"
    if not read["table outcome"] or "too_long" not in read["table outcome"]:
        yield "no outcome tells of a refusal"
    if airflow and "the DAG run is success" not in read[AIRFLOW]:
        yield f"the DAG did not run to its end: {read[AIRFLOW][-500:]}"
    if airflow and "return_value" not in read["airflow/airflow.db"]:
        yield "Airflow's metadata database was not read"


def talkative(world: World, seed: int, count: int = 20) -> Verdict:
    """The CRM names somebody who is not in the prospect that it refuses."""
    return drill(world, seed, count, airflow=False, names=tuple(TALKATIVE))


DRILL = Drill("S01", "S1", {"everything said and stored": drill, "a plug-in names another": talkative}, seeds=5)
