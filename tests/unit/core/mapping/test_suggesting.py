"""A drafted mapping: what is found, what is but guessed, and what is left alone."""

from __future__ import annotations

import pytest

from dynamics.core.mapping import parse_mapping
from dynamics.core.mapping.suggesting import SourceField, draft, standard_fields, suggest
from dynamics.core.metadata import Column, RequiredLevel
from tests.unit.core.builders import table, text

BUDGET = SourceField("custom.budget", "Budget", "money")
INTERESTS = SourceField("custom.interests", "Interests", "options", ("Pumps", "Seals"))
TIMELINE = SourceField("answer.timeline", "When will you buy?", "single_choice", ("This Quarter", "Next Quarter"))
VISITED = SourceField("custom.visited_before", "Visited us before", "boolean")
BADGE = SourceField("custom.badge_number", "Badge number", "string")
DIRECT = SourceField("custom.direct_line", "Direct line", "phone")


def choice(name: str, label: str, *labels: str) -> Column:
    options = dict(enumerate(labels, 1))
    return Column(name, "Picklist", options=options, labels={k: (v,) for k, v in options.items()}, label=label)


@pytest.mark.parametrize(
    ("field", "column", "surety", "transform"),
    [
        (BUDGET, Column("new_budget", "Money", label="Budget"), "sure", ""),
        (BUDGET, text("cr1a2_budget", label="Budget"), "likely", ""),
        (BUDGET, Column("new_eventbudget", "Money", label="Event budget"), "a guess", ""),
        (BUDGET, Column("new_x", "Money", label="Budget"), "sure", ""),
        (BUDGET, Column("new_budget", "DateTime", label="Budget"), None, None),
        (BUDGET, Column("new_height", "Money", label="Height"), None, None),
        (VISITED, Column("new_visitedbefore", "Boolean", label="Visited before"), "sure", "bool"),
        (INTERESTS, text("new_interest", label="Interest"), "likely", "join(; )"),
        (TIMELINE, choice("new_timeline", "Timeline", "This Quarter", "Next Quarter"), "sure", "choice"),
        (TIMELINE, choice("new_timeline", "Timeline", "2026", "2027"), "likely", "map(timeline)|choice"),
        (BADGE, text("new_badgeno", label="Badge No"), None, None),
        (BADGE, Column("new_badgenumber", "Integer", label="Badge Number"), "likely", "number"),
        (DIRECT, text("new_directline", label="Direct Line"), "sure", "phone"),
        (BADGE, text("new_badgenumber", label="Badge Number", creatable=False), None, None),
        (BADGE, text("new_badgenumber", label="Badge Number", updatable=False), None, None),
        (BADGE, Column("new_badgenumber", "Image", label="Badge Number"), None, None),
    ],
)
def test_a_field_finds_its_column(
    field: SourceField, column: Column, surety: str | None, transform: str | None
) -> None:
    found = suggest(table(column), [field])
    assert [(row.source, row.surety, row.transform) for row in found] == (
        [] if surety is None else [(field.path, surety, transform)]
    )


def test_the_best_field_wins_and_none_is_used_twice() -> None:
    columns = (Column("new_budget", "Money", label="Budget"), text("new_budgettext", label="Budget text"))
    found = suggest(table(*columns), [BUDGET, SourceField("custom.budget_text", "Budget text", "string")])
    assert {row.target: row.source for row in found} == {
        "new_budget": "custom.budget",
        "new_budgettext": "custom.budget_text",
    }


def test_what_is_mapped_already_is_taken_over_where_the_organisation_has_it() -> None:
    header = "target,source,transform,default,write,blank,comment\n"
    rows = "jobtitle,job_title,trim|truncate,,if_empty,,\ndropped,department,,,,,\n"
    known = parse_mapping("lead", header + rows, "lead.csv", {})
    [row] = suggest(table(text("jobtitle")), standard_fields(["job_title", "department"]), known)
    assert (row.source, row.transform, row.write, row.surety) == ("job_title", "trim|truncate", "if_empty", "sure")


def test_a_draft_is_a_mapping_and_says_what_is_open() -> None:
    organisation = table(
        Column("new_budget", "Money", label="Budget"),
        text("new_region", label="Region", required=RequiredLevel.APPLICATION),
        choice("new_badge", "Badge number kind", "A", "B"),
    )
    text_of_it = draft(organisation, suggest(organisation, [BUDGET, BADGE]))
    mapping = parse_mapping("lead", text_of_it, "lead.csv", {})
    assert mapping.targets == ("new_budget",)
    assert "new_budget,custom.budget,,,always,,sure (100): labels 'Budget' and 'Budget'; money into Money" in text_of_it
    assert "# new_region is required and nothing of the source fits: write a row for it." in text_of_it


def test_what_cannot_be_used_as_it_is_stands_there_as_a_comment() -> None:
    guess, list_ = Column("new_eventbudget", "Money", label="Event budget"), choice("new_timeline", "Timeline", "Soon")
    drafted = draft(table(guess, list_), suggest(table(guess, list_), [BUDGET, TIMELINE]))
    assert "# new_eventbudget,custom.budget,,,always,,a guess (50): " in drafted
    assert "# new_timeline,answer.timeline,map(timeline)|choice,,always,,likely (80): " in drafted
    assert "write values/timeline.csv first: its options beside the column's" in drafted
