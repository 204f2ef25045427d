"""The ledger on PostgreSQL: `dynamics.sync.ports.Ledger`, put together from its parts.

Each method is one short transaction of a few statements over whole batches, and safe to repeat. The parts: `runs`,
`intake` (discovery), `work` (the queue), `persons`, `attempts`, `settling`, `extras`; and, which the engine does not
know of, `due`, `enlisting`, `retrying`, `snapshots`, and `retention` and `link_checks` for the nightly maintenance.
"""

from __future__ import annotations

from dynamics.store.attempts import Attempts
from dynamics.store.due import Due
from dynamics.store.enlisting import Enlisting
from dynamics.store.extras import Extras
from dynamics.store.intake import Intake
from dynamics.store.link_checks import LinkChecks
from dynamics.store.persons import Persons
from dynamics.store.retention import Retention
from dynamics.store.retrying import Retrying
from dynamics.store.runs import Runs
from dynamics.store.settling import Settling
from dynamics.store.snapshots import Snapshots
from dynamics.store.work import Work


class PostgresLedger(
    Runs, Intake, Work, Persons, Attempts, Settling, Extras, Retrying, Snapshots, Due, Enlisting, Retention, LinkChecks
):
    """The ledger in the audit database `engine` leads to. Threads and processes may share it freely.

    Raises:
        TransientError: the database stayed away, or in the way, for some fifteen seconds.
        ConfigurationError, AccountError: it is missing, not upgraded, or does not let us in; or there is no such run.
    """
