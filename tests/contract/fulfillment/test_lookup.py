"""Clients of sources: which are kept, and that none is left open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from dynamics.errors import AccessError, ContractError, DynamicsError
from dynamics.fulfillment.lookup import LookUp


class Client:
    """Answers every look-up with a fault, if it is given one, else with nothing."""

    def __init__(self, fault: DynamicsError | None) -> None:
        self.fault, self.closed = fault, False

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def lookup(self, ids: Sequence[str]) -> Iterator[list[Any]]:
        if self.fault is not None:
            raise self.fault
        yield []


@pytest.mark.parametrize(("fault", "kept"), [(AccessError("look up"), False), (ContractError("look up"), True)])
def test_a_client_that_is_not_let_in_is_closed_and_made_anew_and_any_other_is_kept(
    fault: DynamicsError, kept: bool
) -> None:
    made: list[Client] = []

    def connect(_: str) -> Any:
        made.append(Client(None if made else fault))
        return made[-1]

    look_up = LookUp(connect)
    with pytest.raises(type(fault)):
        look_up.find("c", ["p"])
    assert made[0].closed is not kept
    made[0].fault = None
    assert look_up.find("c", ["p"]) == {}
    assert len(made) == (1 if kept else 2)
    look_up.close()
    assert all(client.closed for client in made)
