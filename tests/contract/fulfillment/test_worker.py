"""The worker from delivery to record: which action, which prospects, how many runs, and what faults leave behind."""

from __future__ import annotations

import json
import logging
import shutil

import pytest
import sqlalchemy as sa

from dynamics.core.fulfillment import Listener
from dynamics.errors import ConfigurationError
from tests.contract.fulfillment.conftest import Shop, serving
from tests.contract.web.posting import prospect, submission


def seeded(shop: Shop, *names: str) -> None:
    """Prospects that the source knows."""
    shop.sandbox.control("POST", "seed", {"prospects": [prospect(name) for name in names]})


def test_a_delivered_prospect_becomes_a_record_and_more_of_them_share_the_run(shop: Shop) -> None:
    shop.action()
    with serving(shop) as worker:
        for name in ("1", "2", "3"):
            shop.deliver(f"msg_{name}", "prospect.created", prospect(name))
            worker.wait()
        summary = worker.stop()
    assert sorted(lead["emailaddress1"] for lead in shop.leads()) == [f"ines.{n}@mail.example" for n in "123"]
    (run,) = shop.rows("SELECT trigger, state, selected, created FROM sync.audit_run")
    assert run == {"trigger": "fulfillment", "state": "succeeded", "selected": 3, "created": 3}
    assert (summary.outcomes, summary.problems) == ({"created": 3}, [])


def test_a_newer_revision_opens_the_next_run_and_the_same_one_does_nothing(shop: Shop) -> None:
    shop.action()
    with serving(shop) as worker:
        shop.deliver("msg_1", "prospect.created", prospect("1"))
        worker.wait()
        shop.deliver("msg_2", "prospect.updated", prospect("1"))
        worker.wait()
        assert len(shop.rows("SELECT 1 FROM sync.sync_run")) == 1
        newer = prospect("1", revision=2, job_title="Engineer")
        shop.deliver("msg_3", "prospect.updated", newer)
        worker.wait()
        worker.stop()
    assert [outcome for *_, outcome in shop.outcomes()] == ["created", "updated"]
    assert [row["state"] for row in shop.rows("SELECT state FROM sync.sync_run")] == ["succeeded"] * 2
    assert [lead["jobtitle"] for lead in shop.leads()] == ["Engineer"]


def test_a_submission_is_looked_up_and_only_actions_of_its_form_answer(shop: Shop) -> None:
    shop.action("booth", "{forms: [frm_1]}")
    shop.action("other", "{forms: [frm_2]}")
    shop.action("anything", "{}")
    seeded(shop, "1")
    with serving(shop) as worker:
        shop.deliver("msg_1", "submission.created", submission("1"))
        worker.wait()
        worker.stop()
    assert sorted(shop.outcomes())[0][:2] == ("anything", "pro_00000001")
    assert sorted(action for action, *_ in shop.outcomes()) == ["anything", "booth"]
    assert len(shop.leads()) == 1


def test_what_does_not_name_its_form_is_decided_when_the_prospect_is_known(shop: Shop) -> None:
    shop.action("booth", "{forms: [frm_1]}")
    shop.action("other", "{forms: [frm_2]}")
    seeded(shop, "1", "2")
    with serving(shop) as worker:
        asked = {"trigger": "bulk_action", "action_id": "unknown", "prospect_ids": ["pro_00000001", "pro_00000002"]}
        shop.deliver("msg_1", "action.requested", asked)
        worker.wait()
        worker.stop()
    assert sorted(shop.outcomes()) == [("booth", f"pro_0000000{n}", "created") for n in (1, 2)]


def test_an_action_asked_for_by_name_runs_whatever_it_answers_and_again_when_asked_again(shop: Shop) -> None:
    shop.action("booth", "{forms: [frm_1]}")
    shop.action("other", "{forms: [frm_2]}")
    seeded(shop, "1")
    asked = {"trigger": "fulfillment_action", "action_id": "other", "prospect_ids": ["pro_00000001"]}
    with serving(shop) as worker:
        for number in ("1", "2"):
            shop.deliver(f"msg_{number}", "action.requested", asked)
            worker.wait()
        worker.stop()
    outcomes = [("other", "pro_00000001", "created"), ("other", "pro_00000001", "unchanged")]
    assert shop.outcomes() == outcomes


def test_a_prospect_that_is_gone_is_not_synced(shop: Shop) -> None:
    shop.action()
    seeded(shop, "1")
    shop.sandbox.control("POST", "capture/edit", {"action": "erase", "id": "pro_00000001"})
    with serving(shop) as worker:
        shop.deliver("msg_1", "prospect.deleted", {"id": "pro_00000001", "revision": 2})
        worker.wait()
        worker.stop()
    assert shop.outcomes() == [("booth", "pro_00000001", "skipped")]
    assert shop.leads() == []


