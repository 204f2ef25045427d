"""From a connection of type `captello` to a ready client, on Airflow's HTTP provider.

The provider's hook gives session and adapters. Signing, repeating and what an answer means are the client's.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk.log import mask_secret
from requests import Response, Session

from dynamics.captello.account import CaptelloAccount
from dynamics.captello.client import CaptelloClient
from dynamics.config import captello_account
from dynamics.errors import ContractError, DynamicsError
from dynamics.hooks.connections import connection_fields, told


class CaptelloHook(HttpHook):
    """Captello's source API. `client` is what a sync uses; `run` sends one signed request of one's own."""

    conn_name_attr = "captello_conn_id"
    default_conn_name = "captello_default"
    conn_type = "captello"
    hook_name = "Captello"

    def __init__(self, captello_conn_id: str = default_conn_name, method: str = "GET", **kwargs: Any) -> None:
        super().__init__(method=method, http_conn_id=captello_conn_id, **kwargs)
        self.captello_conn_id = captello_conn_id

    def account(self) -> CaptelloAccount:
        """The connection as an account. Raises ConfigurationError."""
        return captello_account(connection_fields(self.captello_conn_id))

    def client(self) -> CaptelloClient:
        """A client whose tokens are masked in logs. Raises ConfigurationError."""
        return CaptelloClient(self.account(), session=self._unsigned(), on_token=mask_secret)

    def get_conn(self, headers: dict[Any, Any] | None = None, extra_options: dict[str, Any] | None = None) -> Session:
        """A session that signs by a header and follows no redirect, which could carry the header elsewhere.

        Replaces the provider's, which would send every extra field as a header, the webhook secret among them.
        """
        client = self.client()
        self.base_url = client.account.origin
        self.merged_extra = dict(extra_options or {})
        session = self._unsigned()
        session.auth = client.transport.auth()
        session.verify = client.account.ca_bundle or True
        session.max_redirects = 0
        session.headers.update(headers or {})
        return session

    def _unsigned(self) -> Session:
        session = Session()
        adapter = self.adapter or self.keep_alive_adapter
        if adapter is not None:
            session.mount("https://", adapter)
        return session

    def check_response(self, response: Response) -> None:
        """Raises ContractError. The answer's text is left out: it may name a person, and the provider would log it."""
        if not response.ok:
            raise ContractError("run", "captello", status=response.status_code)

    def test_connection(self) -> tuple[bool, str]:
        """What the form's *Test* button shows."""
        try:
            return True, self.client().test()
        except DynamicsError as error:
            return False, told(error)
