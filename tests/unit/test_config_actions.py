"""Sync actions: what a good one says, and what is said of a broken one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from dynamics.config import Automation, SyncAction, line_of, list_actions, load_action
from dynamics.core.companies import CompanyKey
from dynamics.core.extras import ExtrasWish, OwnerRule
from dynamics.core.policy import Check, CreateRule, MatchBy, Policy, Several
from dynamics.core.where import Where
from dynamics.errors import ConfigurationError

SHIPPED = Path(__file__).resolve().parents[2] / "include"
GOOD = """\
account: dynamics_default
duplicates: {check: leads}
create: lead
"""


@pytest.fixture
def include(tmp_path: Path) -> Path:
    (tmp_path / "actions").mkdir()
    return tmp_path


def faults_of(include: Path, text: str, **overrides: object) -> list[str]:
    (include / "actions" / "booth.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_action(include, "booth", overrides)
    return [str(fault) for fault in caught.value.faults]


def test_the_shipped_action_loads() -> None:
    action = load_action(SHIPPED, "booth-leads")
    assert action.policy() == Policy(
        Check.CONTACTS_THEN_LEADS, MatchBy.EMAIL_OR_NAME, Several.UPDATE_MOST_RECENTLY_UPDATED, CreateRule.LEAD
    )


def test_every_setting_reaches_the_policy(include: Path) -> None:
    (include / "actions" / "booth.yaml").write_text(
        """\
account: dynamics_eu
mapping: expo
duplicates: {check: none, match_by: email_or_name, several: hold_for_review}
create: none
include_inactive: true
email_columns: [emailaddress1, emailaddress3]
on_resync: create
max_rejected_percent: 2.5
triggers:
  fulfillment: {forms: [frm_88]}
  automation: {schedule: "*/5 * * * *", where: {event_id: evt_12}}
  bulk: false
"""
    )
    action = load_action(include, "booth")
    assert (action.name, action.account, action.mapping) == ("booth", "dynamics_eu", "expo")
    assert action.max_rejected_percent == 2.5
    assert action.triggers.automation is not None
    assert action.triggers.automation.where.rule() == Where(event_ids=("evt_12",))
    assert action.policy() == Policy(
        Check.NONE,
        MatchBy.EMAIL_OR_NAME,
        Several.HOLD,
        CreateRule.NONE,
        include_inactive=True,
        email_columns=("emailaddress1", "emailaddress3"),
        on_resync="create",
    )


def automation_of(include: Path, text: str) -> Automation:
    (include / "actions" / "booth.yaml").write_text(GOOD + "triggers:\n  automation:\n" + text)
    action = load_action(include, "booth")
    assert SyncAction.model_validate(action.model_dump(mode="json")) == action
    assert action.triggers.automation is not None
    return action.triggers.automation


def test_one_value_or_a_list_of_them_is_the_same_condition(include: Path) -> None:
    one = """\
    schedule: "0 7 * * 1-5"
    where:
      event_id: evt_1
      tags: vip
      answers: {budget: 5000, ready: true, timeline: now}
      consent: {marketing: granted}
"""
    listed = """\
    schedule: "0 7 * * 1-5"
    where:
      event_id: [evt_1]
      tags: [vip]
      answers: {budget: [5000], ready: [true], timeline: [now]}
      consent: {marketing: [granted]}
