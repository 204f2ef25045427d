"""Decides what a prospect's many answers, notes, consents and captures say as one value.

Leaves the names they go by to `paths`. Source: prospect schema of the Capture Source API v1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Payload = Mapping[str, Any]
Captures = Sequence[Payload]  # a prospect's complete submissions, newest first


def all_answers(_: Payload, captures: Captures) -> object:
    """One line a question, with its answer behind it; of a question asked again the newest answer."""
    lines: dict[str, str] = {}
    for answer in _answers(captures):
        said = _answer_value(answer)
        if said is not None:
            lines.setdefault(str(answer.get("question")), _as_text(said))
    return "\n".join(_said(question.strip(), text) for question, text in lines.items())


def all_notes(payload: Payload, _: Captures) -> object:
    """The notes' texts in the order in which they were taken, one below the other."""
    return "\n".join(_note_texts(payload))


def latest_note(payload: Payload, _: Captures) -> object:
    return next(reversed(_note_texts(payload)), None)


def _note_texts(payload: Payload) -> list[str]:
    notes = sorted(payload.get("notes") or (), key=lambda note: str(note.get("created_at")))
    return [text for note in notes if (text := str(note.get("text") or "").strip())]


def all_consents(payload: Payload, _: Captures) -> object:
    """One line a purpose, with what was stated last and when."""
    purposes = dict.fromkeys(str(consent.get("purpose")) for consent in payload.get("consents") or ())
    stated = {purpose: last_consent(purpose, payload) for purpose in purposes}
    return "\n".join(f"{name}: {said.get('state')} ({said.get('recorded_at')})" for name, said in stated.items())


def last_consent(purpose: str, payload: Payload) -> Payload:
    """Of several statements about one purpose, the one recorded last holds."""
    stated = [consent for consent in payload.get("consents") or () if consent.get("purpose") == purpose]
    return max(stated, key=lambda consent: str(consent.get("recorded_at")), default={})


def all_transcripts(payload: Payload, _: Captures) -> object:
    """What was said in recordings and stands on scanned papers, one below the other."""
    texts = (str(attachment.get("transcript") or "").strip() for attachment in payload.get("attachments") or ())
    return "\n".join(text for text in texts if text)


def all_events(_: Payload, captures: Captures) -> object:
    """The names of the events where the prospect was captured, the latest first."""
    names = [str(within(capture, ("event", "name")) or "") for capture in captures]
    return [name for name in dict.fromkeys(names) if name]


def within(value: Any, path: tuple[str, ...]) -> object:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def on_an_envelope(address: Payload) -> str:
    """The region stands between city and country."""
    place = " ".join(part for part in (address.get("postal_code"), address.get("city")) if part)
    country = address.get("country") or address.get("country_code")
    lines = (address.get("line1"), address.get("line2"), place, address.get("region"), country)
    return "\n".join(str(line).strip() for line in lines if line)


def newest_answer(key: str, _: Payload, captures: Captures) -> object:
    """The newest answer: a later scan that did not ask again leaves the earlier answer standing."""
    for answer in _answers(captures):
        if key in (answer.get("key"), answer.get("element_id")):
            said = _answer_value(answer)
            if said is not None:
                return said
    return None


def _answers(captures: Captures) -> Iterator[Payload]:
    return (answer for capture in captures for answer in capture.get("answers") or ())


def _answer_value(answer: Payload) -> object:
    labels = answer.get("labels")
    value = labels if labels else untyped(answer.get("value"))
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return None if value == "" or value == [] else value


def untyped(value: Any) -> object:
    """A custom value without its wrapping: a choice's label, an amount of money, else the value."""
    if not isinstance(value, dict):
        return value
    inner = value.get("value")
    if isinstance(inner, dict):
        return inner.get("amount", inner)
    return value.get("label") or inner


def _said(question: str, text: str) -> str:
    return f"{question} {text}" if question.endswith(("?", ":", "？", "：")) else f"{question}: {text}"


def _as_text(value: object) -> str:
    return "; ".join(map(_as_text, value)) if isinstance(value, list) else str(value)
