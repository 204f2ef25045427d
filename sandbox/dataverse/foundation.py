"""The rows every organisation has before anyone writes: business unit, currency, organisation, roles, a person.

Microsoft's table of messages is here too, as far as it says which tables take bulk messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID, uuid5

from sandbox.dataverse.state import State
from sandbox.dataverse.store import Row
from sandbox.dataverse.values import stamp

ADMINISTRATOR = "System Administrator"
PERSON = "Alex Baker"
"""The one human user, who owns what seeding does not give to anyone."""

_MESSAGES = ("Create", "Update", "Delete", "CreateMultiple", "UpdateMultiple")


def named_id(state: State, name: str) -> str:
    """An id that is the same in every run of one organisation."""
    return str(uuid5(state.organization_id, name))


def person_id(state: State) -> UUID:
    """The human user's id."""
    return uuid5(state.organization_id, "person")


def lay(state: State) -> None:
    """Write the rows of a new organisation."""
    with state.store.transaction():
        for table, row_id, row in _rows(state):
            definition = state.schema.tables[table]
            stamps: Row = {"createdon": stamp(state.clock()), "modifiedon": stamp(state.clock())}
            full = {**stamps, **row, definition.primary_id: row_id, "versionnumber": state.store.next_version()}
            state.store.put(table, row_id, full)


def _rows(state: State) -> Iterator[tuple[str, str, Row]]:
    unit, currency = state.business_unit_id, state.currency_id
    organization = str(state.organization_id)
    yield "businessunit", unit, {"name": state.name, "_organizationid_value": organization, "isdisabled": False}
    yield (
        "transactioncurrency",
        currency,
        {
            "currencyname": "US Dollar",
            "currencysymbol": "$",
            "isocurrencycode": "USD",
            "currencyprecision": 2,
            "exchangerate": 1.0,
            "statecode": 0,
            "statuscode": 1,
        },
    )
    yield (
        "organization",
        organization,
        {
            "name": state.name,
            "languagecode": 1033,
            "fullnameconventioncode": 1,
            "expirechangetrackingindays": 7,
            "isduplicatedetectionenabled": True,
            "_basecurrencyid_value": currency,
        },
    )
    yield "role", named_id(state, "role"), {"name": ADMINISTRATOR, "_businessunitid_value": unit}
    yield "systemuser", str(person_id(state)), user_row(state, PERSON, "alex.baker@example.test")
    yield "team", named_id(state, "team"), {"name": state.name, "teamtype": 0, "_businessunitid_value": unit}
    for message in _MESSAGES:
        message_id = named_id(state, message)
        yield "sdkmessage", message_id, {"name": message}
        for table in state.schema.tables.values():
            if table.has_bulk or not message.endswith("Multiple"):
                row = {"_sdkmessageid_value": message_id, "primaryobjecttypecode": table.name}
                yield "sdkmessagefilter", named_id(state, f"{message} {table.name}"), row


def user_row(state: State, name: str, email: str) -> Row:
    """A user without an application; `name` is first and last name."""
    first, _, last = name.partition(" ")
    return {
        "firstname": first,
        "lastname": last,
        "fullname": name,
        "domainname": email,
        "internalemailaddress": email,
        "isdisabled": False,
        "accessmode": 0,
        "islicensed": True,
        "_businessunitid_value": state.business_unit_id,
    }
