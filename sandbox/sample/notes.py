"""Free text as staff type it and devices transcribe it: short, very long, with HTML, emoji and quotes."""

from __future__ import annotations

from random import Random
from typing import Any

Json = dict[str, Any]

_TYPED = [
    "Wants a site visit in May.",
    'Said "call me, don\'t mail me" – twice.',
    "<p>Met at the <b>demo island</b> &amp; liked it.</p><script>alert(1)</script>",
    "Super interested 🚀🔥👩‍🔧 → send quote",
    "Line one\r\nLine two\r\n\r\n- 3 x DN50\t- 2 x DN80",
    "ميزانية جيدة، يريد عرض سعر",
    "来月の見積もりを希望。",
    'O\'Brien recommended us; budget ~£25k; decision "soon"',
    "=1+1",
]
_TRANSCRIBED = "So we talked about the pump line and, uh, the seals they use today, and what a change would cost them. "
_LONG_CHANCE = 0.06


def taken(rng: Random, captured_at: str, submission_id: str, author: Json | None) -> list[Json]:
    """One or two notes of one capture. Some run past 2,000 UTF-16 units, which is what a CRM description holds."""
    return [
        {
            "id": f"not_{submission_id[4:]}{number}",
            "text": text,
            "author": author,
            "created_at": captured_at,
            "kind": kind,
            "submission_id": submission_id,
        }
        for number, (kind, text) in enumerate(_drawn(rng) for _ in range(rng.choice((1, 1, 2))))
    ]


def _drawn(rng: Random) -> tuple[str, str]:
    if rng.random() < _LONG_CHANCE:
        # An emoji counts two units: cutting must not split it, wherever the cut falls.
        return "transcribed_audio", _TRANSCRIBED * rng.randint(22, 30) + "👍🏽" * rng.randint(1, 400)
    if rng.random() < 0.2:
        return "transcribed_audio", _TRANSCRIBED.strip()
    return "typed", rng.choice(_TYPED)
