"""Every refusal an organisation can utter: HTTP status, Dataverse error code, and the text on the wire.

The texts carry what the caller sent, as Dataverse's do; nothing here is ever logged.
Source: Microsoft Learn, "Web service error codes" and "Compose HTTP requests and handle errors"; texts of the OData
library as they appear on the wire.
"""

from __future__ import annotations

from collections.abc import Iterable


class Refusal(Exception):
    """A request Dataverse answers with an error; the request's writes are undone."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def bad_request(message: str, code: str = "0x80060888") -> Refusal:
    """A URL, header or option that cannot be understood."""
    return Refusal(400, code, message)


def bad_payload(entity_set: str, inner: str) -> Refusal:
    """A body that cannot be bound to the table's properties."""
    link = "https://go.microsoft.com/fwlink/?linkid=2195293"
    return Refusal(
        400,
        "0x80048d19",
        f"Error identified in Payload provided by the user for Entity :'{entity_set}', For more information on this "
        f"error please follow this help link {link}  ---->  InnerException : Microsoft.OData.ODataException: {inner}",
    )


def undeclared(entity_set: str, table: str, name: str) -> Refusal:
    """A property in a body that the table does not have."""
    return bad_payload(
        entity_set,
        f"The property '{name}' does not exist on type 'Microsoft.Dynamics.CRM.{table}'. "
        "Make sure to only use property names that are defined by the type.",
    )


def undeclared_annotated(entity_set: str, name: str) -> Refusal:
    """An `@odata.bind` on a navigation property that the table does not have."""
    return bad_payload(
        entity_set,
        f"An undeclared property '{name}' which only has property annotations in the payload but no property value "
        "was found in the payload. In OData, only declared navigation properties and declared named streams can be "
        "represented as properties without values.",
    )


def wrong_literal(entity_set: str, value: object, edm: str) -> Refusal:
    """A value of another type than the property's."""
    return bad_payload(entity_set, f"Cannot convert the literal '{value}' to the expected type '{edm}'.")


def no_property(name: str, table: str) -> Refusal:
    """A name in a query option that cannot be selected, filtered or ordered by."""
    return bad_request(f"Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{table}'.")


def no_segment(segment: str) -> Refusal:
    """A path segment that names nothing."""
    return Refusal(404, "0x8006088a", f"Resource not found for the segment '{segment}'.")


def no_such_row(table: str, row_id: str) -> Refusal:
    """A row id that is not there."""
    return Refusal(404, "0x80040217", f"{table} With Id = {row_id} Does Not Exist")


def no_such_rows(schema_name: str, row_id: str) -> Refusal:
    """A row id that is not there, in the words of UpdateMultiple."""
    return Refusal(404, "0x80040217", f"{schema_name} With Ids = {row_id} Do Not Exist")


def no_row_by_key(table: str) -> Refusal:
    """An alternate key value nobody has."""
    return Refusal(404, "0x80060891", f"A record with the specified key values does not exist in {table} entity")


def bad_key(table: str) -> Refusal:
    """Columns in a key address that are not an active alternate key."""
    kind = f"Microsoft.Dynamics.CRM.{table}"
    return bad_request(
        f"The key in the request URI is not valid for resource '{kind}'. Ensure that the names and number of key "
        f"properties match the declared or alternate key properties for the resource '{kind}'."
    )


def duplicate_id() -> Refusal:
    """A primary key that is already used."""
    return Refusal(412, "0x80040237", "A record with matching key values already exists.")


def duplicate_key(name: str, columns: Iterable[str], row_id: str) -> Refusal:
    """An alternate key value that is already used."""
    columns = list(columns)
    pieces = "".join(f"<{column} />" for column in columns)
    return Refusal(
        412,
        "0x80060892",
        f"Entity Key {name} violated. A record with the same value for {', '.join(columns)} already exists. "
        "A duplicate record cannot be created. Select one or more unique values and try again. "
        f"<MatchingEntity><DuplicateAttributes>{pieces}</DuplicateAttributes><Id>{row_id}</Id></MatchingEntity>",
    )


def stale_version() -> Refusal:
    """An `If-Match` etag of an older row version."""
    return Refusal(
        412,
        "0x80060882",
        "The version of the existing record doesn't match the RowVersion property provided.",
    )


def too_long(column: str, table: str, limit: int) -> Refusal:
    """Text over the column's length in UTF-16 units."""
    return Refusal(
        400,
        "0x80044331",
        f"A validation error occurred.  The length of the '{column}' attribute of the '{table}' entity exceeded the "
        f"maximum allowed length of '{limit}'.",
    )


def control_character(column: str, table: str, character: str) -> Refusal:
    """Text with a character XML cannot carry."""
    return Refusal(
        400,
        "0x80040278",
        f"Invalid character in field '{column}' of entity '{table}': '', hexadecimal value 0x{ord(character):02X}, "
        "is an invalid character.",
    )


def not_an_option(value: object, column: str, table: str, accepted: Iterable[int]) -> Refusal:
    """A choice value that is not in the column's list."""
    values = ",".join(str(option) for option in accepted)
    return Refusal(
        400,
        "0x8004431a",
        f"A validation error occurred. The value {value} of '{column}' on record of type '{table}' is outside the "
        f"valid range. Accepted Values: {values}",
    )


def out_of_range(column: str, table: str, low: float, high: float, *, whole: bool) -> Refusal:
    """A number beyond the column's limits."""
    return Refusal(
        400,
        "0x8004432f" if whole else "0x80044330",
        f"A validation error occurred. The value of '{column}' on record of type '{table}' is outside the valid "
        f"range. The valid range is from {low} to {high}.",
    )


def bad_state(status: int, state: str, table: str) -> Refusal:
    """A status reason that does not belong to the state."""
    return Refusal(400, "0x80048408", f"{status} is not a valid status code for state code {state} on {table}")


def required_missing(column: str, table: str) -> Refusal:
    """A SystemRequired column without a value."""
    return Refusal(400, "0x80040200", f"Required field '{column}' of entity '{table}' is missing or null.")


def missing_privilege(user_id: object, privilege: str, privilege_id: str, code: int, table: str) -> Refusal:
    """A caller whose roles lack a privilege."""
    return Refusal(
        403,
        "0x80040220",
        f"Principal user (Id={user_id}, type=8, roleCount=1, privilegeCount=0, accessMode=4) is missing {privilege} "
        f"privilege (Id={privilege_id}) on OTC={code} for entity '{table}'.",
    )


def deadlock() -> Refusal:
    """The SQL server chose this write as the victim of a deadlock."""
    return Refusal(
        500,
        "0x80044150",
        "Generic SQL error. Sql ErrorCode: -2146232060 Sql Number: 1205 Transaction was deadlocked on lock resources "
        "with another process and has been chosen as the deadlock victim. Rerun the transaction.",
    )