"""
    expected = Where(
        event_ids=("evt_1",),
        tags=("vip",),
        answers={"budget": (5000,), "ready": (True,), "timeline": ("now",)},
        consent={"marketing": ("granted",)},
    )
    assert automation_of(include, one).where.rule() == automation_of(include, listed).where.rule() == expected


@pytest.mark.parametrize("written", ["2026-03-01", "2026-03-01 00:00:00", "'2026-03-01T01:00:00+01:00'"])
def test_since_is_a_moment_however_it_is_written(include: Path, written: str) -> None:
    since = automation_of(include, f'    schedule: "0 7 * * *"\n    since: {written}\n').since
    assert since == datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "zone", "since", "missed"),
    [
        ("*/5 * * * *", "UTC", "2026-03-02T10:00:00+00:00", 12),
        ("*/5 8-18 * * 1-5", "UTC", "2026-03-01T10:00:00+00:00", 37),  # nobody asked for a run on Sunday
        ("0 0 31 * *", "UTC", "2026-01-31T00:00:00+00:00", 0),
        ("0 12 * * *", "Europe/Berlin", "2026-03-01T10:30:00+00:00", 2),
        ("0 12 * * *", "Europe/Berlin", "2026-03-01T11:30:00+00:00", 1),  # it is half past twelve there
    ],
)
def test_what_the_schedule_asked_for_meanwhile_is_counted(
    include: Path, schedule: str, zone: str, since: str, missed: int
) -> None:
    automation = automation_of(include, f'    schedule: "{schedule}"\n    timezone: {zone}\n')
    now = datetime(2026, 3, 2, 11, 0, tzinfo=UTC)
    assert automation.missed(datetime.fromisoformat(since), now) == missed


def test_an_action_survives_json() -> None:
    action = load_action(SHIPPED, "booth-leads")
    assert SyncAction.model_validate(action.model_dump(mode="json")) == action


def test_update_switched_off_leaves_what_exists_alone(include: Path) -> None:
    (include / "actions" / "booth.yaml").write_text(GOOD + "update_existing: false\n")
    assert load_action(include, "booth").policy().several is Several.SKIP
    chosen = load_action(include, "booth", {"duplicate_action": "update_most_recently_created"})
    assert chosen.policy().several is Several.UPDATE_MOST_RECENTLY_CREATED


def test_overrides_count_for_one_run(include: Path) -> None:
    (include / "actions" / "booth.yaml").write_text(GOOD)
    overrides = {
        "account": "dynamics_test",
        "duplicate_check": "contacts",
        "match_by": "email_or_name",
        "duplicate_action": "skip",
        "create": "contact",
        "max_rejected_percent": 10,
    }
    action = load_action(include, "booth", overrides)
    assert (action.account, action.max_rejected_percent) == ("dynamics_test", 10)
    assert action.policy() == Policy(Check.CONTACTS, MatchBy.EMAIL_OR_NAME, Several.SKIP, CreateRule.CONTACT)
    assert load_action(include, "booth", dict.fromkeys(overrides)) == load_action(include, "booth")


def test_short_and_long_forms_of_extras_say_the_same(include: Path) -> None:
    short = "extras: {owner: owner.email, campaign: FLOW25, account: find_or_create}\n"
    long = """\
extras:
  owner: {source: owner.email, write: create_only}
  campaign: {code: FLOW25, as: source}
  account: {by: name}
  note: false
