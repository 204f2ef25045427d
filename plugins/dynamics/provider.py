"""What Airflow is told of this project: two connection types with their forms in the UI.

Airflow reads this through the entry point `apache_airflow_provider` at every start, so nothing is imported here. A
field that holds a secret has the format `password`. Source: Airflow documentation, "Provider packages".
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

PACKAGE = "airflow-dynamics-sync"  # the name of the distribution: Airflow compares them


def get_provider_info() -> Json:
    """The provider's metadata, as Airflow's provider schema wants it."""
    return {
        "package-name": PACKAGE,
        "name": "Dynamics 365 sync",
        "description": "Carries captured prospects into Microsoft Dynamics 365 and proves what it did.",
        "connection-types": [_dynamics(), _captello()],
        "extra-links": ["dynamics.operators.links.RunPageLink"],
    }


def _dynamics() -> Json:
    return {
        "connection-type": "dynamics",
        "hook-class-name": "dynamics.hooks.dynamics.DynamicsHook",
        "hook-name": "Microsoft Dynamics 365",
        "ui-field-behaviour": {
            "hidden-fields": ["port", "schema"],
            "relabeling": {
                "host": "Environment URL",
                "login": "Client id",
                "password": "Client secret",
            },
            "placeholders": {
                "host": "https://contoso.crm4.dynamics.com",
                "login": "application (client) id of the app registration",
                "password": "value of a client secret, not its id",
            },
        },
        "conn-fields": {
            "tenant_id": _text(
                "Tenant id",
                "Directory (tenant) id of the app registration in Microsoft Entra ID, or the tenant's domain.",
            ),
            "certificate": _secret(
                "Certificate",
                "Instead of a client secret: a PEM text with private key and certificate, or the path of such a file.",
            ),
            "certificate_password": _secret("Certificate password", "Opens the private key, when it is encrypted."),
            "application_users": _text(
                "Further client ids",
                "Client ids of more application users of this environment, parted by commas, to spread load over. "
                "They share the client secret or certificate: register the same certificate with each.",
            ),
            "authority": _text(
                "Authority",
                "Address of the sign-in service, with the tenant in it. Empty: Microsoft's own for this environment.",
            ),
            "sandbox": _switch(
                "Local sandbox",
                "The environment is this project's sandbox on this machine: addresses other than Dynamics are allowed.",
            ),
            "ca_bundle": _text("CA bundle", "Path of a PEM file with the certificate authorities to trust."),
        },
    }


def _captello() -> Json:
    return {
        "connection-type": "captello",
        "hook-class-name": "dynamics.hooks.captello.CaptelloHook",
        "hook-name": "Captello",
        "ui-field-behaviour": {
            "hidden-fields": ["port", "schema"],
            "relabeling": {
                "host": "API address",
                "login": "Client id",
                "password": "API key or client secret",
            },
            "placeholders": {
                "host": "https://capture.example.com",
                "login": "only with 'client_credentials'",
                "password": "sent as a header, never in an address",
            },
        },
        "conn-fields": {
            "auth": {
                "label": "Sign in with",
                "description": "api_key: the key alone. client_credentials: OAuth with client id and client secret.",
                "schema": {"type": "string", "enum": ["api_key", "client_credentials"], "default": "api_key"},
            },
            "account_id": _text("Account id", "Id of the Captello account; webhooks of other accounts are refused."),
            "webhook_secret": _secret(
                "Webhook secret",
                "Signs what Captello sends to /dynamics/webhooks/<connection id>; begins with whsec_. Empty: no "
                "webhooks are taken. While it is replaced: the new one, a blank, the old one.",
            ),
            "webhook_template": _secret(
                "Webhook template",
                "For unsigned webhooks, as JSON: token, addresses, fields. Empty: none are taken. Weaker than a signed "
                "one: see docs/webhooks.md.",
            ),
            "ca_bundle": _text("CA bundle", "Path of a PEM file with the certificate authorities to trust."),
        },
    }


def _text(label: str, description: str) -> Json:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"]}}


def _secret(label: str, description: str) -> Json:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"], "format": "password"}}


def _switch(label: str, description: str) -> Json:
    return {
        "label": label,
        "description": description,
        "schema": {"type": ["boolean", "null"], "default": False},
    }
