"""The batch format: what is read, what is refused, what is written."""

from __future__ import annotations

import pytest

from sandbox.server.multipart import Answer, ChangeSet, MalformedBatchError, Part, parse, render

TYPE = 'multipart/mixed; boundary="batch_1"'
GET = (
    "--batch_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    "GET /api/data/v9.2/leads?$top=1 HTTP/1.1\r\nAccept: application/json\r\n\r\n"
)
END = "--batch_1--\r\n"


def change(content_id: str | None = "1", request: str = "POST /api/data/v9.2/leads HTTP/1.1") -> str:
    named = "" if content_id is None else f"Content-ID: {content_id}\r\n"
    return (
        f"--batch_12\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n{named}\r\n"
        f'{request}\r\nContent-Type: application/json; type=entry\r\n\r\n{{"lastname":"Ruiz"}}\r\n'
    )


def change_set(*changes: str) -> str:
    return (
        '--batch_1\r\nContent-Type: multipart/mixed; boundary="batch_12"\r\n\r\n'
        + "".join(changes)
        + "--batch_12--\r\n\r\n"
    )


def test_reads_the_documented_form() -> None:
    body = change_set(change("1"), change("2", "PATCH $1 HTTP/1.1")) + GET + END
    first, second = parse(TYPE, body.encode())
    assert isinstance(first, ChangeSet)
    assert [(part.method, part.target, part.content_id, part.body) for part in first.parts] == [
        ("POST", "/api/data/v9.2/leads", "1", b'{"lastname":"Ruiz"}'),
        ("PATCH", "$1", "2", b'{"lastname":"Ruiz"}'),
    ]
    assert second == Part("GET", "/api/data/v9.2/leads?$top=1", {"accept": "application/json"}, b"", None)


def test_a_request_without_headers_needs_only_its_blank_line() -> None:
    body = "--batch_1\r\nContent-Type: application/http\r\n\r\nGET /x HTTP/1.1\r\n\r\n" + END
    (part,) = parse(TYPE, body.encode())
    assert isinstance(part, Part)
    assert part.headers == {}


@pytest.mark.parametrize(
    ("content_type", "body", "said"),
    [
        (TYPE, (GET + END).replace("\r\n", "\n"), "CRLF"),
        (TYPE, GET, "last one ends with two hyphens"),
        (TYPE, END, "no operation"),
        (TYPE, (GET + END).removesuffix("\r\n"), "followed by CRLF"),
        (TYPE, GET + END + GET + END, "goes on after"),
        (TYPE, GET.replace("json\r\n\r\n", "json\r\n") + END, "blank line"),
        (TYPE, GET.replace(" HTTP/1.1", "") + END, "not a valid request line"),
        (TYPE, GET.replace("application/http", "text/plain") + END, "application/http"),
        (TYPE, change_set(change(None)) + END, "Content-ID"),
        (TYPE, change_set(change("1", "GET /x HTTP/1.1")) + END, "GET request is not allowed"),
        ("application/json", "{}", "not valid here"),
        ("multipart/mixed", GET + END, "not valid here"),
        (TYPE, GET * 1001 + END, "'1000'"),
        (TYPE, change_set(*[change()] * 999) + GET + GET + END, "'1000'"),
    ],
)
def test_refuses(content_type: str, body: str, said: str) -> None:
    with pytest.raises(MalformedBatchError, match=said):
        parse(content_type, body.encode())


def test_reads_a_thousand_operations() -> None:
    assert len(parse(TYPE, (GET * 1000 + END).encode())) == 1000


def test_writes_the_documented_form() -> None:
    created = Answer(204, [("OData-Version", "4.0"), ("Location", "https://x/leads(1)")], b"", "1")
    missing = Answer(404, [("Content-Type", "application/json")], b'{"error":{}}')
    assert render([[created], missing], "b", ["c"]).decode() == (
        "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"
        "--c\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: 1\r\n\r\n"
        "HTTP/1.1 204 No Content\r\nOData-Version: 4.0\r\nLocation: https://x/leads(1)\r\n\r\n\r\n"
        "--c--\r\n"
        "--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        'HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n\r\n{"error":{}}\r\n'
        "--b--\r\n"
    )
