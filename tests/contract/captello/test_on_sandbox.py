"""The source on the sandbox's capture API, over HTTPS: the sample show, whole, by selection and by id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from pydantic import SecretStr

from dynamics.captello.account import Auth, CaptelloAccount
from dynamics.captello.client import CaptelloClient
from dynamics.captello.source import CaptelloSource
from dynamics.core.capture import Selection, SourcedProspect
from dynamics.errors import AccountError
from sandbox.process import SandboxProcess
from sandbox.sample import SHOW_ENDS, generate

SAMPLE = {"seed": 1, "prospects": 450}


@pytest.fixture
def show(sandbox: SandboxProcess) -> dict[str, dict[str, Any]]:
    """The prospects that the sandbox now serves, by id."""
    sandbox.control("POST", "seed", {"sample": SAMPLE})
    return {found["id"]: found for found in generate(**SAMPLE, now=SHOW_ENDS).prospects}


@pytest.fixture
def account(sandbox: SandboxProcess) -> CaptelloAccount:
    ready = sandbox.ready
    return CaptelloAccount(
        ready["capture_url"], Auth.API_KEY, SecretStr(ready["capture_key"]), ca_bundle=ready["ca_bundle"]
    )


def found(account: CaptelloAccount, selection: Selection) -> Iterator[SourcedProspect]:
    return (prospect for page in CaptelloSource(CaptelloClient(account)).pages(selection) for prospect in page)


def test_the_whole_show_comes_in_the_order_of_change(account: CaptelloAccount, show: dict[str, dict[str, Any]]) -> None:
    prospects = list(found(account, Selection()))
    assert {p.prospect_id: p.revision for p in prospects} == {key: p["revision"] for key, p in show.items()}
    assert [p.updated_at for p in prospects] == sorted(p.updated_at for p in prospects)
    with_answers = [p for p in prospects if any(s.get("answers") for s in p.payload["submissions"])]
    assert with_answers


def test_selections_agree_with_what_was_captured(account: CaptelloAccount, show: dict[str, dict[str, Any]]) -> None:
    events = Counter(s["event"]["id"] for p in show.values() for s in p["submissions"])
    [(event_id, _), *_] = events.most_common()
    expected = {key for key, p in show.items() if any(s["event"]["id"] == event_id for s in p["submissions"])}
    assert {p.prospect_id for p in found(account, Selection(event_ids=(event_id,)))} == expected
    assert {p.prospect_id for p in found(account, Selection(event_ids=tuple(events)))} == set(show)
    times = sorted(datetime.fromisoformat(s["captured_at"]) for p in show.values() for s in p["submissions"])
    middle = times[len(times) // 2]
    early = {p.prospect_id for p in found(account, Selection(captured_to=middle))}
    late = {p.prospect_id for p in found(account, Selection(captured_from=middle))}
    assert early | late == set(show)
    assert early
    assert late


def test_prospects_come_by_id(account: CaptelloAccount, show: dict[str, dict[str, Any]]) -> None:
    wanted = tuple(sorted(show)[:210])
    assert {p.prospect_id for p in found(account, Selection(prospect_ids=(*wanted, "pro_unknown1")))} == set(wanted)


def test_the_test_connects_and_a_wrong_key_does_not(account: CaptelloAccount, sandbox: SandboxProcess) -> None:
    assert CaptelloClient(account).test().startswith(f"Connected to {account.origin}")
    wrong = CaptelloAccount(account.origin, Auth.API_KEY, SecretStr("wrong"), ca_bundle=account.ca_bundle)
    with pytest.raises(AccountError, match="API key is not accepted"):
        CaptelloClient(wrong).test()


def test_an_authority_that_is_not_trusted_is_told(account: CaptelloAccount) -> None:
    untrusting = CaptelloAccount(account.origin, account.auth, account.secret)
    with pytest.raises(AccountError, match="check 'API address' and 'CA bundle'"):
        CaptelloClient(untrusting).health()
