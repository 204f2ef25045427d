"""What refusals mean, and that nothing of a row is in what is told of them."""

from __future__ import annotations

import orjson
import pytest

from dynamics.dataverse.faults import (
    ACCESS_CODES,
    CODES,
    FEWER_CODES,
    RULE_CODES,
    Fault,
    FaultClass,
    classify,
    column_of,
    keeps_out,
    read_fault,
    safe_message,
)
from dynamics.dataverse.session import Answer


def fault(code: str, text: str = "", status: int = 400) -> Fault:
    return Fault(status, code, text, None)


UNDECLARED = (
    "Error identified in Payload provided by the user for Entity :'leads', ... ---->  InnerException : "
    "Microsoft.OData.ODataException: An undeclared property 'new_gone' which only has property annotations in the "
    "payload but no property value was found in the payload."
)
SQL = "A SQL error occurred. Sql Number: {}, transaction was rolled back."


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (fault("0x80044331"), FaultClass.ROW),
        (fault("0x80040265", "no"), FaultClass.ROW),
        (fault("0x80040333", status=412), FaultClass.ROW),
        (fault("0x80060892", status=412), FaultClass.ROW),
        (fault("0x80040237", status=412), FaultClass.EXISTS),
        (fault("0x80060882", status=412), FaultClass.STALE),
        (fault("0x80040217", status=404), FaultClass.GONE),
        (fault("0x80040220", status=403), FaultClass.ACCOUNT),
        (fault("0x80072560", status=403), FaultClass.ACCOUNT),
        (fault("", status=403), FaultClass.ACCOUNT),
        (fault("", status=401), FaultClass.ACCOUNT),
        (fault("0x80048d19", UNDECLARED), FaultClass.ACCOUNT),
        (fault("0x80048d19", "Cannot convert the literal 'x' to the expected type 'Edm.Int32'."), FaultClass.ROW),
        (fault("0x80060888", "Could not find a property named 'x' on type 'y'."), FaultClass.ACCOUNT),
        (fault("0x80040265", "Could not find a property named 'x'"), FaultClass.ROW),
        (fault("0x80044150", SQL.format(1205), 500), FaultClass.ROLLED_BACK),
        (fault("0x80044150", SQL.format(2812), 500), FaultClass.ROLLED_BACK),
        (fault("0x80044150", SQL.format(12051), 500), FaultClass.TRANSIENT),
        (fault("0x80044150", status=500), FaultClass.TRANSIENT),
        (fault("0x80044339", status=500), FaultClass.ROLLED_BACK),
        (fault("0x80072322", status=429), FaultClass.TRANSIENT),
        (fault("", status=502), FaultClass.TRANSIENT),
        (fault("0x80049999", status=500), FaultClass.TRANSIENT),
        (fault("0x80040224", status=500), FaultClass.UNCLASSIFIED),
        (fault("0x80049999"), FaultClass.UNCLASSIFIED),
        (fault(""), FaultClass.UNCLASSIFIED),
        (fault("", status=413), FaultClass.ROW),
    ],
)
def test_a_refusal_has_one_class(refusal: Fault, expected: FaultClass) -> None:
    assert classify(refusal) is expected


@pytest.mark.parametrize(
    ("refusal", "out"),
    [
        (fault("0x80072560", status=403), True),
        (fault("0x80040225", status=403), True),
        (fault("0x80040220", status=403), True),
        (fault("0x8004f507", status=403), True),
        (fault("", status=403), True),
        (fault("0x80049999", status=401), True),
        (fault("0x80041a01"), False),
        (fault("0x80041103"), False),
        (fault("0x80048d19", UNDECLARED), False),
    ],
)
def test_being_kept_out_is_told_from_what_is_wrong_inside(refusal: Fault, out: bool) -> None:
    assert classify(refusal) is FaultClass.ACCOUNT
    assert keeps_out(refusal) is out