def test_a_prospect_that_its_source_does_not_know_yet_is_looked_up_again_and_given_up_in_the_end(shop: Shop) -> None:
    shop.action()
    unknown = "SELECT 1 FROM sync.webhook_errand WHERE code = 'unknown_prospect' AND done_at IS NULL"
    with serving(shop) as worker:
        for name in ("1", "9"):
            shop.deliver(f"msg_{name}", "submission.created", submission(name))
        worker.wait(lambda: len(shop.rows(unknown)) == 2)
        seeded(shop, "1")
        shop.let_pass()
        worker.wait(lambda: len(shop.rows(unknown + " AND lease_until IS NULL AND available_at > now()")) == 1)
        assert shop.states() == {"msg_1": "done", "msg_9": "sorted"}
        shop.let_pass(", attempts = 7")
        worker.wait()
        worker.stop()
    assert shop.outcomes() == [("booth", "pro_00000001", "created")]
    assert shop.rows("SELECT delivery_id, code FROM sync.webhook_errand ORDER BY 1") == [
        {"delivery_id": "msg_1", "code": None},
        {"delivery_id": "msg_9", "code": "unknown_prospect"},
    ]


def test_a_source_that_lets_nobody_in_holds_up_only_what_must_be_looked_up_there(shop: Shop) -> None:
    shop.action()
    seeded(shop, "1")
    right = shop.environment["AIRFLOW_CONN_CAPTELLO_DEFAULT"]
    shop.environment["AIRFLOW_CONN_CAPTELLO_DEFAULT"] = json.dumps(json.loads(right) | {"password": "wrong"})
    shop.deliver("msg_1", "submission.created", submission("1"))
    shop.deliver("msg_2", "prospect.created", prospect("2"))
    with serving(shop) as worker:
        worker.wait(lambda: len(shop.outcomes()) == 1)
        worker.wait(lambda: shop.rows("SELECT 1 FROM sync.webhook_errand WHERE code = 'source'") != [])
        assert worker.stop().problems != []
    with serving(shop) as worker:
        shop.let_pass()
        shop.environment["AIRFLOW_CONN_CAPTELLO_DEFAULT"] = right
        worker.wait(lambda: shop.let_pass() or shop.all_done())
        assert worker.stop().problems == []
    assert {who: outcome for _, who, outcome in shop.outcomes()} == {
        "pro_00000001": "created",
        "pro_00000002": "created",
    }


def test_a_worker_that_has_served_nothing_yet_stays_in_trouble_and_serves_when_it_is_over(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="dynamics")
    shop.action()
    user = shop.sandbox.ready["client_id"]
    with serving(shop) as worker:
        worker.wait(lambda: "booth: ready" in caplog.messages)
        shop.sandbox.control("PUT", "settings", {"applications": {user: {"user": "disabled"}}})
        shop.deliver("msg_1", "prospect.created", prospect("1"))
        worker.wait(lambda: any("what webhooks brought stays due" in text for text in caplog.messages))
        shop.sandbox.control("PUT", "settings", {"applications": {user: {"user": "enabled"}}})
        shop.action()  # touched: tried again at once
        worker.wait()
        assert worker.stop().problems == []
    assert len(shop.leads()) == 1


def test_deliveries_that_no_action_answers_are_closed(shop: Shop) -> None:
    shop.action("booth", "{forms: [frm_9]}")
    with serving(shop) as worker:
        shop.deliver("msg_1", "prospect.created", prospect("1"))
        worker.wait()
        worker.stop()
    assert shop.states() == {"msg_1": "ignored"}


def test_a_broken_action_holds_nobody_up_and_finds_its_deliveries_when_it_is_mended(shop: Shop) -> None:
    shop.action("booth")
    shop.action("broken", more="max_rejected_percent: many\n")
    with serving(shop) as worker:
        shop.deliver("msg_1", "prospect.created", prospect("1"))
        worker.wait(lambda: len(shop.outcomes()) == 1)
        assert shop.states() == {"msg_1": "sorted"}
        assert not worker.future.done()
        shop.action("broken")
        worker.wait()
        summary = worker.stop()
    assert [action for action, *_ in shop.outcomes()] == ["booth", "broken"]
    assert len(shop.leads()) == 1
    assert summary.problems == []


