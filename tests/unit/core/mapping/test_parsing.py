"""Mapping tables as people write them: what is read, and every fault at once."""

from __future__ import annotations

import pytest

from dynamics.core.mapping import Blank, Mapping, WriteMode, parse_mapping, parse_value_table
from dynamics.core.mapping.rules import Constant, Path, Template
from dynamics.errors import ConfigurationError

HEADER = "target,source,transform,default,write,blank,comment\n"
TABLES = {"rating": {"hot": "1", "*": ""}}


def parse(text: str) -> Mapping:
    return parse_mapping("lead", text, "lead.csv", TABLES)


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse(text)
    return [str(fault) for fault in caught.value.faults]


def test_rows_become_rules() -> None:
    mapping = parse(
        HEADER
        + "subject,{first_name} at {event.name},trim|truncate,Someone,create_only,,What it is about\n"
        + "leadsourcecode,=7,,,,,\n"
        + "\n# a remark, with, many, commas, and, so, on, and on\n"
        + 'description,"{notes.all}\\n{answers.all}",,,append,,\n'
        + "jobtitle , job_title , trim | join( / ) ,,always,clear,\n"
    )
    subject, source, description, title = mapping.rows
    assert subject.origin == Template(("", " at ", ""), ("first_name", "event.name"))
    assert subject.truncates
    assert (subject.default, subject.write, subject.blank) == ("Someone", WriteMode.CREATE_ONLY, Blank.KEEP)
    assert source.origin == Constant("7")
    assert source.write is WriteMode.ALWAYS
    assert description.origin == Template(("", "\n", ""), ("notes.all", "answers.all"))
    assert title.origin == Path("job_title")
    assert [step.name for step in title.steps] == ["trim", "join"]
    assert title.blank is Blank.CLEAR
    assert [rule.line for rule in mapping.rows] == [2, 3, 6, 7]
    assert mapping.targets == ("subject", "leadsourcecode", "description", "jobtitle")
    assert mapping.write_modes["description"] is WriteMode.APPEND
    assert mapping.paths == {"first_name", "event.name", "notes.all", "answers.all", "job_title"}


def test_telephone_numbers_ask_for_the_country_too() -> None:
    assert parse("target,source,transform\ntelephone1,phones.work,phone\n").paths == {
        "phones.work",
        "address.country",
        "address.country_code",
    }


def test_a_file_saved_by_excel_is_read() -> None:
    text = "\ufefftarget,source\r\njobtitle,job_title\r\n"
    assert parse(text).targets == ("jobtitle",)


def test_a_quoted_cell_may_run_over_lines_and_braces_may_be_doubled() -> None:
    mapping = parse('target,source\nsubject,"{{{first_name}}}\nand {last_name}"\nfirstname,first_name\n')
    assert mapping.rows[0].origin == Template(("{", "}\nand ", ""), ("first_name", "last_name"))
    assert [rule.line for rule in mapping.rows] == [2, 4]


