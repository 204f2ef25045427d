"""Table metadata against a recorded exchange: what the sandbox does not show."""

from __future__ import annotations

from typing import Any

import pytest
import requests
import responses

from dynamics.core.metadata import RequiredLevel
from dynamics.dataverse.metadata import CASTS, read_table
from dynamics.errors import AccountError, ContractError
from tests.contract.dataverse.support import (
    BATCH,
    Part,
    batch_answer,
    error,
    on_batch,
    parts_of,
    sent,
    sign_in,
    transport,
)

DEFINITION = {"LogicalName": "lead", "EntitySetName": "leads", "PrimaryIdAttribute": "leadid"}
ATTRIBUTES = [
    {"LogicalName": "subject", "AttributeType": "String", "RequiredLevel": {"Value": "ApplicationRequired"}},
    {"LogicalName": "subjectname", "AttributeType": "Virtual", "AttributeOf": "subject"},
    {
        "LogicalName": "new_topics",
        "AttributeType": "Virtual",
        "AttributeTypeName": {"Value": "MultiSelectPicklistType"},
        "RequiredLevel": {"Value": "SomethingNew"},
        "IsValidForUpdate": False,
    },
    {
        "LogicalName": "customerid",
        "AttributeType": "Customer",
        "DisplayName": {"LocalizedLabels": [{"Label": "Kunde"}]},
    },
    {"LogicalName": "ownerid", "AttributeType": "Owner"},
]
EMPLOYER = {"LogicalName": "customerid", "Targets": ["contact", "account", "unknown"]}
RELATIONSHIPS = [
    {
        "ReferencingAttribute": column,
        "ReferencedEntity": target,
        "ReferencingEntityNavigationPropertyName": navigation,
    }
    for column, target, navigation in (
        ("customerid", "account", "customerid_account"),
        ("customerid", "contact", "customerid_contact"),
        ("ownerid", "owner", "ownerid"),
    )
]
TOPICS = {
    "LogicalName": "new_topics",
    "OptionSet": None,
    "GlobalOptionSet": {
        "Options": [
            {
                "Value": 1,
                "Label": {
                    "UserLocalizedLabel": {"Label": "Labs"},
                    "LocalizedLabels": [{"Label": "Labore"}, {"Label": "Labs"}],
                },
            },
            {"Value": 2, "Label": {"UserLocalizedLabel": None, "LocalizedLabels": [{"Label": "Optik"}]}},
            {"Value": 3, "Label": {"UserLocalizedLabel": None, "LocalizedLabels": []}},
        ]
    },
}


def table(
    web: responses.RequestsMock, bulk: Part = (200, {}, {"value": []}), definition: Part = (200, {}, DEFINITION)
) -> None:
    """Answer the one batch in which a table is asked for."""

    def answer(request: requests.PreparedRequest) -> Any:
        fates: list[Part] = []
        for line, _, _ in parts_of(request):
            if "sdkmessagefilters" in line:
                fates.append(bulk)
            elif "MultiSelectPicklistAttributeMetadata" in line:
                fates.append((200, {}, {"value": [TOPICS]}))
            elif "LookupAttributeMetadata" in line:
                fates.append((200, {}, {"value": [EMPLOYER]}))
            elif "AttributeMetadata" in line:
                fates.append((200, {}, {"value": []}))
            elif "/ManyToOneRelationships?" in line:
                fates.append((200, {}, {"value": RELATIONSHIPS}))
            elif "/Attributes?" in line:
                fates.append((200, {}, {"value": ATTRIBUTES}))
            else:
                fates.append(definition)
        assert len(fates) == len(CASTS) + 4
        return batch_answer(*fates)

    sign_in(web)
    on_batch(web, answer)


def test_a_table_is_one_request(web: responses.RequestsMock) -> None:
    table(web)
    lead = read_table(transport(), "lead")
    assert set(lead.columns) == {"subject", "new_topics", "customerid", "ownerid"}  # companions are left out
    topics = lead.columns["new_topics"]
    assert (topics.type, topics.required, topics.updatable) == ("MultiSelectPicklist", RequiredLevel.NONE, False)
    assert topics.options == {1: "Labs", 2: "Optik", 3: "3"}
    assert topics.labels == {1: ("Labs", "Labore"), 2: ("Optik",), 3: ("3",)}
    customer, owner = lead.columns["customerid"], lead.columns["ownerid"]
    assert list(customer.navigation.items()) == [("contact", "customerid_contact"), ("account", "customerid_account")]
    assert (customer.label, topics.label) == ("Kunde", "")
    assert owner.navigation == {"systemuser": "ownerid", "team": "ownerid"}
    assert lead.columns["subject"].required is RequiredLevel.APPLICATION
    assert len(sent(web, BATCH)) == 1


@pytest.mark.parametrize(
    ("bulk", "offered"),
    [
        ((200, {}, {"value": []}), False),
        ((200, {}, {"value": [{"sdkmessagefilterid": "x"}]}), True),
        ((400, {}, error("0x80040203")), True),
    ],
)
def test_bulk_is_tried_unless_known_not_to_be_offered(web: responses.RequestsMock, bulk: Part, offered: bool) -> None:
    table(web, bulk)
    assert read_table(transport(), "lead").bulk_create is offered


@pytest.mark.parametrize(
    ("definition", "kind", "why"),
    [
        ((404, {}, error("0x80060888")), AccountError, "does not exist"),
        ((403, {}, error("0x80040220", "missing prvReadEntity")), AccountError, "prvReadEntity"),
        ((400, {}, error("0x80040203")), ContractError, "not acceptable"),
        ((200, {}, {}), ContractError, "not in the known form"),
        ((200, {}, b"<html>"), ContractError, "no JSON"),
    ],
)
def test_a_table_that_cannot_be_read_is_an_account_fault(
    web: responses.RequestsMock, definition: Part, kind: type[Exception], why: str
) -> None:
    table(web, definition=definition)
    with pytest.raises(kind, match=why):
        read_table(transport(), "lead")
