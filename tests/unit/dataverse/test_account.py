"""Which addresses are taken for a Dataverse environment, and what an account shows of itself."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from dynamics.dataverse.account import DataverseAccount, api_twin, parse_authority, parse_environment_url

ORG = "https://contoso.crm4.dynamics.com"


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        (ORG, ORG),
        (f"{ORG}/", ORG),
        (f"  {ORG}:443/ ", ORG),
        ("HTTPS://Contoso.CRM4.Dynamics.com", ORG),
        ("https://contoso.api.crm4.dynamics.com/", ORG),
        ("https://contoso.crm.dynamics.com", "https://contoso.crm.dynamics.com"),
        ("https://contoso-uat.crm21.dynamics.com", "https://contoso-uat.crm21.dynamics.com"),
        ("https://agency.crm.microsoftdynamics.us", "https://agency.crm.microsoftdynamics.us"),
        ("https://agency.crm.appsplatform.us", "https://agency.crm.appsplatform.us"),
        ("https://contoso.crm.dynamics.cn", "https://contoso.crm.dynamics.cn"),
    ],
)
def test_an_environment_address_becomes_its_origin(text: str, origin: str) -> None:
    assert parse_environment_url(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "contoso.crm4.dynamics.com",
        "http://contoso.crm4.dynamics.com",
        "https://contoso.crm4.dynamics.com/main.aspx",
        "https://contoso.crm4.dynamics.com/?appid=1",
        "https://contoso.crm4.dynamics.com?",
        "https://contoso.crm4.dynamics.com#x",
        "https://contoso.crm4.dynamics.com:8443",
        "https://contoso.crm4.dynamics.com:x",
        "https://user@contoso.crm4.dynamics.com",
        "https://contoso.crm4.dynamics.com@evil.test",
        "https://evil.test\\@contoso.crm4.dynamics.com",
        "https://contoso.crm4.dynamics.com.evil.test",
        "https://evil.test/contoso.crm4.dynamics.com",
        "https://crm4.dynamics.com",
        "https://a.b.crm4.dynamics.com",
        "https://contoso.crm4.dynamics.com.",
        "https://cóntoso.crm4.dynamics.com",
        "https://contoso.crm123.dynamics.com",
        "https://contoso.crm4.dyn\namics.com",
        "https://[::1",
        "https://localhost:8444",
        "https://sandbox:8444",
        "https://127.0.0.1",
        "https://169.254.169.254",
    ],
)
def test_any_other_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"https://contoso\.crm4\.dynamics\.com") as refused:
        parse_environment_url(text)
    assert "evil" not in str(refused.value)


@pytest.mark.parametrize("host", ["localhost:8444", "127.0.0.1:8444", "[::1]:8444", "localhost", "sandbox:8444"])
def test_a_sandbox_may_be_this_machine_or_a_host_of_that_name(host: str) -> None:
    assert parse_environment_url(f"https://{host}/", sandbox=True) == f"https://{host}"


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1",
        "2130706433",
        "0177.0.0.1",
        "127.1",
        "0x7f.0.0.1",
        "[::ffff:127.0.0.1]",
        "127.0.0.1.nip.io",
        "evil.test",
        "sandbox.evil.test",
        "sandbox.",
    ],
)
def test_a_sandbox_is_no_door_to_other_machines(host: str) -> None:
    with pytest.raises(ValueError, match="nor this machine"):
        parse_environment_url(f"https://{host}", sandbox=True)


def test_only_a_dynamics_host_has_a_second_name() -> None:
    assert api_twin(ORG) == "https://contoso.api.crm4.dynamics.com"
    assert api_twin("https://localhost:8444") is None


@pytest.mark.parametrize(
    ("url", "authority", "expected"),
    [
        (ORG, None, "https://login.microsoftonline.com/t"),
        ("https://a.crm.microsoftdynamics.us", None, "https://login.microsoftonline.us/t"),
        ("https://a.crm.dynamics.cn", None, "https://login.partner.microsoftonline.cn/t"),
        (ORG, "https://login.windows.net", "https://login.windows.net/t"),
        (ORG, "https://localhost:8443/other/", "https://localhost:8443/other"),
    ],
)
def test_the_authority_follows_the_cloud_unless_named(url: str, authority: str | None, expected: str) -> None:
    account = DataverseAccount(
        environment_url=url,
        tenant_id="t",
        client_id="c",
        client_secret=SecretStr("s"),
        authority=authority,
        sandbox=authority is not None and "localhost" in authority,
    )
    assert account.authority_url == expected


@pytest.mark.parametrize("sandbox", [False, True])
@pytest.mark.parametrize(
    "host",
    [
        "login.microsoftonline.com.evil.test",
        "login.microsoftonline.com@evil.test",
        "user@login.microsoftonline.com",
        "evil.test\\@login.microsoftonline.com",
        "login.microsoftonline.com:8443",
        "contoso.crm4.dynamics.com",
        "169.254.169.254",
        "2130706433",
        "0177.0.0.1",
        "[::ffff:127.0.0.1]",
        "localhost.",
        "[::1",
    ],
)
def test_nobody_but_microsoft_is_told_a_secret(host: str, sandbox: bool) -> None:
    with pytest.raises(ValueError, match=r"names|holds|is no") as refused:
        parse_authority(f"https://{host}/tenant", sandbox)
    assert "evil" not in str(refused.value)


def test_this_machine_signs_in_for_a_sandbox_alone() -> None:
    assert parse_authority("https://localhost:8443/t", sandbox=True) == "https://localhost:8443/t"
    with pytest.raises(ValueError, match="names no sign-in host"):
        parse_authority("https://localhost:8443/t")


def test_an_account_shows_no_secret() -> None:
    account = DataverseAccount(
        environment_url=ORG,
        tenant_id="t",
        client_id="c",
        client_secret=SecretStr("canary"),
        certificate_password=SecretStr("canary"),
    )
    assert "canary" not in repr(account) + str(account)


def test_an_account_without_a_credential_is_refused_without_repeating_it() -> None:
    with pytest.raises(ValidationError) as refused:
        DataverseAccount(environment_url=ORG, tenant_id="t", client_id="canary")
    assert "neither a client secret nor a certificate" in str(refused.value)
    assert "canary" not in str(refused.value)