def test_the_digest_changes_with_what_is_written_and_with_nothing_else() -> None:
    base = "target,source,transform,comment\nfirstname,first_name,,\nleadqualitycode,rating.label,map(rating),\n"
    digest = parse(base).digest
    same = [
        base.replace("first_name,,", "first_name,,a comment"),
        "# remark\n\n" + base,
        "target,source,transform,write\nleadqualitycode,rating.label,map(rating),\nfirstname,first_name,,\n",
    ]
    other = [base.replace("first_name", "last_name"), base.replace("first_name,,", "first_name,trim,")]
    assert {parse(text).digest for text in same} == {digest}
    assert len({digest, *(parse(text).digest for text in other)}) == 3
    assert parse_mapping("contact", base, "lead.csv", TABLES).digest != digest
    assert parse_mapping("lead", base, "lead.csv", TABLES | {"unused": {}}).digest == digest
    assert parse_mapping("lead", base, "lead.csv", {"rating": {"hot": "2"}}).digest != digest


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("jobtitle,jobtitle,,,,,", "lead.csv:2: 'jobtitle' is no path of a prospect. Nearest: job_title"),
        ("jobtitle,,,,,,", "lead.csv:2: The source is missing."),
        ("Job Title,job_title,,,,,", "lead.csv:2: 'Job Title' is no logical name"),
        (",job_title,,,,,", "lead.csv:2: '' is no logical name"),
        ("jobtitle,job_title,tirm,,,,", "lead.csv:2: There is no transform 'tirm'. Did you mean 'trim'?"),
        ("jobtitle,job_title,trim||lower,,,,", "lead.csv:2: '|lower' is no transform."),
        ("jobtitle,job_title,trim(2),,,,", "lead.csv:2: 'trim' takes no argument."),
        ("jobtitle,job_title,truncate(9),,,,", "lead.csv:2: 'truncate' takes no argument."),
        ("jobtitle,job_title,truncate|trim,,,,", "lead.csv:2: 'trim' comes after 'truncate'."),
        ("jobtitle,job_title,map,,,,", "lead.csv:2: 'map' needs the name of a value table"),
        ("jobtitle,job_title,map(industry),,,,", "lead.csv:2: there is no value table 'industry'"),
        ("jobtitle,job_title,date(nonsense %Q),,,,", "lead.csv:2: 'nonsense %Q' is no date form"),
        ("jobtitle,job_title,number(xx),,,,", "lead.csv:2: 'xx' is no number form"),
        ("leadsourcecode,tags,choices(1),,,,", "lead.csv:2: 'choices' takes no argument."),
        ("leadsourcecode,tags,choice|lower,,,,", "lead.csv:2: 'lower' comes after 'choice'. Write choice last."),
        ("jobtitle,job_title,bool(ja),,,,", "lead.csv:2: 'bool' takes a word for yes and one for no: bool(ja, nein)"),
        ("jobtitle,job_title,zone(Berlin),,,,", "lead.csv:2: 'Berlin' is no time zone: write it like"),
        ("jobtitle,job_title,country(iso),,,,", "lead.csv:2: 'country' is written country for the name or"),
        (
            "ownerid,owner.email,lookup(systemuser),,,,",
            "lead.csv:2: 'lookup(systemuser)' names no column. Write it like",
        ),
        ("ownerid,owner.email,lookup,,,,", "lead.csv:2: 'lookup()' names no column."),
        (
            'ownerid,owner.email,"lookup(team.name, rejct)",,,,',
            "lead.csv:2: 'rejct' is no word for 'lookup'. Did you mean",
        ),
        (
            "ownerid,owner.email,lookup(team.name)|trim,,,,",
            "lead.csv:2: 'trim' comes after 'lookup'. Write lookup last.",
        ),
        ("ownerid,owner.email,lookup(team.name)|truncate,,,,", "lead.csv:2: 'truncate' comes after 'lookup'."),
        ("ownerid,owner.email,truncate|lookup(team.name),,,,", "lead.csv:2: 'lookup' comes after 'truncate'."),
        (
            "ownerid,owner.email,lookupp(team.name),,,,",
            "lead.csv:2: There is no transform 'lookupp'. Did you mean 'lookup'?",
        ),
        (
            'campaignid,event.code,"lookup(campaign.name,blank)",,,clear,',
            "lead.csv:2: 'clear' does not go with a lookup",
        ),
        ("jobtitle,job_title,,,allways,,", "lead.csv:2: 'allways' is no word for 'write'. Did you mean 'always'?"),
        ("jobtitle,job_title,,,,keeep,", "lead.csv:2: 'keeep' is no word for 'blank'. Did you mean 'keep'?"),
        ("jobtitle,job_title,,,if_empty,clear,", "lead.csv:2: 'clear' does not go with 'if_empty'."),
        ("jobtitle,{job_title,,,,,", "lead.csv:2: The template cannot be read"),
        ("jobtitle,{job_titel},,,,,", "lead.csv:2: 'job_titel' is no path of a prospect. Nearest: job_title"),
        ("jobtitle,{job_title:10},,,,,", "lead.csv:2: '{job_title}' has more in its braces than a path."),
        ("jobtitle,{{}},,,,,", "lead.csv:2: The template has no path in it."),
        ("jobtitle,=CEO,trim,,,,", "lead.csv:2: A constant takes no transform but choice, choices"),
        ("jobtitle,job_title,,,,,,stray", "lead.csv:2: The row has more cells than the header."),
    ],
)
def test_a_fault_names_file_line_and_remedy(row: str, fault: str) -> None:
    (found,) = faults(f"{HEADER}{row}\n")
    assert found.startswith(fault)
    assert found.endswith((".", "?", "from,to"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "The column 'source' is missing."),
        ("target,sorce\njobtitle,job_title\n", "There is no column 'sorce'. Did you mean 'source'?"),
        ("target,source,source\njobtitle,job_title\n", "The column 'source' stands there twice."),
        ("target;source;transform\njobtitle;job_title;\n", "The cells are parted by semicolons."),
        (HEADER, "The mapping has no rows."),
    ],
)
def test_a_header_that_cannot_be_used(text: str, fault: str) -> None:
    assert any(fault in found for found in faults(text))


def test_all_faults_come_at_once() -> None:
    found = faults(
        HEADER
        + "firstname,firstname,,,,,\n"
        + "lastname,last_name,tirm,,,,\n"
        + "lastname,last_name,,,,,\n"
        + "jobtitle,job_title,map(industry),,sometimes,,\n"
    )
    assert [fault.split(": ")[0] for fault in found] == [f"lead.csv:{line}" for line in (2, 3, 4, 5, 5)]
    assert "'lastname' is mapped in line 3 already." in found[2]


def test_value_tables() -> None:
    assert parse_value_table('from,to\n# remark\nhot,1\n"a, b",2\n*,\n', "x.csv") == {"hot": "1", "a, b": "2", "*": ""}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "x.csv: The first line is not from,to."),
        ("a,b\n", "x.csv:1: The first line is not from,to."),
        ("from,to\nhot\n", "x.csv:2: The row has not two cells."),
        ("from,to\nhot,1\nhot,2\n", "x.csv:3: This value stands there twice."),
    ],
)
def test_value_tables_that_cannot_be_used(text: str, fault: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_value_table(text, "x.csv")
    assert str(caught.value.faults[0]).startswith(fault)
