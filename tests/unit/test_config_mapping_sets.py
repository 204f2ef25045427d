"""Mapping sets: which files count, and all faults of all of them at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dynamics.config import include_directory, load_mapping_set
from dynamics.errors import ConfigurationError

SHIPPED = Path(__file__).resolve().parents[2] / "include"
HEADER = "target,source,transform,default,write,blank,comment\n"


@pytest.fixture
def include(tmp_path: Path) -> Path:
    folder = tmp_path / "mappings" / "expo"
    (folder / "values").mkdir(parents=True)
    (folder / "lead.csv").write_text(
        HEADER + "lastname,last_name,trim,,,,\nindustrycode,custom.branch,map(branch),,,,\n"
    )
    (folder / "contact.csv").write_text(HEADER + "lastname,last_name,trim,,,,\n")
    (folder / "values" / "branch.csv").write_text("from,to\npumps,12\n")
    return tmp_path


def faults_of(include: Path, name: str = "expo") -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_mapping_set(include, name)
    return [str(fault) for fault in caught.value.faults]


def test_the_shipped_set_loads() -> None:
    assert set(load_mapping_set(SHIPPED, "default").tables) == {"lead", "contact", "account"}


def test_account_is_optional(include: Path) -> None:
    mappings = load_mapping_set(include, "expo")
    assert set(mappings.tables) == {"lead", "contact"}
    assert mappings.tables["lead"].targets == ("lastname", "industrycode")


def test_the_digest_follows_the_content_of_every_file(include: Path, tmp_path: Path) -> None:
    folder = include / "mappings" / "expo"
    digests = [load_mapping_set(include, "expo").digest]
    shutil.copytree(folder, include / "mappings" / "copy")
    assert load_mapping_set(include, "copy").digest == digests[0]
    for file in ("lead.csv", "contact.csv", "values/branch.csv"):
        path = folder / file
        path.write_text(path.read_text().replace(",last_name,", ",full_name,").replace("12", "13"))
        digests.append(load_mapping_set(include, "expo").digest)
    (folder / "README.md").write_text("does not count")
    assert load_mapping_set(include, "expo").digest == digests[-1]
    assert len(set(digests)) == 4


def test_faults_of_all_files_come_at_once(include: Path) -> None:
    folder = include / "mappings" / "expo"
    (folder / "lead.csv").write_text(HEADER + "lastname,lastname,trim,,,,\nindustrycode,custom.x,map(branch),,,,\n")
    (folder / "contact.csv").unlink()
    (folder / "leads.csv").write_text(HEADER)
    (folder / "account.csv").write_bytes(HEADER.encode() + b"name,=Caf\xe9,,,,,\n")
    (folder / "values" / "branch.csv").write_text("von,nach\n")
    faults = faults_of(include)
    assert [fault.partition(": ")[0] for fault in faults] == [
        "include/mappings/expo/account.csv:2",
        "include/mappings/expo/contact.csv",
        "include/mappings/expo/lead.csv:2",
        "include/mappings/expo/leads.csv",
        "include/mappings/expo/values/branch.csv:1",
    ]
    assert faults[1].endswith("The file is missing. Copy it from include/mappings/default and change it.")
    assert faults[3].endswith(
        "No table is mapped by the name 'leads'. Did you mean 'lead'? Known: lead, contact, account."
    )


@pytest.mark.parametrize("name", ["expos", "../mappings/expo", "", "/"])
def test_an_unknown_set_is_answered_with_the_known_ones(include: Path, name: str) -> None:
    [fault] = faults_of(include, name)
    assert fault.startswith(f"include/mappings: There is no mapping set '{name}'.")
    assert fault.endswith("Known: expo.")


def test_include_is_named_or_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("named", "home/include", "include"):
        (tmp_path / folder).mkdir(parents=True)
    home = {"AIRFLOW_HOME": str(tmp_path / "home")}
    assert include_directory(home | {"DYNAMICS_SYNC_INCLUDE": "named"}) == tmp_path / "named"
    assert include_directory(home) == tmp_path / "home" / "include"
    assert include_directory({"AIRFLOW_HOME": "/nowhere"}) == tmp_path / "include"


def test_a_missing_include_says_how_to_name_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Set DYNAMICS_SYNC_INCLUDE to the folder with actions/ and mappings/"):
        include_directory({"DYNAMICS_SYNC_INCLUDE": str(tmp_path / "gone")})
