"""What it takes to reach one Dynamics 365 environment, and which addresses we are willing to talk to.

Credentials are sent to whoever answers at the address, so an address that is no Dataverse host is refused before
anything is sent. Reading an Airflow connection is left to `config`.

Source: Microsoft Learn, "Datacenter regions" (suffixes of the regions and of the sovereign clouds).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

COMMERCIAL = "https://login.microsoftonline.com"
# Suffix of an organisation's host -> where its cloud signs in. The first is a pattern because regions are numbered.
CLOUDS = {
    r"crm\d{0,2}\.dynamics\.com": COMMERCIAL,
    r"crm\.microsoftdynamics\.us": "https://login.microsoftonline.us",
    r"crm\.appsplatform\.us": "https://login.microsoftonline.us",
    r"crm\.dynamics\.cn": "https://login.partner.microsoftonline.cn",
}
# Microsoft's sign-in hosts, the older names among them. Nobody else is told a secret.
SIGN_IN_HOSTS = frozenset(
    {
        "login.microsoftonline.com",
        "login.microsoft.com",
        "login.windows.net",
        "sts.windows.net",
        "login.microsoftonline.us",
        "login-us.microsoftonline.com",
        "login.usgovcloudapi.net",
        "login.partner.microsoftonline.cn",
        "login.chinacloudapi.cn",
    }
)
EXAMPLE = "https://contoso.crm4.dynamics.com"

_HOSTS = {
    re.compile(rf"(?P<org>[a-z0-9][a-z0-9-]{{0,62}})(?:\.api)?\.(?P<suffix>{suffix})"): authority
    for suffix, authority in CLOUDS.items()
}


def parse_environment_url(text: str, sandbox: bool = False) -> str:
    """Give the origin of an environment: scheme, host and, for a sandbox, port; without a slash.

    Args:
        text: the address as a person wrote it; upper case, a trailing slash and the `.api.` form of a host are fine.
        sandbox: also accept this machine (`localhost`, `127.0.0.1`, `[::1]`) and the bare host `sandbox`, on any port.
    Raises:
        ValueError: it is no address of a Dataverse environment; the text says why, and what one looks like.
    """
    text = text.strip()
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise _refusal("holds characters that no address has")
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise _refusal("is no address") from None
    if parts.scheme.lower() != "https":
        raise _refusal("does not begin with https://")
    if "@" in parts.netloc:
        raise _refusal("holds a user name")
    if parts.path not in ("", "/") or "?" in text or "#" in text:
        raise _refusal("goes on after the host; leave that out")
    found = _match(host)
    if found is not None:
        if port not in (None, 443):
            raise _refusal("names a port")
        return f"https://{found['org']}.{found['suffix']}"
    if sandbox and _is_sandbox_host(host):
        name = f"[{host}]" if ":" in host else host
        return f"https://{name}" if port in (None, 443) else f"https://{name}:{port}"
    if sandbox:
        raise _refusal("is neither a Dynamics 365 host nor this machine nor called sandbox, as a sandbox has to be")
    raise _refusal("names no Dynamics 365 host")


def parse_authority(text: str, sandbox: bool = False) -> str:
    """Give the address of a tenant's sign-in: scheme, host, port of a sandbox, and the tenant's path if it is there.

    Args:
        text: as a person wrote it; a slash at the end is fine.
        sandbox: also accept this machine and the bare host `sandbox`, on any port.
    Raises:
        ValueError: a secret would be sent to somebody else than Microsoft; the text says why and names no address.
    """
    text = text.strip().rstrip("/")
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise ValueError("holds characters that no address has")
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise ValueError("is no address") from None
    if parts.scheme.lower() != "https":
        raise ValueError("is no https address")
    if "@" in parts.netloc:
        raise ValueError("holds a user name")
    if "?" in text or "#" in text:
        raise ValueError("goes on after the tenant")
    if host in SIGN_IN_HOSTS:
        if port not in (None, 443):
            raise ValueError("names a port")
        return f"https://{host}{parts.path}"
    if sandbox and _is_sandbox_host(host):
        name = f"[{host}]" if ":" in host else host
        return f"https://{name}{'' if port in (None, 443) else f':{port}'}{parts.path}"
    raise ValueError("names no sign-in host of Microsoft")


class DataverseAccount(BaseModel):
    """One account. Give a client secret or a certificate; secrets show in no repr and no error.

    Attributes:
        environment_url: the environment's origin, checked by `parse_environment_url`.
        certificate: PEM text with certificate and private key, or the path of such a file.
        authority: where tokens come from, checked by `parse_authority`; None means the sign-in host of its
            cloud.
        sandbox: this is a stand-in.
        ca_bundle: path of the certificates to trust instead of the usual ones.
        application_users: client ids of further application users that write for us. The account's credential signs
            in all of them: register the same certificate with each.
        timeout_s: how long an answer may take; Dataverse itself gives up after about two minutes.
        connection_id: the connection it was read from, for messages.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    environment_url: str
    tenant_id: str = Field(min_length=1)
    client_id: str = Field(min_length=1)
    client_secret: SecretStr | None = None
    certificate: SecretStr | None = None
    certificate_password: SecretStr | None = None
    authority: str | None = None
    sandbox: bool = False
    ca_bundle: str | None = None
    application_users: tuple[str, ...] = ()
    timeout_s: float = Field(120.0, gt=0)
    connection_id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _normal_addresses(cls, fields: dict[str, Any]) -> dict[str, Any]:
        address, authority, sandbox = (
            fields.get("environment_url"),
            fields.get("authority"),
            fields.get("sandbox") is True,
        )
        if isinstance(address, str):
            fields = fields | {"environment_url": parse_environment_url(address, sandbox)}
        if isinstance(authority, str):
            fields = fields | {"authority": parse_authority(authority, sandbox)}
        return fields

    @model_validator(mode="after")
    def _has_credential(self) -> DataverseAccount:
        if self.client_secret is None and self.certificate is None:
            raise ValueError("neither a client secret nor a certificate is given")
        return self

    @property
    def users(self) -> tuple[str, ...]:
        """Client ids of all application users, each once, the account's own first."""
        return tuple(dict.fromkeys((self.client_id, *self.application_users)))

    @property
    def title(self) -> str:
        """How messages name it: by its connection, and where there are several, by its application user."""
        name = f"connection {self.connection_id}" if self.connection_id else self.environment_url
        return f"{name}, application user {self.client_id}" if len(self.users) > 1 else name

    def as_user(self, client_id: str) -> DataverseAccount:
        """The same account, signing in as one of its application users."""
        own = client_id or self.client_id
        return self.model_copy(update={"client_id": own, "application_users": self.users})

    @property
    def authority_url(self) -> str:
        """Sign-in host and tenant, as msal wants them."""
        authority = (self.authority or self._cloud_authority()).rstrip("/")
        return authority if urlsplit(authority).path else f"{authority}/{self.tenant_id}"

    def _cloud_authority(self) -> str:
        host = urlsplit(self.environment_url).hostname or ""
        return next((authority for pattern, authority in _HOSTS.items() if pattern.fullmatch(host)), COMMERCIAL)


def api_twin(origin: str) -> str | None:
    """The other name of the same organisation, under which its links may come back; None for a sandbox."""
    found = _match(urlsplit(origin).hostname or "")
    return f"https://{found['org']}.api.{found['suffix']}" if found is not None else None


def _match(host: str) -> re.Match[str] | None:
    return next((found for pattern in _HOSTS if (found := pattern.fullmatch(host))), None)


def _is_sandbox_host(host: str) -> bool:
    """This machine, or `sandbox`: a name that only a private network has, and that no public authority certifies."""
    if host in ("localhost", "sandbox"):
        return True
    try:  # takes no octal, decimal or shortened form
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address in (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))


def _refusal(why: str) -> ValueError:
    return ValueError(f"The environment address {why}. Write it like {EXAMPLE}.")
