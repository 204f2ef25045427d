"""The trade show as the capture system knows it: two events, three forms, six owners, the fields a mapping may use.

Also its clock: which moment of which opening day stands at a given part of the whole show.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

Json = dict[str, Any]

_DAYS, _OPENS_H, _OPEN_MIN = 3, 9, 9 * 60
_NAMES = {"evt_12": ("Flow Expo", "FLOW", "Leeds", "GB"), "evt_13": ("Valve World Days", "VALVE", "Düsseldorf", "DE")}
_OWNERS = {
    "usr_31": ("Sam", "Lee"),
    "usr_32": ("Ines", "Okafor"),
    "usr_33": ("Joan", "O'Neill"),
    "usr_34": ("Björn", "Vogt"),
    "usr_35": ("Priya", "Nair"),
    "usr_36": ("Marek", "Zając"),
}
# key, question, type, options (value -> label)
_QUESTIONS: list[tuple[str, str, str, dict[str, str]]] = [
    ("timeline", "When will you buy?", "single_choice",
     {"q1": "January to March", "q2": "April to June", "later": "Later", "never": "Just looking"}),
    ("products", "Which products interest you?", "multi_choice",
     {"pumps": "Pumps", "seals": "Seals", "valves": "Valves", "service": "Service & repair"}),
    ("comment", "Anything else?", "text", {}),
    ("seats", "How many sites do you run?", "number", {}),
    ("demo", "Shall we show you a demo?", "boolean", {}),
]  # fmt: skip
_COMMENTS = [
    "Call after 4 pm",
    'Prefers e-mail; "no calls!"',
    "Ruft uns an – dringend",
    "見積もり希望",
    "Needs ATEX & SIL-2",
]
_STATIONS = [{"id": "st_1", "name": "Front desk"}, {"id": "st_2", "name": "Demo island"}]


def instant(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, as the capture API writes time."""
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


@dataclass(frozen=True)
class Show:
    """Two events of three days, five weeks apart; the second one was over by `ends`."""

    ends: datetime

    def opening(self, event: int) -> datetime:
        """When the first day of event 0 or 1 opens."""
        last_day = (self.ends - timedelta(minutes=_OPEN_MIN)).replace(minute=0, second=0, microsecond=0)
        last_day -= timedelta(days=last_day.hour < _OPENS_H)
        last_day = last_day.replace(hour=_OPENS_H)
        return last_day - timedelta(days=_DAYS - 1, weeks=5 * (1 - event))

    def moment(self, part: float) -> tuple[datetime, str]:
        """The moment at this part (0 to below 1) of all opening hours, and the event's id."""
        event = int(part * 2)
        day, minute = divmod((part * 2 - event) * _DAYS * _OPEN_MIN, _OPEN_MIN)
        return self.opening(event) + timedelta(days=int(day), minutes=minute), list(_NAMES)[event]

    def events(self) -> list[Json]:
        return [self._event(number, key) for number, key in enumerate(_NAMES)]

    def _event(self, number: int, key: str) -> Json:
        opens = self.opening(number)
        name, code, city, country = _NAMES[key]
        return {
            "id": key,
            "name": f"{name} {opens.year}",
            "code": f"{code}{opens:%y}",
            "starts_at": instant(opens),
            "ends_at": instant(opens + timedelta(days=_DAYS - 1, minutes=_OPEN_MIN)),
            "time_zone": "Europe/London" if country == "GB" else "Europe/Berlin",
            "city": city,
            "country_code": country,
            "custom_properties": {"campaign_code": f"{code}{opens:%y}"},
        }


def event_ref(show: Show, key: str) -> Json:
    """An event as a submission names it."""
    name, code, _, _ = _NAMES[key]
    year = show.opening(list(_NAMES).index(key))
    return {"id": key, "name": f"{name} {year.year}", "code": f"{code}{year:%y}"}


def user_ref(key: str) -> Json:
    first, last = _OWNERS[key]
    address = f"{first}.{last}".lower().replace("'", "").replace("ö", "o").replace("ą", "a")
    return {"id": key, "email": f"{address}@vendor.example", "name": f"{first} {last}"}


def users() -> list[Json]:
    return [{**user_ref(key), "active": True, "roles": ["owner", "capture"]} for key in _OWNERS]


