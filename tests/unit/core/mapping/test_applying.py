"""A chunk through a mapping: values, blanks, defaults, rejects, warnings."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics.core.lookup import LookupKey, LookupMiss
from dynamics.core.mapping import Mapped, apply_mapping, parse_mapping, update_values, wanted_lookups
from dynamics.core.normalize import clean_text, utf16_length
from dynamics.errors import ConfigurationError
from tests.unit.core.builders import LEAD, chunk, modest, prospect, submission, table, text

HEADER = "target,source,transform,default,write,blank\n"
EXPO = [submission(event={"id": "evt_1", "name": "Expo"})]


def apply(*rows: str, prospects: list[dict[str, Any]], tables: dict[str, dict[str, str]] | None = None) -> Mapped:
    mapping = parse_mapping("lead", HEADER + "\n".join(rows), "lead.csv", tables or {})
    return apply_mapping(mapping, chunk(*prospects), LEAD)


def value(source: str, target: str = "jobtitle", transform: str = "", **prospect_values: Any) -> object:
    mapped = apply(f'{target},"{source}",{transform},,,', prospects=[prospect(**prospect_values)])
    assert not mapped.rejects
    return mapped.values[target].iloc[0]


def test_one_object_column_a_target_with_the_chunk_s_index() -> None:
    mapped = apply(
        "firstname,first_name,,,,",
        "numberofemployees,company.employee_count,,,,",
        prospects=[prospect(first_name="Ann", company={"employee_count": 0}), prospect(id="pro_00000002")],
    )
    assert list(mapped.values.index) == [100, 101]
    assert list(mapped.values.columns) == ["firstname", "numberofemployees"]
    assert {str(dtype) for dtype in mapped.values.dtypes} == {"object"}
    assert mapped.values["firstname"].tolist() == ["Ann", None]
    assert mapped.values["numberofemployees"].tolist() == [0, None]


def test_an_empty_chunk_maps_to_nothing() -> None:
    mapping = parse_mapping("lead", HEADER + "telephone1,phones.work,phone,,,", "lead.csv", {})
    mapped = apply_mapping(mapping, chunk(prospect()).iloc[:0], LEAD)
    assert mapped.values.shape == (0, 1)
    assert mapped.by_label == {}


def test_blank_default_and_clear() -> None:
    mapped = apply(
        "firstname,first_name,,Unknown,,",
        "jobtitle,job_title,,,,clear",
        "telephone1,phones.work,,,,",
        "numberofemployees,company.employee_count,,5,,",
        prospects=[
            prospect(first_name=" ", job_title=None),
            prospect(id="pro_00000002", first_name="Ann", job_title="CEO", company={"employee_count": 0}),
        ],
    )
    assert mapped.clear == {"jobtitle"}
    assert mapped.defaults == {"firstname": "Unknown", "numberofemployees": 5}
    assert update_values(mapped, 100) == {"jobtitle": None}
    assert update_values(mapped, 101) == {"firstname": "Ann", "jobtitle": "CEO", "numberofemployees": 0}


@pytest.mark.parametrize(
    ("template", "values", "filled"),
    [
        ("{first_name} {last_name} – {event.name}", {"first_name": "Ann", "last_name": "Lee"}, "Ann Lee – Expo"),
        ("{first_name} {last_name} – {event.name}", {"last_name": "Lee"}, "Lee – Expo"),
        ("{first_name} {last_name} – {event.name}", {"first_name": "Ann"}, "Ann – Expo"),
        ("{first_name} {last_name} – {event.name}", {}, "Expo"),
        ("{first_name} {last_name} – {form.name}", {"first_name": "Ann", "last_name": "Lee"}, "Ann Lee"),
        ("Met {first_name} today", {"first_name": "Ann"}, "Met Ann today"),
        ("Met {first_name} today", {}, None),
        ("Met {first_name} {last_name} today", {"last_name": "Lee"}, "Met Lee today"),
        ("{last_name} ({first_name})", {"last_name": "Lee"}, "Lee"),
        ("({first_name}) {last_name}", {"last_name": "Lee"}, "Lee"),
        ("{first_name} {last_name}", {"first_name": " Ann ", "last_name": "Lee\n"}, "Ann Lee"),
        ("{tags} x{score}", {"tags": ["a", "b"], "score": 0}, "a; b x0"),
        ("{first_name} 100 % %s {last_name}", {"first_name": "Ann", "last_name": "50%"}, "Ann 100 % %s 50%"),
    ],
)
def test_templates(template: str, values: dict[str, Any], filled: str | None) -> None:
    assert value(template, submissions=EXPO, **values) == filled


def test_steps_run_in_order_and_see_the_whole_value() -> None:
    assert value("tags", transform="first|trim|upper", tags=[" a ", "b"]) == "A"
    assert value("{first_name} {last_name}", transform="upper", first_name="Ann", last_name="Lee") == "ANN LEE"


def test_a_number_is_read_by_the_prospect_s_country() -> None:
    phones = [{"raw": "020 7946 0018", "kind": "work"}]
    with_code = {"addresses": [{"kind": "work", "country_code": "GB"}]}
    with_name = {"addresses": [{"kind": "work", "country": "United Kingdom"}]}
    for address in (with_code, with_name):
        assert value("phones.work", "telephone1", "phone", phones=phones, **address) == "+442079460018"
    assert value("phones.work", "telephone1", "phone", phones=phones) == "020 7946 0018"


@pytest.mark.parametrize("answer", [True, False, None])
def test_consent_is_never_widened(answer: bool | None) -> None:
    mapped = apply(
        "donotphone,privacy.do_not_phone,only_true,,,", prospects=[prospect(privacy={"do_not_phone": answer})]
    )
    assert update_values(mapped, 100) == ({"donotphone": True} if answer else {})


def test_what_does_not_fit_rejects_its_prospect_alone_by_the_first_such_column() -> None:
    long_title = "Chief " * 40
    mapped = apply(
        "firstname,first_name,,,,",
        "jobtitle,job_title,,,,",
        "numberofemployees,custom.size,,,,",
        prospects=[
            prospect(first_name="Ann", job_title=long_title, custom_fields={"size": "secretly many"}),
            prospect(id="pro_00000002", first_name="Bea", job_title="CEO", custom_fields={"size": "5"}),
        ],
    )
    assert list(mapped.rejects) == [100]
    reject = mapped.rejects[100]
    assert (reject.column, reject.rule, reject.value_class) == ("jobtitle", "too_long", "text of 240 characters")
    assert reject.message == "jobtitle: text of 240 characters does not fit into 100"
    assert "Chief" not in repr(reject)
    assert update_values(mapped, 101) == {"firstname": "Bea", "jobtitle": "CEO", "numberofemployees": 5}


def test_an_unreadable_value_rejects_too() -> None:
    rows = ("estimatedclosedate,custom.due,date(%d/%m/%Y),,,", "leadsourcecode,lead_source,map(sources),,,")
    mapped = apply(
        *rows,
        prospects=[prospect(custom_fields={"due": "soon"}), prospect(id="pro_00000002", lead_source="Moon")],
        tables={"sources": {"Expo": "7"}},
    )
    assert {label: (r.column, r.rule) for label, r in mapped.rejects.items()} == {
        100: ("estimatedclosedate", "not_a_date"),
        101: ("leadsourcecode", "not_in_value_table"),
    }


def test_truncate_cuts_to_the_column_and_says_so() -> None:
    mapped = apply("jobtitle,job_title,truncate,,,", prospects=[prospect(job_title="x" * 99 + "👩‍👩‍👧‍👦")])
    assert mapped.values["jobtitle"].iloc[0] == "x" * 99
    assert mapped.warnings == {100: ["jobtitle: text of 110 characters was cut to 100"]}
    assert not mapped.rejects


def test_what_no_text_can_hold_is_removed_with_a_warning() -> None:
    mapped = apply(
        "jobtitle,job_title,,,,",
        "firstname,first_name,,,,",
        "description,tags,,,,",
        prospects=[prospect(job_title="C\x00E\ud83dO", first_name="\x00", tags=["\x00", "a\x01"])],
    )
    assert update_values(mapped, 100) == {"jobtitle": "CEO", "description": "a"}
    assert mapped.warnings[100] == [
        "first_name: 1 unwritable characters were removed",
        "job_title: 2 unwritable characters were removed",
        "tags: 2 unwritable characters were removed",
    ]


NASTY = [
    "👩‍👩‍👧‍👦", "\u202bעברית\u202c", "<b>&amp;</b>", "O'Brien", '"quoted"', "+49 30 123", "00123", "1E5",
    "=1+1", "{first_name}",
    "%2B", "a\\b", "名前", "e\u0301", "\ufeffx", "-", "'; DROP TABLE lead; --",
]  # fmt: skip


@pytest.mark.parametrize("nasty", NASTY)
def test_nasty_text_arrives_as_it_was_written(nasty: str) -> None:
    assert value("job_title", job_title=nasty) == clean_text(nasty)[0]
    assert value("{job_title}!", job_title=nasty) == clean_text(nasty)[0] + "!"


@pytest.mark.parametrize(
    ("row", "metadata"),
    [
        ("jobtitle,job_title,,,,", table(text("firstname"))),
        ("ownerid,job_title,,,,", LEAD),
        ("jobtitle,job_title,,too long for it,,", table(text("jobtitle", 5))),
    ],
)
def test_a_column_changed_behind_our_back_stops_the_run(row: str, metadata: Any) -> None:
    mapping = parse_mapping("lead", HEADER + row, "lead.csv", {})
    with pytest.raises(ConfigurationError, match="any more"):
        apply_mapping(mapping, chunk(prospect()), metadata)


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=130)


@given(st.lists(st.tuples(ANY_TEXT, ANY_TEXT), min_size=1, max_size=4))
@modest
def test_any_text_is_mapped_cut_or_rejected(rows: list[tuple[str, str]]) -> None:
    mapped = apply(
        "firstname,first_name,trim,,,",
        "jobtitle,job_title,truncate,,,",
        "mobilephone,{first_name}{job_title},,,,",
        prospects=[
            prospect(id=f"pro_{number:08}", first_name=first, job_title=title)
            for number, (first, title) in enumerate(rows)
        ],
    )
    for label, (_, title) in zip(mapped.values.index, rows, strict=True):
        for target, found in update_values(mapped, label).items():
            assert isinstance(found, str)
            assert found.strip()
            assert utf16_length(found) <= (LEAD.columns[target].max_length or 0)
            found.encode("utf-8")
        if label not in mapped.rejects and not mapped.warnings.get(label) and title.strip():
            assert mapped.values.at[label, "jobtitle"] == (clean_text(title)[0])


# ---------------------------------------------------------------- lookups

FLOW = LookupKey("campaign", "codename", "FLOW25")
SAM = LookupKey("systemuser", "internalemailaddress", "sam@x.test")
DESK = LookupKey("systemuser", "internalemailaddress", "desk@x.test")
FLOW_ID, SAM_ID, DESK_ID = f"campaign({UUID(int=1)})", f"systemuser({UUID(int=2)})", f"systemuser({UUID(int=3)})"


def at(code: object, **values: Any) -> dict[str, Any]:
    return prospect(submissions=[submission(event={"id": "evt_1", "code": code})], **values)


def looked_up(row: str, answers: dict[LookupKey, str | LookupMiss], *prospects: dict[str, Any]) -> Mapped:
    mapping = parse_mapping("lead", HEADER + row, "lead.csv", {})
    frame = chunk(*(each | {"id": f"pro_{n}"} for n, each in enumerate(prospects)))
    assert wanted_lookups(mapping, frame) == set(answers)
    return apply_mapping(mapping, frame, LEAD, answers)


def test_each_text_is_looked_up_once_and_blanks_not_at_all() -> None:
    row = "campaignid,event.code,upper|lookup(campaign.codename),,,"
    mapped = looked_up(row, {FLOW: FLOW_ID}, at("flow25"), at(" FLOW25 "), at(None), at("  "))
    assert mapped.values["campaignid"].tolist() == [FLOW_ID, FLOW_ID, None, None]
    assert not mapped.rejects
    assert update_values(mapped, 102) == {}


def test_a_blank_source_clears_a_lookup_that_may_be_cleared() -> None:
    mapped = looked_up("campaignid,event.code,lookup(campaign.codename),,,clear", {}, at(None))
    assert update_values(mapped, 100) == {"campaignid": None}


@pytest.mark.parametrize("miss", list(LookupMiss))
def test_what_is_missing_is_rejected_left_or_waited_for(miss: LookupMiss) -> None:
    row = 'campaignid,event.code,"lookup(campaign.codename, {})",,,'
    text = f"campaignid: text of 6 characters {miss.value} in campaign.codename"
    for word, waits in (("reject", False), ("defer", True)):
        mapped = looked_up(row.format(word), {FLOW: miss}, at("FLOW25"), at(None))
        assert set(mapped.rejects) == {100}
        reject = mapped.rejects[100]
        assert (reject.column, reject.rule, reject.message, reject.passing) == ("campaignid", miss.rule, text, waits)
    left = looked_up(row.format("blank"), {FLOW: miss}, at("FLOW25"))
    assert not left.rejects
    assert left.warnings == {100: [text]}
    assert update_values(left, 100) == {}


def test_what_never_fits_weighs_more_than_what_waits() -> None:
    rows = 'campaignid,event.code,"lookup(campaign.codename,defer)",,,\nnumberofemployees,job_title,,,,'
    mapped = looked_up(rows, {FLOW: LookupMiss.NOT_FOUND}, at("FLOW25", job_title="CEO"), at("FLOW25"))
    assert [(mapped.rejects[n].column, mapped.rejects[n].passing) for n in (100, 101)] == [
        ("numberofemployees", False),
        ("campaignid", True),
    ]


def test_a_default_is_looked_up_too() -> None:
    row = 'ownerid,owner.email,"lookup(systemuser.internalemailaddress,blank)",desk@x.test,create_only,'
    owned = prospect(owner={"id": "usr_1", "email": "sam@x.test"})
    mapped = looked_up(row, {SAM: SAM_ID, DESK: DESK_ID}, owned, prospect())
    assert mapped.values["ownerid"].tolist() == [SAM_ID, None]
    assert mapped.defaults == {"ownerid": DESK_ID}
    assert looked_up(row, {DESK: LookupMiss.INACTIVE}, prospect()).defaults == {}


@pytest.mark.parametrize(
    "row",
    [
        "ownerid,owner.email,lookup(systemuser.internalemailaddress),desk@x.test,,",
        "ownerid,=desk@x.test,lookup(systemuser.internalemailaddress),,,",
    ],
)
def test_a_record_that_the_table_itself_names_is_no_prospect_s_fault(row: str) -> None:
    with pytest.raises(ConfigurationError, match=r"'desk@x\.test' for 'ownerid' is not found in systemuser"):
        looked_up(row, {DESK: LookupMiss.NOT_FOUND}, prospect())


def test_a_lookup_goes_nowhere_else() -> None:
    with pytest.raises(ConfigurationError, match="no column 'customerid' that can be mapped any more"):
        looked_up("customerid,event.code,lookup(campaign.codename),,,", {FLOW: FLOW_ID}, at("FLOW25"))


def test_no_message_holds_a_value() -> None:
    row = "ownerid,owner.email,lookup(systemuser.internalemailaddress),,,"
    owned = prospect(owner={"id": "usr_1", "email": "sam@x.test"})
    assert "sam" not in looked_up(row, {SAM: LookupMiss.NOT_FOUND}, owned).rejects[100].message
