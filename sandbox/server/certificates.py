"""Makes the certificates the sandbox needs: its own authority, the server's pair, and a client certificate.

They are kept in the state folder and used again until a month before they end, so that a client that once
trusted `ca.pem` keeps working. The authority is constrained to loopback names and to the bare name `sandbox`, which
stands for it in a private network: trusting it gives no one power over any public host. Which certificate may sign in
as whom is decided in `credentials`.

Source: RFC 5280, parts 4.2.1 (extensions) and 4.2.1.10 (name constraints).
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

VALID_FOR = timedelta(days=397)
RENEW_BEFORE = timedelta(days=30)
OWN_NAMES: list[x509.GeneralName] = [
    x509.DNSName("localhost"),
    x509.DNSName("sandbox"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("::1")),
]
OWN_TREES: list[x509.GeneralName] = [
    x509.DNSName("localhost"),
    x509.DNSName("sandbox"),
    x509.IPAddress(ipaddress.ip_network("127.0.0.0/8")),
    x509.IPAddress(ipaddress.ip_network("::1/128")),
]


@dataclass(frozen=True)
class Certificates:
    """Where the files are. `server` and `client` hold key and certificate in one PEM, readable by the owner only."""

    ca_bundle: Path
    server: Path
    client: Path

    def server_context(self) -> ssl.SSLContext:
        """The context every port of the sandbox listens with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server)
        return context


def load_or_make(folder: Path, now: datetime | None = None) -> Certificates:
    """Give the certificates kept in `folder`, made anew if they are missing or about to end."""
    now = now or datetime.now(UTC)
    kept = Certificates(folder / "ca.pem", folder / "server.pem", folder / "client.pem")
    if not all(_lasts(path, now) for path in (kept.ca_bundle, kept.server, kept.client)):
        _make(kept, now)
    return kept


def _lasts(path: Path, now: datetime) -> bool:
    return path.exists() and read_certificate(path).not_valid_after_utc - now > RENEW_BEFORE


def read_certificate(path: Path) -> x509.Certificate:
    """The first certificate in a PEM file that may hold a key as well."""
    return x509.load_pem_x509_certificate(path.read_bytes())


def _make(files: Certificates, now: datetime) -> None:
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _authority(ca_key, now)
    server_key = ec.generate_private_key(ec.SECP256R1())
    server = _server(server_key, ca, ca_key, now)
    # RSA, since Entra's assertions are signed RS256 or PS256.
    client_key = rsa.generate_private_key(65537, 2048)
    client = _builder(_name("Sandbox application"), _name("Sandbox application"), client_key, now).sign(
        client_key, hashes.SHA256()
    )
    # The authority's key is not kept: it has signed all it ever will.
    write_private(files.ca_bundle, ca.public_bytes(Encoding.PEM))
    write_private(files.server, _pem(server_key) + server.public_bytes(Encoding.PEM))
    write_private(files.client, _pem(client_key) + client.public_bytes(Encoding.PEM))


def _authority(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = _name("Sandbox certificate authority")
    return (
        _builder(name, name, key, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True), critical=True)
        .add_extension(x509.NameConstraints(OWN_TREES, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _server(key: Key, ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    return (
        _builder(_name("localhost"), ca.subject, key, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(OWN_NAMES), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _builder(subject: x509.Name, issuer: x509.Name, key: Key, now: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # room for a client whose clock is behind
        .not_valid_after(now + VALID_FOR)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write_private(path: Path, content: bytes) -> None:
    """Put a file in place in one step, readable by its owner only: no reader ever sees half of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    beside.replace(path)
