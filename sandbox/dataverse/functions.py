"""The query functions of Dataverse (`Microsoft.Dynamics.CRM.In(...)` and its family) as predicates.

Days and hours are counted in UTC, from the moment the organisation's clock shows.
Source: Microsoft Learn, "Web API Query Function Reference".
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sandbox.dataverse.errors import bad_request
from sandbox.dataverse.store import Row
from sandbox.dataverse.syntax import Special
from sandbox.dataverse.values import parse_moment, stamp

if TYPE_CHECKING:
    from sandbox.dataverse.filter import Scope

Predicate = Callable[[Row], bool]
Span = Callable[[datetime, int], tuple[datetime | None, datetime | None]]


def _day(moment: datetime, days: int = 0) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=days)


_SPANS: dict[str, Span] = {
    "Today": lambda now, _: (_day(now), _day(now, 1)),
    "Yesterday": lambda now, _: (_day(now, -1), _day(now)),
    "Tomorrow": lambda now, _: (_day(now, 1), _day(now, 2)),
    "Last7Days": lambda now, _: (_day(now, -7), now),
    "LastXHours": lambda now, x: (now - timedelta(hours=x), now),
    "LastXDays": lambda now, x: (_day(now, -x), now),
    "NextXHours": lambda now, x: (now, now + timedelta(hours=x)),
    "NextXDays": lambda now, x: (now, _day(now, x + 1)),
    "OlderThanXMinutes": lambda now, x: (None, now - timedelta(minutes=x)),
    "OlderThanXHours": lambda now, x: (None, now - timedelta(hours=x)),
    "OlderThanXDays": lambda now, x: (None, _day(now, -x)),
}
"""Half-open spans [from, to) of the functions that compare with now."""


def special_predicate(node: Special, scope: Scope) -> Predicate:
    """The predicate of one query function; an unknown one is refused."""
    arguments = node.arguments
    get, edm = scope.attribute(str(arguments.get("PropertyName", "")))
    if node.name in ("In", "NotIn", "ContainValues", "DoesNotContainValues"):
        return _membership(node, get, edm, scope)
    if node.name in ("Between", "NotBetween"):
        low, high = (_comparable(value, edm, scope) for value in _values(node))
        within = _range(get, low, high, scope)
        return within if node.name == "Between" else lambda row: not within(row)
    if node.name in ("On", "OnOrAfter", "OnOrBefore"):
        return _on(node, get)
    if node.name in ("EqualUserId", "NotEqualUserId"):
        return lambda row: (get(row) == scope.user_id) is (node.name == "EqualUserId")
    if node.name in _SPANS:
        count = arguments.get("PropertyValue", 0)
        if type(count) is not int:
            raise bad_request(f"The parameter 'PropertyValue' of '{node.name}' must be a whole number.")
        start, end = _SPANS[node.name](scope.now, count)
        return _span(get, None if start is None else stamp(start), None if end is None else stamp(end))
    raise bad_request(f"An unknown function with name 'Microsoft.Dynamics.CRM.{node.name}' was found.")


def _values(node: Special) -> list[Any]:
    values = node.arguments.get("PropertyValues")
    if not isinstance(values, list) or (node.name.endswith("Between") and len(values) != 2):
        raise bad_request(f"The parameter 'PropertyValues' of '{node.name}' must be a collection.")
    return values


def _comparable(value: Any, edm: str | None, scope: Scope) -> Any:
    """A value of a function's list in the form rows hold it; numbers and dates arrive as texts."""
    try:
        if edm in ("Edm.Int32", "Edm.Int64"):
            return int(value)
        if edm in ("Edm.Decimal", "Edm.Double"):
            return float(value)
    except (TypeError, ValueError) as fault:
        raise bad_request(f"Cannot convert the literal '{value}' to the expected type '{edm}'.") from fault
    if edm == "Edm.Boolean":
        return str(value).lower() in ("true", "1")
    if edm == "Edm.DateTimeOffset":
        moment = parse_moment(str(value)) or parse_moment(f"{value}T00:00:00Z")
        return stamp(moment) if moment else str(value)
    return scope.fold(str(value))


def _membership(node: Special, get: Callable[[Row], Any], edm: str | None, scope: Scope) -> Predicate:
    wanted = {_comparable(value, edm, scope) for value in _values(node)}
    fold = scope.fold
    several = node.name in ("ContainValues", "DoesNotContainValues")
    negated = node.name in ("NotIn", "DoesNotContainValues")

    def test(row: Row) -> bool:
        value = get(row)
        if several:
            found = value is not None and not wanted.isdisjoint(str(value).split(","))
        else:
            found = (fold(value) if isinstance(value, str) else value) in wanted
        return found is not negated

    return test


def _range(get: Callable[[Row], Any], low: Any, high: Any, scope: Scope) -> Predicate:
    def test(row: Row) -> bool:
        value = get(row)
        if isinstance(value, str):
            value = scope.fold(value)
        return value is not None and low <= value <= high

    return test


def _on(node: Special, get: Callable[[Row], Any]) -> Predicate:
    text = str(node.arguments.get("PropertyValue", ""))
    day = text[:10]
    if parse_moment(f"{day}T00:00:00Z") is None:
        raise bad_request(f"Unrecognized 'Edm.Date' literal '{text}'.")
    tests: dict[str, Callable[[str], bool]] = {
        "On": lambda own: own == day,
        "OnOrAfter": lambda own: own >= day,
        "OnOrBefore": lambda own: own <= day,
    }
    meets = tests[node.name]
    return lambda row: (value := get(row)) is not None and meets(value[:10])


def _span(get: Callable[[Row], Any], start: str | None, end: str | None) -> Predicate:
    def test(row: Row) -> bool:
        value = get(row)
        return value is not None and (start is None or value >= start) and (end is None or value < end)

    return test
