"""What the commands share at the terminal: where they print, how they end, and how faults are told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from dynamics.errors import ConfigurationError, DynamicsError
from dynamics.reporting import print_faults

OK, REJECTED, STOPPED, USAGE = 0, 1, 2, 3

console = Console()
complaints = Console(stderr=True)


@contextmanager
def faults_told() -> Iterator[None]:
    """Say what is wrong without a traceback; what we do not know passes through."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        yield
    except ConfigurationError as error:
        print_faults(error.faults, complaints)
        raise typer.Exit(STOPPED) from None
    except DynamicsError as error:
        complaints.print(f"{type(error).__name__} {error}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(STOPPED) from None
