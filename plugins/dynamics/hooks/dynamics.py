"""From a connection of type `dynamics` to a ready client of one Dataverse organisation."""

from __future__ import annotations

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from dynamics.clock import SystemClock
from dynamics.config import dynamics_account
from dynamics.dataverse.account import DataverseAccount
from dynamics.dataverse.client import DataverseClient
from dynamics.dataverse.local_budget import LocalBudget
from dynamics.errors import DynamicsError
from dynamics.hooks.connections import connection_fields, told
from dynamics.sync.ports import Budget


class DynamicsHook(BaseHook):
    """One connected Dynamics environment."""

    conn_name_attr = "dynamics_conn_id"
    default_conn_name = "dynamics_default"
    conn_type = "dynamics"
    hook_name = "Microsoft Dynamics 365"

    def __init__(self, dynamics_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.dynamics_conn_id = dynamics_conn_id

    def account(self) -> DataverseAccount:
        """The connection as an account. Raises ConfigurationError."""
        return dynamics_account(connection_fields(self.dynamics_conn_id))

    def get_conn(self, budget: Budget | None = None) -> DataverseClient:
        """A client on this organisation, its tokens masked in logs; close it after use. Raises ConfigurationError.

        `budget` is the request limits it shares with others; without one it keeps to its own.
        """
        return DataverseClient(
            self.account(), budget=budget or LocalBudget(), clock=SystemClock(), on_token=mask_secret
        )

    def test_connection(self) -> tuple[bool, str]:
        """What the form's *Test* button shows: who we are, where, and with which roles; or what to correct."""
        try:
            with self.get_conn() as client:
                return True, client.test()
        except DynamicsError as error:
            return False, told(error)