def test_every_code_that_is_named_elsewhere_has_a_class() -> None:
    assert CODES.keys() >= ACCESS_CODES | RULE_CODES | FEWER_CODES
    assert {CODES[code][0] for code in ACCESS_CODES} == {FaultClass.ACCOUNT}
    assert {CODES[code][0] for code in FEWER_CODES} == {FaultClass.TRANSIENT}
    assert {CODES[code][0] for code in RULE_CODES} == {FaultClass.ROW, FaultClass.TARGET, FaultClass.UNCLASSIFIED}


@pytest.mark.parametrize("code", ["0x80049999", "0x80040224", ""])
@pytest.mark.parametrize("status", [400, 404, 405, 409, 412, 422])
def test_what_nobody_has_classified_is_never_held_against_a_row(code: str, status: int) -> None:
    assert classify(fault(code, status=status)) is FaultClass.UNCLASSIFIED


@pytest.mark.parametrize(
    ("text", "column"),
    [
        (
            "The length of the 'subject' attribute of the 'lead' entity exceeded the maximum allowed length of '300'.",
            "subject",
        ),
        (
            "The value 99 of 'rating' on record of type 'lead' is outside the valid range. Accepted Values: 1,2",
            "rating",
        ),
        ("The value of 'x of 'rating' on record of type 'lead' is outside the valid range.", "rating"),
        ("Required field 'subject' of entity 'lead' is missing or null.", "subject"),
        ("Invalid character in field 'subject' of entity 'lead': ''", "subject"),
        ('Something about "rating" that nobody has seen yet', "rating"),
        ("Cannot convert the literal 'seven' to the expected type 'Edm.Int32'.", "rating"),
        ("Cannot convert the literal 'eight' to the expected type 'Edm.Int32'.", None),
        ("The length of the 'lastname' attribute", None),
        ("", None),
    ],
)
def test_the_column_is_found_among_those_sent(text: str, column: str | None) -> None:
    assert column_of(fault("0x80040203", text), {"subject": "s", "rating": "seven"}) == column


def test_messages_are_our_words_with_limits_but_without_values() -> None:
    long = "The length of the 'subject' attribute of the 'lead' entity exceeded the maximum allowed length of '300'."
    assert safe_message(fault("0x80044331", long)) == "the text is longer than the column allows (300 characters)"
    literal = fault("0x80048d19", "Cannot convert the literal 'canary' to the expected type")
    assert "canary" not in safe_message(literal)
    assert "canary" not in safe_message(fault("0x80049999", "canary"))


def test_missing_privileges_and_columns_are_named() -> None:
    text = "Principal user (Id=5f0b, type=8) is missing prvCreateLead privilege (Id=1) on OTC=4 for entity 'lead'."
    assert "prvCreateLead" in safe_message(fault("0x80040220", text, 403))
    assert "new_gone" in safe_message(fault("0x80048d19", UNDECLARED))


def test_a_plugins_words_are_not_passed_on() -> None:
    """They may name anybody: the sender, or the one whose record it has found."""
    assert safe_message(fault("0x80040265", "Qzcanary Ruiz says so already")) == (
        "a plug-in of the organisation refused the record: see its plug-in trace log for the reason"
    )


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>502</html>", b"[]", b'{"error":"x"}', b'{"error":null}', b'{"error":{"code":"<b>","message":1}}'],
)
def test_a_body_that_is_no_dataverse_error_has_no_code(body: bytes) -> None:
    assert read_fault(Answer(502, {}, body)).code == ""


def test_a_fault_shows_no_text_and_reads_the_first_request_id() -> None:
    body = orjson.dumps({"error": {"code": "0x8004431A", "message": "canary"}})
    found = read_fault(Answer(400, {"x-ms-service-request-id": "a-1, b-2"}, body))
    assert (found.code, found.request_id) == ("0x8004431a", "a-1")
    assert "canary" not in repr(found)
