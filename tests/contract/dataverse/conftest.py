"""Recorded exchanges for every test of this folder; what is not recorded cannot be reached."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import responses


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock
