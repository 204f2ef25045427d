"""Which addresses are taken for a Captello API."""

from __future__ import annotations

import pytest

from dynamics.captello.account import parse_origin


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://capture.example.com", "https://capture.example.com"),
        ("Capture.Example.com/", "https://capture.example.com"),
        ("https://capture.example.com:8443", "https://capture.example.com:8443"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("https://sandbox:8443", "https://sandbox:8443"),
        ("https://localhost:8443", "https://localhost:8443"),
        ("https://127.0.0.1:8443", "https://127.0.0.1:8443"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_an_address_becomes_its_origin(text: str, origin: str) -> None:
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1",
        "169.254.169.254",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.1",
        "0.0.0.0",
        "[::]",
        "[fe80::1]",
        "[::ffff:127.0.0.1]",
        "①②⑦.⓪.⓪.①",
        "localhost.",
        "capture.example.com%2eexample.test",
    ],
)
def test_a_number_is_no_host_name(host: str) -> None:
    with pytest.raises(ValueError, match="names a host by number"):
        parse_origin(f"https://{host}")
