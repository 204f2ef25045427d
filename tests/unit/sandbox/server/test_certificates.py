"""For which names the sandbox's certificate is good."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from sandbox.server.certificates import Certificates, load_or_make


def shake_hands(files: Certificates, name: str) -> None:
    """A client that trusts the sandbox's authority calls it by this name. Raises ssl.SSLCertVerificationError."""
    trusting = ssl.create_default_context(cafile=str(files.ca_bundle))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server, server_hostname=name)
    server = files.server_context().wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return load_or_make(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "sandbox"])
def test_it_is_good_for_this_machine_and_for_a_host_called_sandbox(files: Certificates, name: str) -> None:
    shake_hands(files, name)


@pytest.mark.parametrize("name", ["contoso.crm.dynamics.com", "sandbox.test", "127.0.0.2"])
def test_it_is_good_for_nobody_else(files: Certificates, name: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(files, name)


def test_kept_certificates_are_used_again(files: Certificates, tmp_path: Path) -> None:
    first = load_or_make(tmp_path).server.read_bytes()
    assert load_or_make(tmp_path).server.read_bytes() == first
