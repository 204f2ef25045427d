"""Reads what a table looks like in this organisation: columns, lengths, options, required levels, bulk support.

One request a table. What a mapping may make of it is decided in `core.mapping`.

Source: Microsoft Learn, "Query table definitions using the Web API", "Use bulk operation messages".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from dynamics.core.crm import JsonObject
from dynamics.core.metadata import Column, DateBehavior, RequiredLevel, TableMetadata
from dynamics.dataverse.batch import Part, read_batch
from dynamics.dataverse.faults import read_fault, safe_message
from dynamics.dataverse.session import Answer
from dynamics.dataverse.transport import SERVICE_PATH, Transport
from dynamics.errors import AccountError, ContractError

OPERATION = "read metadata"


class _Cast(NamedTuple):
    """An attribute type and what only it can tell."""

    name: str
    select: str
    expand: str = ""


_OPTIONS = "OptionSet($select=Options)"
CASTS = (
    _Cast("String", "LogicalName,MaxLength"),
    _Cast("Memo", "LogicalName,MaxLength"),
    _Cast("Integer", "LogicalName,MinValue,MaxValue"),
    _Cast("Decimal", "LogicalName,MinValue,MaxValue,Precision"),
    _Cast("Double", "LogicalName,MinValue,MaxValue,Precision"),
    _Cast("Money", "LogicalName,MinValue,MaxValue,Precision"),
    _Cast("DateTime", "LogicalName,DateTimeBehavior"),
    _Cast("Picklist", "LogicalName", f"{_OPTIONS},GlobalOptionSet($select=Options)"),
    _Cast("MultiSelectPicklist", "LogicalName", f"{_OPTIONS},GlobalOptionSet($select=Options)"),
    _Cast("State", "LogicalName", _OPTIONS),
    _Cast("Status", "LogicalName", _OPTIONS),
    _Cast("Boolean", "LogicalName", "OptionSet($select=TrueOption,FalseOption)"),
    _Cast("Lookup", "LogicalName,Targets"),
)
OWNERS = ("systemuser", "team")  # relationships call both "owner"
_TABLE = "LogicalName,EntitySetName,PrimaryIdAttribute,PrimaryNameAttribute"
_NAMES = "LogicalName,DisplayName,AttributeType,AttributeTypeName,AttributeOf"
_ATTRIBUTE = f"{_NAMES},RequiredLevel,IsValidForCreate,IsValidForUpdate"
_RELATIONSHIP = "ReferencingAttribute,ReferencedEntity,ReferencingEntityNavigationPropertyName"


def read_table(transport: Transport, table: str) -> TableMetadata:
    """The table's columns. Companions of other columns are left out.

    Raises:
        AccountError: there is no such table, or we may not see it. TransientError: not now.
        ContractError: the answer is not understood.
    """
    root = f"EntityDefinitions(LogicalName='{quote(table, safe='')}')"
    answers = read_batch(transport, OPERATION, table, [_get(path) for path in _paths(root, table)])
    definition, attributes, relationships, *casts = (_json(table, answer) for answer in answers[:-1])
    try:
        details = {attribute["LogicalName"]: attribute for cast in casts for attribute in cast["value"]}
        bound_by = _bound_by(relationships["value"])
        columns = [
            _column(attribute, details.get(attribute["LogicalName"], {}), bound_by.get(attribute["LogicalName"], {}))
            for attribute in attributes["value"]
        ]
        return TableMetadata(
            logical_name=definition["LogicalName"],
            entity_set=definition["EntitySetName"],
            primary_id=definition["PrimaryIdAttribute"],
            columns={column.logical_name: column for column in columns if column is not None},
            bulk_create=_offers_bulk_create(answers[-1]),
            primary_name=definition.get("PrimaryNameAttribute") or "",
        )
    except (KeyError, TypeError, ValueError) as odd:
        raise ContractError(OPERATION, table, detail="the metadata is not in the known form") from odd


def _paths(root: str, table: str) -> list[str]:
    casts = [
        f"{root}/Attributes/Microsoft.Dynamics.CRM.{cast.name}AttributeMetadata?$select={cast.select}"
        + (f"&$expand={cast.expand}" if cast.expand else "")
        for cast in CASTS
    ]
    condition = f"sdkmessageid/name eq 'CreateMultiple' and primaryobjecttypecode eq '{table}'"
    bulk = f"sdkmessagefilters?$select=sdkmessagefilterid&$filter={quote(condition, safe='')}"
    relationships = f"{root}/ManyToOneRelationships?$select={_RELATIONSHIP}"
    return [f"{root}?$select={_TABLE}", f"{root}/Attributes?$select={_ATTRIBUTE}", relationships, *casts, bulk]


def _get(path: str) -> Part:
    return Part("GET", SERVICE_PATH + path, {"Accept": "application/json"})


def _json(table: str, answer: Answer) -> Any:
    if answer.status == 404:
        detail = "the table does not exist in this organisation, or its solution is not installed"
        raise AccountError(OPERATION, table, detail=detail, status=404)
    if answer.status >= 400:
        fault = read_fault(answer)
        raise ContractError(OPERATION, table, detail=safe_message(fault), status=fault.status, code=fault.code)
    try:
        return orjson.loads(answer.body)
    except orjson.JSONDecodeError as odd:
        raise ContractError(OPERATION, table, detail="the metadata is no JSON", status=answer.status) from odd


def _offers_bulk_create(answer: Answer) -> bool:
    """If the question is not answered, bulk is tried; `bulk` falls back when it is refused."""
    if answer.status != 200:
        return True
    return bool(orjson.loads(answer.body).get("value"))


def _bound_by(relationships: Iterable[JsonObject]) -> dict[str, dict[str, str]]:
    """Lookup column -> target table -> navigation property."""
    found: dict[str, dict[str, str]] = {}
    for each in relationships:
        targets = OWNERS if each["ReferencedEntity"] == "owner" else (each["ReferencedEntity"],)
        for target in targets:
            found.setdefault(each["ReferencingAttribute"], {})[target] = each["ReferencingEntityNavigationPropertyName"]
    return found


def _column(attribute: JsonObject, detail: JsonObject, bound_by: Mapping[str, str]) -> Column | None:
    if attribute.get("AttributeOf"):
        return None
    type_name = (attribute.get("AttributeTypeName") or {}).get("Value")
    multiple = type_name == "MultiSelectPicklistType"  # whose AttributeType is the one word Virtual
    level = (attribute.get("RequiredLevel") or {}).get("Value")
    behavior = (detail.get("DateTimeBehavior") or {}).get("Value")
    options = _options(detail)
    targets = [target for target in detail.get("Targets") or bound_by if target in bound_by]
    return Column(
        logical_name=attribute["LogicalName"],
        type="MultiSelectPicklist" if multiple else attribute["AttributeType"],
        required=RequiredLevel(level) if level in set(RequiredLevel) else RequiredLevel.NONE,
        creatable=bool(attribute.get("IsValidForCreate", True)),
        updatable=bool(attribute.get("IsValidForUpdate", True)),
        max_length=_whole(detail.get("MaxLength")),
        minimum=_real(detail.get("MinValue")),
        maximum=_real(detail.get("MaxValue")),
        precision=_whole(detail.get("Precision")),
        behavior=DateBehavior(behavior) if behavior in set(DateBehavior) else DateBehavior.USER_LOCAL,
        options={value: labels[0] for value, labels in options.items()},
        labels=options,
        navigation={target: bound_by[target] for target in targets},
        label=next(iter(_labels(attribute.get("DisplayName"))), ""),
    )


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) else None


def _real(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _options(detail: JsonObject) -> dict[int, tuple[str, ...]]:
    """Value -> labels, as the application user reads it first. A boolean's options stand apart, as 1 and 0."""
    sets = [detail.get(name) or {} for name in ("OptionSet", "GlobalOptionSet")]
    options = [option for found in sets for option in found.get("Options") or []]
    options += [found[name] for found in sets for name in ("TrueOption", "FalseOption") if found.get(name)]
    return {int(option["Value"]): _labels(option.get("Label")) or (str(option["Value"]),) for option in options}


def _labels(label: JsonObject | None) -> tuple[str, ...]:
    """The texts of a label, the application user's language first, each once."""
    said = [(label or {}).get("UserLocalizedLabel"), *((label or {}).get("LocalizedLabels") or [])]
    return tuple(dict.fromkeys(str(each["Label"]) for each in said if each and each.get("Label")))