def test_what_came_while_nobody_served_is_done_by_the_next_worker(shop: Shop) -> None:
    shop.action()
    for name in ("1", "2"):
        shop.deliver(f"msg_{name}", "prospect.created", prospect(name))
    with serving(shop) as worker:
        worker.wait()
        worker.stop()
    assert len(shop.leads()) == 2


def test_a_revoked_secret_ends_the_worker_in_red_and_the_delivery_stays_due(shop: Shop) -> None:
    shop.action()
    with serving(shop) as worker:
        shop.deliver("msg_1", "prospect.created", prospect("1"))
        worker.wait()
        user = shop.sandbox.ready["client_id"]
        shop.sandbox.control("PUT", "settings", {"applications": {user: {"user": "disabled"}}})
        shop.deliver("msg_2", "prospect.created", prospect("2"))
        summary = worker.future.result(60)
        assert [problem for problem in summary.problems if "booth" in problem]
        assert shop.states()["msg_2"] == "sorted"
        shop.sandbox.control("PUT", "settings", {"applications": {user: {"user": "enabled"}}})
    with serving(shop) as worker:
        worker.wait()
        worker.stop()
    assert sorted(lead["emailaddress1"] for lead in shop.leads()) == ["ines.1@mail.example", "ines.2@mail.example"]


def test_a_mapping_that_changes_is_used_from_the_next_delivery_on(shop: Shop) -> None:
    shop.action()
    file = shop.folder / "mappings/drill/lead.csv"
    with serving(shop) as worker:
        shop.deliver("msg_1", "prospect.created", prospect("1"))
        worker.wait()
        file.write_text(file.read_text().replace("jobtitle,job_title,trim", "jobtitle,=Boss,"))
        shop.deliver("msg_2", "prospect.created", prospect("2"))
        worker.wait()
        worker.stop()
    titles = {lead["emailaddress1"]: lead.get("jobtitle") for lead in shop.leads()}
    assert titles == {"ines.1@mail.example": None, "ines.2@mail.example": "Boss"}


def test_a_run_that_a_dead_worker_left_open_is_gone_on_with_and_closed(shop: Shop) -> None:
    shop.action()
    with serving(shop) as worker:
        shop.deliver("msg_1", "prospect.created", prospect("1"))
        worker.wait()
        (run,) = shop.rows("SELECT run_id FROM sync.sync_run")
        worker.stop()
    with shop.store.begin() as connection:  # as if it had died before it settled anything, some minutes ago
        for text in (
            "UPDATE sync.sync_run SET state = 'running', finished_at = NULL, touched_at = now() - interval '1 hour'",
            "DELETE FROM sync.outcome",
            "UPDATE sync.work_item SET state = 'pending'",
        ):
            connection.execute(sa.text(text))
    with serving(shop) as worker:
        worker.wait(lambda: shop.rows("SELECT 1 FROM sync.sync_run WHERE state = 'succeeded'") != [])
        worker.stop()
    assert shop.outcomes() == [("booth", "pro_00000001", "unchanged")]
    assert shop.rows("SELECT run_id FROM sync.sync_run") == [run]


def test_a_worker_ends_by_itself_when_its_time_is_up_and_closes_its_run(shop: Shop) -> None:
    shop.action()
    shop.deliver("msg_1", "prospect.created", prospect("1"))
    with serving(shop, lasts_s=4.0) as worker:
        assert worker.future.result(60).outcomes == {"created": 1}
    assert shop.rows("SELECT state FROM sync.sync_run") == [{"state": "succeeded"}]


def test_errands_of_an_action_that_answers_no_more_wait_for_it_a_day(shop: Shop) -> None:
    shop.action("booth")
    shop.action("gone", more="max_rejected_percent: many\n")
    missed = "SELECT 1 FROM sync.webhook_errand WHERE code = 'not_answered' AND done_at IS NULL"
    with serving(shop) as worker:
        shop.deliver("msg_1", "prospect.created", prospect("1"))
        worker.wait(lambda: len(shop.outcomes()) == 1)
        (shop.folder / "actions/gone.yaml").unlink()
        worker.wait(lambda: shop.rows(missed) != [])
        shop.action("gone")
        worker.wait()
        assert {action for action, *_ in shop.outcomes()} == {"booth", "gone"}
        worker.stop()
    shop.deliver("msg_2", "prospect.created", prospect("2"))
    shop.inbox.sort([Listener("booth"), Listener("gone")])
    (shop.folder / "actions/gone.yaml").unlink()
    with serving(shop) as worker:
        worker.wait(lambda: shop.rows(missed + " AND available_at > now() + interval '23 h'") != [])
        worker.wait(lambda: len(shop.outcomes()) == 3)
        worker.stop()
    shop.let_pass()
    with serving(shop) as worker:
        worker.wait()
        worker.stop()
    assert [action for action, *_ in shop.outcomes()].count("gone") == 1


