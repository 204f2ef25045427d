"""Steps that end a transform, because the target column or the CRM has a say in them: what they are called and do.

What they need stands elsewhere: lengths and labels in the metadata (`applying`, `choices`), records in `core.lookup`.
"""

from __future__ import annotations

from dataclasses import dataclass

TRUNCATE, CHOICE, CHOICES, LOOKUP = "truncate", "choice", "choices", "lookup"


@dataclass(frozen=True)
class Ending:
    """One entry, as a `registry.Transform`."""

    name: str
    usage: str
    doc: str


ENDINGS = {
    ending.name: ending
    for ending in (
        Ending(
            TRUNCATE,
            "truncate",
            "Cuts a text to the column's length, never inside a character, with a warning on the outcome. Lengths are "
            "counted as Dynamics counts them: most emoji are two.",
        ),
        Ending(
            CHOICE,
            "choice",
            "The option of a choice, state, status or yes/no column, by its label in any of the organisation's "
            "languages or by its number. Case and blanks do not count. A label that several options have does not fit.",
        ),
        Ending(
            CHOICES,
            "choices",
            "The options of a multi-choice column: a list, or a text with semicolons, line ends or commas in it, each "
            "read as `choice` reads it.",
        ),
        Ending(
            LOOKUP,
            "lookup(campaign.codename, defer)",
            "The active record of a table whose column says this, for lookup, customer and owner columns. Where there "
            "is none, or several, the second word says what to do: `reject` the prospect (also without a word), leave "
            "the column `blank` with a warning, or `defer` the prospect to a later run.",
        ),
    )
}
