"""What the fields of a connection mean: accounts and the audit database, every fault at once.

A remedy names the field as the connection form does; a fault never repeats what stands in a field, which may
be a secret in the wrong place. Source: design part 8; Microsoft Learn, "Use OAuth authentication with
Microsoft Dataverse".
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from pydantic import SecretStr

from dynamics.captello.account import Auth, CaptelloAccount, parse_origin
from dynamics.config.connections import ConnectionFields
from dynamics.config.webhook_template import webhook_template
from dynamics.config.wording import nearest
from dynamics.dataverse.account import DataverseAccount, parse_authority, parse_environment_url
from dynamics.errors import ConfigurationError, Fault

DYNAMICS_EXTRA = (
    "tenant_id",
    "authority",
    "certificate",
    "certificate_password",
    "application_users",
    "sandbox",
    "ca_bundle",
)
CAPTELLO_EXTRA = ("auth", "account_id", "webhook_secret", "webhook_template", "ca_bundle")
DRIVER = "postgresql+psycopg"
WEBHOOK_PREFIX = "whsec_"
WEBHOOK_KEY_BYTES = 16  # the least that nobody can guess

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DOMAIN = re.compile(r"(?=.{4,253}$)([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}")
_PEM = re.compile(r"(-----BEGIN [A-Z ]+-----)(.*?)(-----END [A-Z ]+-----)", re.DOTALL)
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off", "")


def dynamics_account(fields: ConnectionFields) -> DataverseAccount:
    """The Dynamics account of a connection of type `dynamics`. Raises ConfigurationError with all faults."""
    form = _Form(fields)
    form.type_is("dynamics", "Microsoft Dynamics 365")
    form.extra_is_known(DYNAMICS_EXTRA)
    sandbox = form.switch("sandbox", "Local sandbox")
    certificate = form.text("certificate", "Certificate")
    if certificate and not (_PEM.search(certificate) or _is_file(certificate)):
        form.fault("'Certificate' is neither a PEM text nor an existing file.", "Paste the PEM text, with its key.")
    if fields.password is None and certificate is None:
        form.fault("has neither a client secret nor a certificate.", "Fill in 'Client secret' or 'Certificate'.")
    tenant_id = form.required(form.text("tenant_id", "Tenant id"), "Tenant id")
    if tenant_id and not (_GUID.fullmatch(tenant_id) or _DOMAIN.fullmatch(tenant_id)):
        form.fault("'Tenant id' is neither an id nor a domain.", "Copy 'Directory (tenant) id' of the registration.")
    password = form.text("certificate_password", "Certificate password")
    environment_url, client_id = form.environment_url(sandbox), form.client_id()
    authority, ca_bundle = form.authority(sandbox), form.ca_bundle()
    application_users = form.application_users()
    form.raise_faults()
    return DataverseAccount(
        environment_url=environment_url,
        tenant_id=tenant_id,
        client_id=client_id,
        client_secret=fields.password,
        certificate=SecretStr(_with_line_ends(certificate)) if certificate else None,
        certificate_password=SecretStr(password) if password else None,
        authority=authority,
        sandbox=sandbox,
        ca_bundle=ca_bundle,
        application_users=application_users,
        connection_id=fields.conn_id,
    )


def captello_account(fields: ConnectionFields) -> CaptelloAccount:
    """The Captello account of a connection of type `captello`. Raises ConfigurationError with all faults."""
    form = _Form(fields)
    form.type_is("captello", "Captello")
    form.extra_is_known(CAPTELLO_EXTRA)
    word = form.text("auth", "Sign in with") or Auth.API_KEY.value
    auth = Auth(word) if word in list(Auth) else None
    if auth is None:
        form.fault("'Sign in with' is no way to sign in.", f"Choose one of: {', '.join(Auth)}.")
    secret = fields.password
    if secret is None:
        form.fault("'API key or client secret' is empty.", "Fill it in.")
    if auth is Auth.CLIENT_CREDENTIALS:
        form.required(fields.login, "Client id")
    webhook_secret = form.webhook_secrets()
    template = webhook_template(fields.extra.get("webhook_template"), form.fault)
    origin, ca_bundle = form.origin(), form.ca_bundle()
    account_id = form.text("account_id", "Account id")
    form.raise_faults()
    return CaptelloAccount(
        origin=origin,
        auth=auth or Auth.API_KEY,
        secret=secret or SecretStr(""),
        client_id=fields.login,
        account_id=account_id,
        webhook_secret=SecretStr(webhook_secret) if webhook_secret else None,
        webhook_template=template,
        ca_bundle=ca_bundle,
    )


def audit_url(fields: ConnectionFields) -> sa.URL:
    """The audit database of a connection of type `postgres`, for SQLAlchemy with psycopg 3.

    The connection names it by its fields, or whole in the extra field `url`. Other extra fields are parameters of the
    PostgreSQL connection (`sslmode`, `host` for a socket folder). Raises ConfigurationError.
    """
    form = _Form(fields)
    extra = dict(fields.extra)
    url = extra.pop("url", None)
    if url is not None:
        whole = _database_url(url)
        if whole is None:
            form.fault("The extra field 'url' is no PostgreSQL address.", "Write postgresql://user:password@host/name.")
    else:
        form.type_is("postgres", "Postgres")
        form.required(fields.schema, "Database")
        whole = sa.URL.create(
            DRIVER,
            username=fields.login,
            password=fields.password.get_secret_value() if fields.password else None,
            host=fields.host.strip("[]") if fields.host else None,
            port=fields.port,
            database=fields.schema,
            query={name: str(value) for name, value in extra.items() if value not in (None, "")},
        )
    form.raise_faults()
    return sa.make_url(whole or "")


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # far too long for a path, or with characters that no path has
        return False


def _is_long_key(secret: str) -> bool:
    try:
        return len(base64.b64decode(secret.removeprefix(WEBHOOK_PREFIX), validate=True)) >= WEBHOOK_KEY_BYTES
    except ValueError:
        return False


def _with_line_ends(pem: str) -> str:
    """A PEM text pasted into a one-line field has lost its line ends; anything else comes back as it is."""
    if ":" in pem or not _PEM.search(pem):  # headers of an old encrypted key stand on lines of their own
        return pem
    blocks = _PEM.finditer(pem.replace("\\n", "\n"))
    return "".join("\n".join((begin, *body.split(), end, "")) for begin, body, end in (b.groups() for b in blocks))


def _database_url(text: object) -> sa.URL | None:
    try:
        url = sa.make_url(str(text))
    except (sa.exc.ArgumentError, ValueError):
        return None
    if url.get_backend_name() != "postgresql" or not url.database:
        return None
    return url.set(drivername=DRIVER)


@dataclass
class _Form:
    """Reads one connection's fields and collects what is wrong with them."""

    fields: ConnectionFields
    faults: list[Fault] = field(default_factory=list)

    def fault(self, what: str, remedy: str) -> None:
        self.faults.append(Fault(self.fields.file, None, what, remedy))

    def raise_faults(self) -> None:
        if self.faults:
            raise ConfigurationError(self.faults)

    def type_is(self, conn_type: str, label: str) -> None:
        if self.fields.conn_type != conn_type:
            self.fault(f"is of type '{self.fields.conn_type}'.", f"Choose 'Connection Type' {label} ({conn_type}).")

    def extra_is_known(self, names: Collection[str]) -> None:
        for name in self.fields.extra:
            if name not in names:
                self.fault(f"has an extra field '{name}' that nobody reads.", nearest(name, names))

    def required(self, value: str | None, label: str) -> str:
        text = (value or "").strip()
        if not text:
            self.fault(f"'{label}' is empty.", "Fill it in.")
        return text

    def text(self, name: str, label: str) -> str | None:
        value = self.fields.extra.get(name)
        if value is None or isinstance(value, str):
            return value.strip() or None if value else None
        self.fault(f"'{label}' is no text.", "Write it as a text.")
        return None

    def switch(self, name: str, label: str) -> bool:
        word = str(self.fields.extra.get(name) or "").lower()
        if word not in (*_TRUE, *_FALSE):
            self.fault(f"'{label}' is neither true nor false.", "Write true or false.")
        return word in _TRUE

    def webhook_secrets(self) -> str | None:
        """One secret, or two parted by blanks."""
        value = self.text("webhook_secret", "Webhook secret")
        parts = (value or "").split()
        remedy = "Copy the whole secret from the subscription."
        if not all(part.startswith(WEBHOOK_PREFIX) for part in parts):
            self.fault("'Webhook secret' does not begin with whsec_.", remedy)
        elif not all(map(_is_long_key, parts)):
            self.fault(f"'Webhook secret' is no base64 of {WEBHOOK_KEY_BYTES} bytes or more after whsec_.", remedy)
        if len(parts) > 2:
            self.fault("'Webhook secret' holds more than two secrets.", "Keep the new one, and the old one for a day.")
        return " ".join(parts) or None

    def authority(self, sandbox: bool) -> str | None:
        value = self.text("authority", "Authority")
        try:
            return parse_authority(value, sandbox) if value else None
        except ValueError as wrong:
            self.fault(f"'Authority' {wrong}.", "Write it as https://login.microsoftonline.com/<tenant id>.")
            return None

    def ca_bundle(self) -> str | None:
        value = self.text("ca_bundle", "CA bundle")
        if value and not _is_file(value):
            self.fault("'CA bundle' names no file.", "Give the path of a PEM file that this machine can read.")
        return value

    def client_id(self) -> str:
        value = self.required(self.fields.login, "Client id")
        if value and not _GUID.fullmatch(value):
            self.fault("'Client id' is no id.", "Copy 'Application (client) id' of the app registration.")
        return value

    def application_users(self) -> tuple[str, ...]:
        """Client ids as a list, or in one text parted by commas, semicolons or blanks."""
        value = self.fields.extra.get("application_users") or ()
        items = value if isinstance(value, list | tuple) else re.split(r"[,;\s]+", str(value).strip())
        ids = tuple(map(str, items))
        if not all(map(_GUID.fullmatch, ids)):
            self.fault("'Further client ids' holds something else than ids.", "Part client ids by commas.")
        return ids

    def environment_url(self, sandbox: bool) -> str:
        address = self._host_and_port("Environment URL")
        try:
            return parse_environment_url(address, sandbox) if address else ""
        except ValueError as wrong:
            what, _, remedy = str(wrong).partition(". ")
            self.fault(f"'Environment URL': {what}.", remedy)
            return ""

    def origin(self) -> str:
        address = self._host_and_port("API address")
        try:
            return parse_origin(address) if address else ""
        except ValueError as wrong:
            self.fault(f"'API address' {wrong}.", "Write it as https://capture.example.com.")
            return ""

    def _host_and_port(self, label: str) -> str:
        """The address, with a port that Airflow's URI form has parted from it."""
        host = self.required(self.fields.host, label)
        return host if not host or self.fields.port is None else f"{host.rstrip('/')}:{self.fields.port}"