def test_without_any_action_nothing_is_sorted_and_the_worker_says_so(shop: Shop) -> None:
    shop.deliver("msg_1", "prospect.created", prospect("1"))
    with serving(shop) as worker, pytest.raises(ConfigurationError, match="holds no sync action"):
        worker.future.result(30)
    shop.action("booth")
    with serving(shop) as worker:
        worker.wait()
        shutil.rmtree(shop.folder / "actions")
        with pytest.raises(ConfigurationError, match="holds no sync action"):
            worker.future.result(30)
    shop.deliver("msg_2", "prospect.created", prospect("2"))
    (shop.folder / "actions").mkdir()
    shop.action("booth")
    with serving(shop) as worker:
        worker.wait()
        worker.stop()
    assert [outcome for *_, outcome in shop.outcomes()] == ["created"] * 2


def test_an_action_that_is_taken_out_while_it_is_served_ends_nothing_and_comes_back_when_it_does(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="dynamics")
    shop.action("booth")
    shop.action("brief")
    with serving(shop) as worker:
        shop.deliver("msg_1", "prospect.created", prospect("1"))
        worker.wait()
        text = (shop.folder / "actions/brief.yaml").read_text()
        (shop.folder / "actions/brief.yaml").unlink()
        worker.wait(lambda: len(shop.rows("SELECT 1 FROM sync.sync_run WHERE state = 'succeeded'")) == 1)
        shop.deliver("msg_2", "prospect.created", prospect("2"))
        worker.wait()
        (shop.folder / "actions/brief.yaml").write_text(text)
        worker.wait(lambda: caplog.messages.count("worker test: webhooks are answered by booth, brief") == 2)
        shop.deliver("msg_3", "prospect.updated", prospect("3"))
        worker.wait(lambda: len(shop.outcomes()) >= 5)
        assert worker.stop().problems == []
    asked = {action: {who for a, who, _ in shop.outcomes() if a == action} for action in ("booth", "brief")}
    assert asked["booth"] == {f"pro_0000000{n}" for n in (1, 2, 3)}
    assert asked["brief"] == {"pro_00000001", "pro_00000003"}


def test_what_is_deferred_for_a_passing_reason_is_not_done_until_it_has_passed(shop: Shop) -> None:
    shop.action()
    file = shop.folder / "mappings/drill/lead.csv"
    file.write_text(file.read_text() + 'parentaccountid,company.name,"lookup(account.name, defer)",,,,\n')
    with serving(shop) as worker:
        shop.deliver("msg_1", "prospect.created", prospect("1", company={"name": "Northmoor"}))
        worker.wait(lambda: shop.rows("SELECT 1 FROM sync.webhook_errand WHERE code IS NOT NULL") != [])
        shop.deliver("msg_2", "prospect.updated", prospect("1", company={"name": "Northmoor"}))
        worker.wait(lambda: len(shop.rows("SELECT 1 FROM sync.webhook_errand WHERE code IS NOT NULL")) == 2)
        assert [outcome for *_, outcome in shop.outcomes()] == ["deferred"] * 2  # the second one was tried, too
        assert shop.states() == {"msg_1": "sorted", "msg_2": "sorted"}
        assert shop.rows(
            "SELECT DISTINCT available_at > now() + interval '50 s' AS put_off FROM sync.webhook_errand"
        ) == [{"put_off": True}]
        shop.sandbox.control("POST", "seed", {"tables": {"account": [{"name": "Northmoor"}]}})
        shop.let_pass()
        worker.wait()
        worker.stop()
    assert [outcome for *_, outcome in shop.outcomes()] == ["deferred", "deferred", "created"]
    assert len(shop.leads()) == 1


def test_what_waits_for_its_next_revision_or_for_a_person_is_done(shop: Shop) -> None:
    shop.action()
    with serving(shop) as worker:
        shop.deliver("msg_1", "prospect.created", prospect("1", status="on_hold"))
        worker.wait()
        worker.stop()
    assert [outcome for *_, outcome in shop.outcomes()] == ["deferred"]


def test_each_action_has_a_thread_however_many_there_are(shop: Shop) -> None:
    for number in range(34):
        shop.action(f"broken{number}", more="max_rejected_percent: many\n")
    shop.action("last")
    with serving(shop) as worker:
        shop.deliver("msg_1", "prospect.created", prospect("1"))
        worker.wait(lambda: len(shop.outcomes()) == 1)
        worker.stop()