FORMS = (
    {"id": "frm_88", "name": "Booth form", "event_id": "evt_12", "questions": 5},
    {"id": "frm_89", "name": "Demo request", "event_id": "evt_13", "questions": 5},
    {"id": "frm_90", "name": "Rapid scan", "event_id": "evt_13", "questions": 1},
)


def forms() -> list[Json]:
    return [
        {"id": f["id"], "name": f["name"], "event_id": f["event_id"], "elements": _elements(_asked(f))} for f in FORMS
    ]


def form_ref(rng: Random, event: str) -> Json:
    form = rng.choice([f for f in FORMS if f["event_id"] == event])
    return {"id": form["id"], "name": form["name"]}


def owner_ref(rng: Random) -> Json:
    return user_ref(rng.choice(list(_OWNERS)))


def station_ref(rng: Random) -> Json:
    return dict(rng.choice(_STATIONS))


def answers(rng: Random, form_id: str) -> list[Json]:
    """What somebody answered on a form: any question may have been left out."""
    form = next(f for f in FORMS if f["id"] == form_id)
    return [
        {"element_id": f"el_{number}", "key": key, "question": question, "type": kind, **_answer(rng, kind, options)}
        for number, (key, question, kind, options) in enumerate(_asked(form), start=1)
        if rng.random() < 0.7
    ]


def _asked(form: Json) -> list[tuple[str, str, str, dict[str, str]]]:
    return _QUESTIONS[: int(form["questions"])]


def _answer(rng: Random, kind: str, options: dict[str, str]) -> Json:
    if kind == "single_choice":
        value = rng.choice(list(options))
        return {"value": value, "labels": [options[value]]}
    if kind == "multi_choice":
        chosen = rng.sample(list(options), rng.randint(1, len(options)))
        return {"value": chosen, "labels": [options[value] for value in chosen]}
    if kind == "number":
        return {"value": rng.choice((0, 1, 3, 12))}
    return {"value": rng.random() < 0.5 if kind == "boolean" else rng.choice(_COMMENTS)}


def _elements(asked: list[tuple[str, str, str, dict[str, str]]]) -> list[Json]:
    return [
        {
            "id": f"el_{number}",
            "key": key,
            "title": question,
            "type": kind,
            "required": False,
            "maps_to": None,
            "options": [{"value": value, "label": label} for value, label in options.items()],
        }
        for number, (key, question, kind, options) in enumerate(asked, start=1)
    ]


# path, label, type, longest text, sensitive
_FIELDS: list[tuple[str, str, str, int | None, bool]] = [
    ("first_name", "First name", "string", 100, True),
    ("last_name", "Last name", "string", 100, True),
    ("email", "E-mail", "email", 254, True),
    ("phones.work", "Work phone", "phone", 60, True),
    ("phones.mobile", "Mobile phone", "phone", 60, True),
    ("job_title", "Job title", "string", 200, False),
    ("company.name", "Company", "string", 200, False),
    ("address.city", "City", "string", None, False),
    ("address.country", "Country", "string", None, False),
    ("notes.all", "Notes", "text", None, True),
    ("answers.all", "Questions and answers", "text", None, True),
]
_CUSTOM: list[tuple[str, str, str, bool]] = [
    ("budget", "Budget", "money", False),
    ("interests", "Interests", "options", True),
    ("visited_before", "Visited us before", "boolean", False),
    ("badge_number", "Badge number", "string", False),
]


def fields() -> list[Json]:
    """What `GET /v1/fields` answers."""
    standard = [
        _field(path, label, kind, max_length=longest, sensitive=sensitive)
        for path, label, kind, longest, sensitive in _FIELDS
    ]
    custom = [
        _field(f"custom.{key}", label, kind, custom=True, multiple=multiple) for key, label, kind, multiple in _CUSTOM
    ]
    asked = [
        _field(f"answer.{key}", label, kind, multiple=kind == "multi_choice", options=options)
        for key, label, kind, options in _QUESTIONS
    ]
    return standard + custom + asked


def _field(path: str, label: str, kind: str, options: dict[str, str] | None = None, **facts: Any) -> Json:
    listed = [{"value": value, "label": text} for value, text in (options or {}).items()]
    plain = {"custom": False, "multiple": False, "max_length": None, "sensitive": False}
    return {"path": path, "label": label, "type": kind, **plain, **facts, "options": listed}
