"""Sends several operations in one request: the multipart form of `$batch`, written and read.

Every part is an operation of its own; change sets are not used. Answers come in the order of the parts and may be fewer
than these: then the rest was not answered, and whether it was carried out is for the caller to judge.

What is asked for travels in a batch's body rather than in an address, so that nobody logs it on the way.

Source: Microsoft Learn, "Execute batch operations using the Web API".
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from requests.structures import CaseInsensitiveDict

from dynamics.dataverse.session import Answer
from dynamics.dataverse.transport import Call, Transport
from dynamics.errors import ContractError

MAX_PARTS = 1000
MAX_PART_URL = 65_536
CONTINUE_ON_ERROR = "odata.continue-on-error"

T = TypeVar("T")

_BOUNDARY = re.compile(r"""multipart/mixed\s*;.*?\bboundary="?([^";\s]+)""", re.IGNORECASE)
_STATUS_LINE = re.compile(rb"HTTP/\d\.\d (\d{3})\b")


@dataclass(frozen=True)
class Part:
    """One operation. `url` is a path from the host's root, percent-encoded."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def read_batch(
    transport: Transport, operation: str, subject: str, parts: Sequence[Part], *, judged: bool = True
) -> list[Answer]:
    """Carry out reads; an answer for each part, in order, refusals included.

    Args:
        judged: a part that is refused to whoever asks ends it all, as it would alone.
    Raises:
        AccountError, TransientError: as `Transport.send`, for the batch and, if `judged`, for any part of it.
        ContractError: parts were left out.
    """
    call, outer = _send(transport, operation, subject, parts, writes=False)
    answers = parse_batch(outer)
    for answer in answers if judged else ():
        transport.judge(call, answer, part=True)
    if len(answers) != len(parts):
        raise ContractError(operation, subject, detail="a batch was not answered in full", status=outer.status)
    return answers


def write_batch(
    transport: Transport, operation: str, subject: str, parts: Sequence[Part]
) -> tuple[Answer, list[Answer]]:
    """Carry out writes; the batch's own answer, and those of its parts in order, of which the last may be missing.

    Raises: as `Transport.send`, for the batch as a whole.
    """
    _, outer = _send(transport, operation, subject, parts, writes=True)
    return outer, parse_batch(outer)


def _send(
    transport: Transport, operation: str, subject: str, parts: Sequence[Part], *, writes: bool
) -> tuple[Call, Answer]:
    content_type, body = build_batch(parts)
    headers = {"Content-Type": content_type, "Prefer": CONTINUE_ON_ERROR}
    call = Call(operation, subject, "POST", "$batch", headers, body, writes)
    return call, transport.send(call)


def build_batch(parts: Sequence[Part]) -> tuple[str, bytes]:
    """The content type and the body of a batch."""
    boundary = f"batch_{uuid.uuid4().hex}"
    pieces: list[bytes] = []
    for part in parts:
        headers = "".join(f"{name}: {value}\r\n" for name, value in part.headers.items())
        head = (
            f"--{boundary}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
            f"{part.method} {part.url} HTTP/1.1\r\n{headers}\r\n"
        )
        pieces += (head.encode("ascii"), part.body, b"\r\n")
    pieces.append(f"--{boundary}--\r\n".encode("ascii"))
    return f'multipart/mixed; boundary="{boundary}"', b"".join(pieces)


def parse_batch(answer: Answer) -> list[Answer]:
    """The answers in a batch's answer, in order; those cut off before their end are left out."""
    found = _BOUNDARY.match(answer.headers.get("Content-Type", ""))
    if found is None:
        return []
    delimiter = b"\r\n--" + found[1].encode("latin-1")
    sections = (b"\r\n" + answer.body).split(delimiter)
    # The first holds what stands before the parts; the last what stands behind: the closing "--" if all is there.
    parsed = [_parse_part(section, answer.sent_as) for section in sections[1:-1]]
    return [part for part in parsed if part is not None]


def _parse_part(section: bytes, sent_as: str) -> Answer | None:
    _, _, message = section.partition(b"\r\n\r\n")
    head, _, body = message.partition(b"\r\n\r\n")
    status_line, *lines = head.split(b"\r\n")
    status = _STATUS_LINE.match(status_line.lstrip())
    if status is None:
        return None
    pairs = (line.decode("latin-1").partition(":") for line in lines)
    headers = CaseInsensitiveDict({name.strip(): value.strip() for name, _, value in pairs})
    return Answer(int(status[1]), headers, body.strip(b"\r\n"), sent_as)


def slices(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Consecutive pieces of at most `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))
