"""The multipart form of `$batch`, byte for byte where the service is strict."""

from __future__ import annotations

from dynamics.dataverse.batch import Part, build_batch, parse_batch
from dynamics.dataverse.session import Answer

ANSWER = (
    b"--batchresponse_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    b"HTTP/1.1 204 No Content\r\nOData-Version: 4.0\r\n"
    b"OData-EntityId: https://x.test/leads(1)\r\n\r\n\r\n"
    b"--batchresponse_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    b'HTTP/1.1 404 Not Found\r\nREQ_ID: r-2\r\nContent-Type: application/json\r\n\r\n{"error":{}}\r\n'
    b"--batchresponse_1--\r\n"
)


def answer(body: bytes, content_type: str = "multipart/mixed; boundary=batchresponse_1") -> Answer:
    return Answer(200, {"Content-Type": content_type}, body)


def test_a_batch_is_written_with_the_blank_lines_and_line_ends_the_service_wants() -> None:
    parts = [
        Part("GET", "/api/leads?$top=1", {"Accept": "application/json"}),
        Part("PATCH", "/api/leads(1)", {}, b"{}"),
    ]
    content_type, body = build_batch(parts)
    boundary = content_type.partition('boundary="')[2].rstrip('"').encode()
    head = b"--" + boundary + b"\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    assert body == (
        head
        + b"GET /api/leads?$top=1 HTTP/1.1\r\nAccept: application/json\r\n\r\n\r\n"
        + head
        + b"PATCH /api/leads(1) HTTP/1.1\r\n\r\n{}\r\n"
        + b"--"
        + boundary
        + b"--\r\n"
    )


def test_answers_come_back_in_order_with_headers_and_bodies() -> None:
    done, missing = parse_batch(answer(ANSWER))
    assert (done.status, done.headers["odata-entityid"], done.body) == (204, "https://x.test/leads(1)", b"")
    assert (missing.status, missing.headers["req_id"], missing.body) == (404, "r-2", b'{"error":{}}')


def test_a_part_that_was_cut_off_is_no_answer() -> None:
    end = ANSWER.index(b'{"error"')
    assert [part.status for part in parse_batch(answer(ANSWER[:end]))] == [204]


def test_a_quoted_boundary_and_text_before_the_first_part_are_fine() -> None:
    given = answer(b"preamble\r\n" + ANSWER, 'multipart/mixed; charset=utf-8; boundary="batchresponse_1"')
    assert len(parse_batch(given)) == 2


def test_what_is_no_multipart_holds_no_answers() -> None:
    assert parse_batch(answer(b"{}", "application/json")) == []
    assert parse_batch(answer(b"", "multipart/mixed; boundary=batchresponse_1")) == []
