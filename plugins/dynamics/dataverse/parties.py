"""Writes the parties of an activity for the wire: a party column is a list of references inside the product.

All party columns of an activity travel in one collection, each party with the part it plays. They are set when the
activity is created.

Source: Microsoft Learn, "activityparty EntityType", "ActivityParty.ParticipationTypeMask".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dynamics.core.crm import JsonObject
from dynamics.core.lookup import parse_lookup
from dynamics.core.metadata import TableMetadata

PARTY_LIST = "PartyList"
PARTS = {
    "from": 1,
    "to": 2,
    "cc": 3,
    "bcc": 4,
    "requiredattendees": 5,
    "optionalattendees": 6,
    "organizer": 7,
    "resources": 10,
    "customer": 11,
    "customers": 11,
}


def parties_on_the_wire(
    table: TableMetadata, values: JsonObject, metadata: Callable[[str], TableMetadata]
) -> JsonObject:
    """The values, their party columns as one collection; `metadata` tells of the parties' tables."""
    columns = [name for name in values if name in table.columns and table.columns[name].type == PARTY_LIST]
    if not columns:
        return values
    parties = []
    for name in columns:
        for reference in values[name]:
            target, record_id = parse_lookup(reference)
            bound = f"/{metadata(target).entity_set}({record_id})"
            parties.append({f"partyid_{target}@odata.bind": bound, "participationtypemask": PARTS[name]})
    wire: dict[str, Any] = {name: value for name, value in values.items() if name not in columns}
    return wire | {f"{table.logical_name}_activity_parties": parties}
