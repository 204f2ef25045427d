"""The engine on fakes: prospects that point to other records, which may be missing, closed or vanish meanwhile."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

import pytest

from dynamics.core.ledger import Outcome
from dynamics.core.lookup import LookupKey, LookupMiss, lookup_value
from dynamics.core.mapping import Mapping, parse_mapping
from dynamics.sync.engine import Engine
from dynamics.sync.recovery import MAX_ATTEMPTS
from tests.unit.sync.test_engine import ANA, HEADER, MAPPINGS, POLICY, Stage, ana, words

FLOW = UUID(int=77)
POINTING = (
    "lastname,last_name,,,,,\nemailaddress1,email,,,,,\n" + 'campaignid,event.code,"lookup(campaign.codename, {})",,,,'
)


def scanned(code: str = "FLOW25", **changes: Any) -> dict[str, Any]:
    capture = {"id": "sub_00000001", "captured_at": "2026-03-14T09:00:00.000Z", "method": "badge_scan"}
    return ana(submissions=[capture | {"state": "complete", "event": {"id": "evt_1", "code": code}}], **changes)


def mappings(on_missing: str) -> dict[str, Mapping]:
    return MAPPINGS | {"lead": parse_mapping("lead", HEADER + POINTING.format(on_missing), "lead.csv", {})}


class Show(Stage):
    """A CRM with one campaign."""

    def __init__(self) -> None:
        super().__init__()
        self.crm.put("campaign", FLOW, {"codename": "Flow25"})

    def sync_by(self, on_missing: str, *prospects: dict[str, Any]) -> list[Any]:
        run = self.run(*prospects)
        Engine(run, POLICY, mappings(on_missing), self.ledger, self.crm, self.clock, lanes=1).drain("w")
        return self.told(run)


@pytest.fixture
def show() -> Show:
    return Show()


def test_a_lookup_is_written_and_a_second_sync_changes_nothing(show: Show) -> None:
    [told] = show.sync_by("reject", scanned())
    assert told.outcome is Outcome.CREATED
    assert show.leads[ANA]["campaignid"] == lookup_value("campaign", FLOW)
    assert words(show.sync_by("reject", scanned(revision=2))) == [("unchanged", None)]


def test_a_lookup_that_a_person_changed_is_theirs(show: Show) -> None:
    show.sync_by("reject", scanned())
    theirs = lookup_value("campaign", UUID(int=78))
    show.crm.put("lead", ANA, {"campaignid": theirs})
    [told] = show.sync_by("reject", scanned(revision=2, last_name="Ruiz-Gil"))
    assert told.changed_columns == ("lastname",)
    assert show.leads[ANA]["campaignid"] == theirs


@pytest.mark.parametrize(
    ("on_missing", "outcome", "reason"),
    [
        ("reject", "rejected", "lookup_not_found"),
        ("defer", "deferred", "lookup_not_found"),
        ("blank", "created", None),
    ],
)
def test_a_missing_target(show: Show, on_missing: str, outcome: str, reason: str | None) -> None:
    [told] = show.sync_by(on_missing, scanned("NOWHERE"))
    assert words([told]) == [(outcome, reason)]
    if reason:
        assert (told.error_column, told.error_code) == ("campaignid", f"mapping.{reason}")
        assert "NOWHERE" not in told.error_message
        assert not show.leads
    else:
        assert told.warnings == ("campaignid: text of 7 characters is not found in campaign.codename",)


def test_several_targets_are_nobody_s_guess(show: Show) -> None:
    show.crm.put("campaign", UUID(int=78), {"codename": "FLOW25"})
    assert words(show.sync_by("reject", scanned())) == [("rejected", "lookup_ambiguous")]
    show.crm.put("campaign", UUID(int=78), {"statecode": 1})
    assert words(show.sync_by("reject", scanned())) == [("created", None)]


def test_what_was_deferred_is_created_once_the_target_is_there(show: Show) -> None:
    show.sync_by("defer", scanned("FLOW26"))
    show.crm.put("campaign", UUID(int=78), {"codename": "FLOW26"})
    assert words(show.sync_by("defer", scanned("FLOW26"))) == [("created", None)]


def test_a_target_that_vanishes_before_the_write_is_looked_up_again(
    show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = show.crm.look_up
    stale: list[UUID] = [UUID(int=99)]

    def once_stale(keys: Collection[LookupKey]) -> dict[LookupKey, str | LookupMiss]:
        return {key: lookup_value("campaign", stale.pop()) for key in keys} if stale else look_up(keys)

    monkeypatch.setattr(show.crm, "look_up", once_stale)
    assert words(show.sync_by("reject", scanned())) == [("created", None)]
    assert show.leads[ANA]["campaignid"] == lookup_value("campaign", FLOW)


def test_a_target_that_cannot_be_written_in_the_end_waits_for_the_next_run(
    show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def vanished(keys: Collection[LookupKey]) -> dict[LookupKey, str | LookupMiss]:
        asked.append(keys)
        return dict.fromkeys(keys, lookup_value("campaign", UUID(int=99)))

    monkeypatch.setattr(show.crm, "look_up", vanished)
    assert words(show.sync_by("reject", scanned())) == [("deferred", "record_keeps_changing")]
    assert len(asked) == MAX_ATTEMPTS