"""
    loaded = []
    for text in (short, long):
        (include / "actions" / "booth.yaml").write_text(GOOD + text)
        loaded.append(load_action(include, "booth"))
    assert loaded[0] == loaded[1]
    assert loaded[0].extras.wish({}) == ExtrasWish(
        owner=OwnerRule("owner.email"), by=CompanyKey.NAME, source_campaign="FLOW25"
    )


def test_an_action_with_extras_survives_being_frozen_into_a_run(include: Path) -> None:
    extras = (
        "extras: {campaign: {code: F, as: response}, marketing_list: Visitors, owner: {source: owner.email, users: u}}"
    )
    (include / "actions" / "booth.yaml").write_text(GOOD + extras)
    action = load_action(include, "booth")
    assert SyncAction.model_validate(action.model_dump(mode="json")) == action


def test_a_line_is_told_for_what_is_found_later(include: Path) -> None:
    (include / "actions" / "booth.yaml").write_text(GOOD + "extras:\n  note: true\n  campaign: FLOW25\n")
    assert line_of(include, "booth", ("extras", "campaign")) == 6


SETTINGS = (
    "account, mapping, duplicates, create, triggers, extras, max_rejected_percent, include_inactive, email_columns, "
    "on_resync, update_existing"
)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            GOOD + "mappings: expo\n",
            f":4: There is no setting 'mappings'. Did you mean 'mapping'? Known: {SETTINGS}.",
        ),
        (GOOD + "colour: red\n", f":4: There is no setting 'colour'. Known: {SETTINGS}."),
        (
            GOOD.replace("{check: leads}", "\n  check: leads\n  matchby: email"),
            ":4: There is no setting 'duplicates.matchby'. Did you mean 'match_by'? Known: check, match_by, several.",
        ),
        (
            GOOD.replace("leads", "lead"),
            ":2: 'lead' is no word for 'duplicates.check'. Did you mean 'leads'? "
            "Known: none, leads, contacts, leads_then_contacts, contacts_then_leads.",
        ),
        (
            GOOD.replace("create: lead", "create: account"),
            ":3: 'account' is no word for 'create'. Known: lead, contact, none.",
        ),
        (
            GOOD.replace("create: lead", "create:"),
            ":3: 'None' is no word for 'create'. Did you mean 'none'? Known: lead, contact, none.",
        ),
        (
            GOOD.replace("create: lead\n", ""),
            ":1: 'create' is missing. Write one of: lead, contact, none.",
        ),
        (GOOD.replace("account: dynamics_default\n", ""), ":1: 'account' is missing. Write it."),
        (
            GOOD.replace("{check: leads}", "{match_by: email}"),
            ":2: 'duplicates.check' is missing. "
            "Write one of: none, leads, contacts, leads_then_contacts, contacts_then_leads.",
        ),
        (
            GOOD.replace("{check: leads}", "leads"),
            ":2: 'duplicates' is no list of settings. Known: check, match_by, several.",
        ),
        (GOOD.replace("dynamics_default", "7"), ":1: 'account' should be a valid string. Correct it."),
        (GOOD.replace("dynamics_default", "''"), ":1: 'account' should have at least 1 character. Correct it."),
        (
            GOOD + "max_rejected_percent: 101\n",
            ":4: 'max_rejected_percent' should be less than or equal to 100. Correct it.",
        ),
        (
            GOOD + "include_inactive: 'yes please'\n",
            ":4: 'include_inactive' is neither true nor false. Write true or false.",
        ),
        (
            GOOD + "email_columns:\n- emailaddress1\n- email2\n",
            ":6: 'email2' is no word for 'email_columns.2'. Did you mean 'emailaddress2'? "
            "Known: emailaddress1, emailaddress2, emailaddress3.",
        ),
        (
            GOOD + "triggers:\n  automation: {schedule: hourly}\n",
            ":5: 'triggers.automation.schedule' should have five cron fields, such as \"*/5 * * * *\". Correct it.",
        ),
        (
            GOOD + "triggers:\n  automation: {schedule: '0 0 31 2 *'}\n",
            ":5: 'triggers.automation.schedule' should be a schedule in cron's words that comes round, "
            'such as "*/5 * * * *". Correct it.',
        ),
        (
            GOOD + "triggers:\n  automation: {schedule: 0 7 * * *, timezone: Europe/Berlim}\n",
            ":5: 'triggers.automation.timezone' should be a time zone such as UTC or Europe/Berlin. Correct it.",
        ),
        (
            GOOD + "triggers:\n  automation: {schedule: 0 7 * * *, workers: 17}\n",
            ":5: 'triggers.automation.workers' should be less than or equal to 16. Correct it.",
        ),
        (
            GOOD + "triggers:\n  automation:\n    schedule: 0 7 * * *\n    where:\n      event: evt_1\n",
            ":8: There is no setting 'triggers.automation.where.event'. Did you mean 'event_id'? "
            "Known: event_id, form_id, owner_id, tags, answers, consent.",
        ),
        (
            GOOD + "triggers:\n  automation:\n    schedule: 0 7 * * *\n    where:\n      tags:\n",
            ":8: 'triggers.automation.where.tags' should be a value, or a list of values. Correct it.",
        ),
        (
            GOOD + "triggers:\n  automation:\n    schedule: 0 7 * * *\n    where:\n"
            "      consent: {marketing: [granted, grantd]}\n",
            ":8: 'grantd' is no word for 'triggers.automation.where.consent.marketing.2'. Did you mean 'granted'? "
            "Known: granted, denied, withdrawn, requested, unknown.",
        ),
        (
            GOOD + "triggers:\n  automation:\n    schedule: 0 7 * * *\n    where:\n"
            "      answers:\n        timeline: {is: now}\n",
            ":9: 'triggers.automation.where.answers.timeline' should be a value, or a list of values. Correct it.",
        ),
        (
            GOOD + "triggers:\n  automation:\n    schedule: 0 7 * * *\n    where:\n      answers: {date: 2026-01-01}\n",
            ":8: 'triggers.automation.where.answers.date' should be a value, or a list of values: texts, numbers, "
            "true or false; dates in quotes. Correct it.",
        ),
        (
            GOOD + "triggers:\n  automation: {schedule: 0 7 * * *, backfill_every: year}\n",
            ":5: 'year' is no word for 'triggers.automation.backfill_every'. Known: day, week, month.",
        ),
        (
            GOOD + "extras:\n  owner: owner.emai\n",
            ":5: 'extras.owner.source' should be a path: 'owner.emai' is no path of a prospect. "
            "Nearest: owner.email, owner.id, owner.name. Correct it.",
        ),
        (
            GOOD + "extras:\n  campaign: {code: FLOW25, as: sorce}\n",
            ":5: 'sorce' is no word for 'extras.campaign.as'. Did you mean 'source'? Known: source, response.",
        ),
        (GOOD + "extras:\n  campaign: {as: response}\n", ":5: 'extras.campaign.code' is missing. Write it."),
        (
            GOOD + "extras:\n  account: find\n",
            ":5: 'extras.account' should be find_or_create, or {by: name | website | email_domain}. Correct it.",
        ),
        (
            GOOD + "extras:\n  account: {by: domain}\n",
            ":5: 'domain' is no word for 'extras.account.by'. Did you mean 'email_domain'? "
            "Known: name, website, email_domain.",
        ),
        (
            GOOD + "extras:\n  note: 1\n",
            ":5: 'extras.note' is neither true nor false. Write true or false.",
        ),
        (
            GOOD + "extras:\n  notes: true\n",
            ":5: There is no setting 'extras.notes'. Did you mean 'note'? "
            "Known: owner, account, campaign, marketing_list, note.",
        ),
        (
            GOOD + "name: other\n",
            ":4: 'name' is not the file's name. Leave it out: an action is named by its file.",
        ),
        (GOOD + "create: none\n", ":4: 'create' stands in line 3 already. Keep one of the two."),
        (GOOD + "true: 1\n", ":4: A name is no text. Put it in quotes."),
        (
            GOOD + "triggers: {bulk: true\n",
            ":5: The YAML cannot be read: expected ',' or '}', but got '<stream end>'. "
            "Check indentation, quotes and brackets.",
        ),
        ("- a\n- b\n", ":1: The file is no list of settings. Write `name: value` lines."),
        ("", ":1: The file is no list of settings. Write `name: value` lines."),
        (
            GOOD + "mapping: !!python/name:os.system\n",
            ":4: The YAML cannot be read: could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/name:os.system'. Check indentation, quotes and brackets.",
        ),
    ],
)
def test_a_broken_action_says_where_and_what_to_do(include: Path, text: str, fault: str) -> None:
    assert faults_of(include, text) == [f"include/actions/booth.yaml{fault}"]


def test_all_faults_come_at_once(include: Path) -> None:
    text = "acount: x\nduplicates: {check: lead, several: first}\ncreate: leed\nextras: {owner: x}\n"
    assert len(faults_of(include, text, match_by="phone", workers=2)) == 8


def test_a_wrong_override_is_blamed_on_the_params(include: Path) -> None:
    assert faults_of(include, GOOD, match_by="phone", duplicate_actoin="skip") == [
        "params: 'phone' is no word for 'match_by'. Known: email, email_or_name.",
        "params: There is no param 'duplicate_actoin'. Did you mean 'duplicate_action'? "
        "Known: account, duplicate_check, match_by, duplicate_action, create, max_rejected_percent.",
    ]


def test_a_file_that_is_not_utf_8_says_so(include: Path) -> None:
    (include / "actions" / "booth.yaml").write_bytes(b"account: a\n# caf\xe9\n")
    with pytest.raises(ConfigurationError, match=r"booth.yaml:2: The text is not UTF-8. Save the file as UTF-8."):
        load_action(include, "booth")


@pytest.mark.parametrize("name", ["boot", "../secrets", "/etc/passwd", "booth.yaml", "", "a/b", "..", "boo\nth"])
def test_an_unknown_name_is_answered_with_the_known_ones(include: Path, name: str) -> None:
    (include / "secrets.yaml").write_text(GOOD)
    for known in ("booth", "cafe"):
        (include / "actions" / f"{known}.yaml").write_text(GOOD)
    with pytest.raises(ConfigurationError) as caught:
        load_action(include, name)
    [fault] = caught.value.faults
    assert (fault.file, fault.what) == ("include/actions", f"There is no action '{name}'.")
    assert fault.remedy.endswith("Known: booth, cafe.")


def test_actions_are_listed_by_name(include: Path) -> None:
    for file in ("b.yaml", "a-1.yaml", ".hidden.yaml", "notes.txt"):
        (include / "actions" / file).write_text("not read")
    assert list_actions(include) == ("a-1", "b")
    assert list_actions(include / "nowhere") == ()
