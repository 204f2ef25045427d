"""Reads and writes the multipart form of `$batch`: strict on the way in, as documented on the way out.

Knows nothing of what the parts ask for; `batch` carries them out. Bytes are split, not parsed by the e-mail
package: a batch of a thousand parts must not cost more than the work in it.

Source: learn.microsoft.com, "Execute batch operations using the Web API"; RFC 2046, part 5.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http.client import responses as REASONS

CRLF = b"\r\n"
MAX_OPERATIONS = 1000
_BOUNDARY = re.compile(r"""multipart/mixed\s*;(?:.*;)?\s*boundary=(?:"([^"]+)"|([^;\s"]+))""", re.IGNORECASE)
# Blanks in the URL are let through: the first and the last one part the line, and the SDK leaves some in.
_REQUEST_LINE = re.compile(rb"([A-Z]+) (\S(?:.*\S)?) HTTP/1\.[01]")


class MalformedBatchError(Exception):
    """The batch cannot be read; nothing of it is carried out."""


@dataclass(frozen=True)
class Part:
    """One request inside a batch; header names in lower case, the target still encoded."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    content_id: str | None


@dataclass(frozen=True)
class ChangeSet:
    """Requests that succeed or fail as one."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Answer:
    """The response to one part."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes
    content_id: str | None = None


def parse(content_type: str, body: bytes) -> list[Part | ChangeSet]:
    """Read the items of a batch in their order.

    Raises:
        MalformedBatchError: whatever the service would refuse before it runs anything.
    """
    items = [_item(raw) for raw in _split(body, _boundary(content_type))]
    operations = sum(len(item.parts) if isinstance(item, ChangeSet) else 1 for item in items)
    if operations > MAX_OPERATIONS:
        raise MalformedBatchError(
            "The current batch message contains too many parts. Only batch messages with a maximum number of "
            f"'{MAX_OPERATIONS}' query operations and changesets are allowed."
        )
    return items


def _boundary(content_type: str) -> bytes:
    found = _BOUNDARY.match(content_type.strip())
    if found is None:
        raise MalformedBatchError(
            f"The content type '{content_type}' is not valid here: a batch is 'multipart/mixed' with a boundary."
        )
    return (found[1] or found[2]).encode()


def _split(body: bytes, boundary: bytes) -> list[bytes]:
    """The raw parts between delimiter lines, each with the line end before the next delimiter still on."""
    delimiter = CRLF + b"--" + boundary
    pieces = (CRLF + body).split(delimiter)
    parts: list[bytes] = []
    for index, piece in enumerate(pieces[1:], start=1):
        if piece.startswith(b"--") and piece[2:4] in (b"", CRLF):
            if index != len(pieces) - 1:
                raise MalformedBatchError("The batch goes on after its last boundary.")
            # The documentation asks for a line end after the last boundary too.
            if piece[2:4] != CRLF:
                raise MalformedBatchError("The last boundary of the batch must be followed by CRLF.")
            if not parts:
                raise MalformedBatchError("The batch holds no operation.")
            return parts
        if piece.startswith(CRLF):
            parts.append(piece[2:] + CRLF)
        elif parts:
            parts[-1] += delimiter[2:] + piece + CRLF  # a longer boundary that begins like this one
        else:
            break
    raise MalformedBatchError(
        f"The boundary '{boundary.decode(errors='replace')}' does not frame the batch: each delimiter stands on its "
        "own line, lines end with CRLF, and the last one ends with two hyphens."
    )


def _item(raw: bytes) -> Part | ChangeSet:
    headers, content = _headers(raw)
    content_type = headers.get("content-type", "")
    if content_type.lower().startswith("multipart/mixed"):
        parts = tuple(_change(inner) for inner in _split(content, _boundary(content_type)))
        return ChangeSet(parts)
    return _part(headers, content)


def _change(raw: bytes) -> Part:
    headers, content = _headers(raw)
    if headers.get("content-type", "").lower().startswith("multipart/"):
        raise MalformedBatchError("A change set cannot hold another change set or batch.")
    part = _part(headers, content)
    if part.content_id is None:
        raise MalformedBatchError("Content-ID Header is missing for a request inside a ChangeSet.")
    if part.method == "GET":
        raise MalformedBatchError("A GET request is not allowed inside a ChangeSet.")
    return part


def _part(headers: dict[str, str], content: bytes) -> Part:
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/http":
        raise MalformedBatchError("Each operation of a batch has the content type 'application/http'.")
    line, found, rest = content.partition(CRLF)
    request_line = _REQUEST_LINE.fullmatch(line)
    if not found or request_line is None:
        raise MalformedBatchError(f"'{line[:80].decode(errors='replace')}' is not a valid request line.")
    inner, body = _headers(rest)
    body = body.removesuffix(CRLF)
    length = inner.get("content-length", "")
    if length.isdecimal():
        body = body[: int(length)]
    # UTF-8, since an unescaped name in a filter comes as it is.
    target = request_line[2].decode(errors="replace")
    return Part(request_line[1].decode(), target, inner, body, headers.get("content-id"))


def _headers(raw: bytes) -> tuple[dict[str, str], bytes]:
    """Header lines up to the blank one, and what follows it."""
    if raw.startswith(CRLF):
        return {}, raw[2:]
    block, blank, content = raw.partition(CRLF + CRLF)
    if not blank:
        raise MalformedBatchError("A blank line (CRLF) must follow the headers of each part and of its request.")
    headers: dict[str, str] = {}
    for line in block.split(CRLF):
        name, colon, value = line.partition(b":")
        if not colon or b"\n" in line:
            raise MalformedBatchError(f"'{line[:80].decode(errors='replace')}' is not a valid header line.")
        headers[name.strip().decode("latin-1").lower()] = value.strip().decode("latin-1")
    return headers, content


def render(items: Iterable[Answer | Sequence[Answer]], boundary: str, change_set_boundaries: Iterable[str]) -> bytes:
    """Write the answers of a batch; a sequence among them is a change set that succeeded."""
    names = iter(change_set_boundaries)
    lines: list[bytes] = []
    for item in items:
        lines.append(f"--{boundary}\r\n".encode())
        if isinstance(item, Answer):
            lines.append(_rendered(item))
            continue
        inner = next(names)
        lines.append(f"Content-Type: multipart/mixed; boundary={inner}\r\n\r\n".encode())
        for answer in item:
            lines.extend((f"--{inner}\r\n".encode(), _rendered(answer)))
        lines.append(f"--{inner}--\r\n".encode())
    lines.append(f"--{boundary}--\r\n".encode())
    return b"".join(lines)


def _rendered(answer: Answer) -> bytes:
    content_id = "" if answer.content_id is None else f"Content-ID: {answer.content_id}\r\n"
    headers = "".join(f"{name}: {value}\r\n" for name, value in answer.headers)
    reason = REASONS.get(answer.status, "Unknown")
    head = (
        f"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n{content_id}\r\n"
        f"HTTP/1.1 {answer.status} {reason}\r\n{headers}\r\n"
    )
    return head.encode() + answer.body + CRLF
