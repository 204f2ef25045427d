"""Decides what a refusal of Dataverse means: whose fault it is, which column, and what a person may be told of it.

Three fault classes (row, account, transient) and the ordinary outcomes of conditional writes. A code that nobody has
classified is never held against a row: with a status of 500 or more it is transient, else it stays unclassified. Texts
are our own, because the wire's repeat what stands in the row, and a plug-in's may name anybody.

Source: Microsoft Learn, "Web service error codes", "Compose HTTP requests and handle errors".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import orjson

from dynamics.dataverse.session import Answer

PLUGIN_REFUSAL = "0x80040265"


class FaultClass(StrEnum):
    """What to do next."""

    ROW = "row"  # refuse this row
    ACCOUNT = "account"  # stop: a person must act
    TRANSIENT = "transient"  # come again later; whether a write landed is not known from it
    ROLLED_BACK = "rolled_back"  # the database undid it: provably not written, send it again
    EXISTS = "exists"  # the id is taken
    STALE = "stale"  # the record is no longer the version named
    GONE = "gone"  # there is no such record
    TARGET = "target"  # a record it points to is missing, or must not be pointed to
    UNCLASSIFIED = "unclassified"  # nobody has decided yet


@dataclass(frozen=True)
class Fault:
    """A refusal as it came over the wire. `text` may name people: it is for `classify` and `safe_message` alone."""

    status: int
    code: str
    text: str
    request_id: str | None

    def __repr__(self) -> str:
        return f"Fault({self.status}, {self.code})"


ROW, ACCOUNT, TRANSIENT = FaultClass.ROW, FaultClass.ACCOUNT, FaultClass.TRANSIENT
ROLLED_BACK, UNCLASSIFIED = FaultClass.ROLLED_BACK, FaultClass.UNCLASSIFIED

CODES: Mapping[str, tuple[FaultClass, str]] = {
    # conditions
    "0x80040237": (FaultClass.EXISTS, "a record with this id exists already"),
    "0x80060882": (FaultClass.STALE, "the record was changed since it was read"),
    "0x80040217": (FaultClass.GONE, "the record does not exist"),
    # a record it points to, which was there when it was looked up
    "0x80060891": (FaultClass.TARGET, "a record this one points to does not exist"),
    "0x8004022b": (FaultClass.TARGET, "the owner is a disabled user"),
    "0x80040517": (FaultClass.TARGET, "the account or contact it belongs to is inactive"),
    # this row
    "0x80044331": (ROW, "the text is longer than the column allows"),
    "0x8004431a": (ROW, "the value is not one of the column's options"),
    "0x8004431c": (ROW, "the value is not one of the column's options"),
    "0x8004432f": (ROW, "the number is outside the column's range"),
    "0x80044330": (ROW, "the number is outside the column's range"),
    "0x80044354": (ROW, "the value is not of the column's type"),
    "0x80048408": (ROW, "the status does not belong to the state"),
    "0x80040203": (ROW, "a value is not acceptable"),
    "0x80040200": (ROW, "a required column has no value"),
    "0x80048d19": (ROW, "a value is not of its column's type"),
    "0x80040278": (ROW, "a text holds control characters"),
    PLUGIN_REFUSAL: (ROW, "a plug-in of the organisation refused the record: see its plug-in trace log for the reason"),
    "0x80060892": (ROW, "another record has the same alternate key"),
    "0x80073002": (ROW, "another record has the same unique value"),
    "0x80040333": (ROW, "a duplicate detection rule found a record like this one"),
    "0x80040229": (ROW, "the owner cannot own this record"),
    "0x80040519": (ROW, "the lead is closed"),
    "0x80040302": (ROW, "the marketing list is locked"),
    "0x80040230": (ROW, "the record is inactive"),
    "0x8004022e": (ROW, "the record is read-only"),
    "0x80048306": (ROW, "the application user has no right to this one record"),
    "0x8004418a": (ROW, "the record is too large"),
    # a person must act
    "0x80072560": (ACCOUNT, "no application user for this client id: create one in the environment"),
    "0x80040225": (ACCOUNT, "the application user is disabled: enable it in the environment"),
    "0x80040220": (ACCOUNT, "the application user lacks a privilege: add it to a security role of the user"),
    "0x80042f09": (ACCOUNT, "the application user has no security role: assign one"),
    "0x80040256": (ACCOUNT, "the application user lacks rights: check its security roles"),
    "0x8004a110": (ACCOUNT, "the application user may not act for others: assign the role Delegate"),
    "0x8004f502": (ACCOUNT, "a column security profile keeps the application user from creating with a column"),
    "0x8004f504": (ACCOUNT, "a column security profile keeps the application user from reading a column"),
    "0x8004f507": (ACCOUNT, "a column security profile keeps the application user from updating a column"),
    "0x80041a01": (ACCOUNT, "a mapped column cannot be set on create: correct the mapping"),
    "0x80041a02": (ACCOUNT, "a mapped column cannot be updated: correct the mapping"),
    "0x80041102": (ACCOUNT, "a table does not exist in this organisation: correct the mapping"),
    "0x80041103": (ACCOUNT, "a column does not exist in this organisation: correct the mapping"),
    "0x80060890": (ACCOUNT, "an alternate key does not exist in this organisation: correct the mapping"),
    "0x80040301": (ACCOUNT, "the marketing list holds members of another table: choose another list"),
    "0x80081018": (ACCOUNT, "the application user may not create the account of a lead: add the privilege"),
    "0x8006088a": (ACCOUNT, "a table or message does not exist in this organisation"),
    "0x8006088d": (ACCOUNT, "the table has optimistic concurrency switched off: switch it on"),
    # later
    "0x80072321": (TRANSIENT, "too much work in the last five minutes"),
    "0x80072322": (TRANSIENT, "too many requests in the last five minutes"),
    "0x80072326": (TRANSIENT, "too many requests at once"),
    "0x80072324": (TRANSIENT, "the organisation's database is overloaded"),
    "0x8005f103": (TRANSIENT, "too many requests"),
    "0x80044151": (ROLLED_BACK, "the database gave up on a slow request"),
    "0x80044339": (ROLLED_BACK, "a record was locked by another request"),
    # a plug-in crashed: its transaction is undone, but not every crash is the row's fault
    "0x80040224": (UNCLASSIFIED, "a plug-in of the organisation failed"),
    "0x80081111": (UNCLASSIFIED, "a plug-in of the organisation took too long"),
}
# We are not let in, which may pass while a person exchanges a secret or a role.
ACCESS_CODES = frozenset(
    {
        "0x80072560",
        "0x80040225",
        "0x80040220",
        "0x80042f09",
        "0x80040256",
        "0x8004a110",
        "0x8004f502",
        "0x8004f504",
        "0x8004f507",
        "0x80081018",
    }
)
# When these hit row after row, a rule of the organisation is to blame and no row's value.
RULE_CODES = frozenset({PLUGIN_REFUSAL, "0x80040224", "0x80081111", "0x80048306", "0x80040229", "0x8004022b"})
OUTAGE_STATUSES = frozenset({408, 502, 503, 504})
FEWER_CODES = frozenset({"0x80072321", "0x80072326"})  # too much work, or too many requests, at once
SQL_ERROR = "0x80044150"
# Deadlock; and bulk messages finding their table type or procedure not yet built on first use.
_REPEATABLE_SQL = re.compile(r"Sql Number: (?:1205|3732|2766|2812)\b", re.IGNORECASE)
_SCHEMA_CODES = frozenset({"0x80048d19", "0x80060888"})  # payload and URL that could not be read
_UNKNOWN_NAME = re.compile(r"(?:undeclared property|property named|The property) '(\w{1,100})'", re.IGNORECASE)
_NOT_OFFERED = re.compile(r"is not enabled on the entity|does not support entities of type", re.IGNORECASE)
_COLUMN = re.compile(
    r"length of the '(\w+)' attribute|value \S.* of '(\w+)' on record of type|(?:attribute|column|field) '(\w+)'",
    re.IGNORECASE,
)
_LITERAL = re.compile(r"Cannot convert the literal '(.*?)' to the expected type")
_IDENTIFIER = re.compile(r"['\"](\w+)['\"]")
_MAX_LENGTH = re.compile(r"maximum allowed length of '(\d+)'")
_PRIVILEGE = re.compile(r"\bprv\w+")


def read_fault(answer: Answer) -> Fault:
    """The refusal in an answer of status 400 or more; a body that is no Dataverse error gives an empty code."""
    try:
        error = orjson.loads(answer.body)["error"]
        code, text = str(error.get("code") or ""), str(error.get("message") or "")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        code, text = "", ""
    known = code.lower() if re.fullmatch(r"0x[0-9a-fA-F]{1,8}", code) and int(code, 16) else ""
    return Fault(answer.status, known, text, request_id(answer.headers))


def request_id(headers: Mapping[str, str]) -> str | None:
    """The service's id of a request; the header comes twice, which reads as a list."""
    ids = headers.get("x-ms-service-request-id") or headers.get("REQ_ID") or ""
    return ids.split(",")[0].strip()[:64] or None


def classify(fault: Fault) -> FaultClass:
    """What a refusal means. The status decides only where the code says nothing."""
    if fault.code == SQL_ERROR and _REPEATABLE_SQL.search(fault.text):
        return ROLLED_BACK
    if unknown_name(fault) is not None:
        return ACCOUNT  # the schema is not what the mapping was written for: no row is to blame
    if fault.code in CODES:
        return CODES[fault.code][0]
    if fault.status in (401, 403):
        return ACCOUNT
    if fault.status == 413:
        return ROW
    return TRANSIENT if fault.status in (408, 429) or fault.status >= 500 else UNCLASSIFIED


def is_outage(fault: Fault, part: bool = False) -> bool:
    """Whether a refusal for now says that the service fails, rather than that it failed with this one request.

    Dataverse answers what it did not expect with a 500 and words of its own; a gateway has other statuses or no words.

    Args:
        part: it came for one part of a batch, so whatever its words, somebody was there to answer.
    """
    known = CODES.get(fault.code, (UNCLASSIFIED, ""))[0] is TRANSIENT
    wordless = not (fault.code or fault.text)
    return known or fault.status in OUTAGE_STATUSES or (wordless and not part)


def keeps_out(fault: Fault) -> bool:
    """Whether a refusal for which a person must act says that we are not let in, rather than what is wrong inside."""
    return fault.code in ACCESS_CODES or (fault.status in (401, 403) and fault.code not in CODES)


def is_not_offered(fault: Fault) -> bool:
    """Whether a bulk message does not exist for this table."""
    no_such_resource = fault.status == 404 and fault.code in ("", "0x80060888")
    return no_such_resource or fault.status in (405, 501) or _NOT_OFFERED.search(fault.text) is not None


def unknown_name(fault: Fault) -> str | None:
    """The column a request named that the table does not have, if that is why it was refused."""
    found = _UNKNOWN_NAME.search(fault.text) if fault.code in _SCHEMA_CODES else None
    return found[1] if found else None


def column_of(fault: Fault, values: Mapping[str, object]) -> str | None:
    """The column a refusal speaks of, of those that were sent."""
    named = [name for found in _COLUMN.finditer(fault.text) for name in found.groups() if name]
    column = next((name for name in [*named, *_IDENTIFIER.findall(fault.text)] if name in values), None)
    literal = _LITERAL.search(fault.text)
    if column is not None or literal is None:
        return column
    holders = [name for name, value in values.items() if str(value) == literal[1]]
    return holders[0] if len(holders) == 1 else None


def safe_message(fault: Fault) -> str:
    """A sentence on a refusal with nothing of a row or a person in it."""
    missing = _PRIVILEGE.search(fault.text)
    if fault.code == "0x80040220" and missing:
        return f"the application user lacks {missing[0]}: add it to a security role of the user"
    unknown = unknown_name(fault)
    if unknown is not None:
        return f"column '{unknown}' does not exist in this organisation: correct the mapping"
    _, sentence = CODES.get(fault.code, (None, "the organisation refused it for a reason nobody has classified"))
    limit = _MAX_LENGTH.search(fault.text)
    return f"{sentence} ({limit[1]} characters)" if limit else sentence
