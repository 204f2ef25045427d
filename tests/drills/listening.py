"""Sockets that wait for a client that should not come: who connects, and what it gives away."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SECRET_HEADERS = ("authorization", "x-api-key", "cookie")
SECRET_FIELDS = ("client_secret", "client_assertion")


@dataclass(frozen=True)
class Seen:
    """One request that came in."""

    path: str
    headers: Mapping[str, str]
    body: str

    @property
    def gives_away(self) -> bool:
        """Whether a credential came with it."""
        told = any(name.lower() in SECRET_HEADERS for name in self.headers)
        return told or any(name in self.body + self.path for name in SECRET_FIELDS)


Answer = tuple[int, dict[str, str], bytes]
NOTHING: Answer = (404, {}, b"{}")


@dataclass
class Listener:
    """A listening port. `answer` says what a request gets."""

    port: int
    connections: int = 0
    seen: list[Seen] = field(default_factory=list)
    answer: Callable[[Seen], Answer] = lambda _: NOTHING

    def clear(self) -> None:
        self.connections = 0
        self.seen.clear()


@contextmanager
def listener(certificate: Path | None = None) -> Iterator[Listener]:
    """Listen on a free port of this machine; with a PEM file of key and certificate, by TLS."""

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
            seen = Seen(self.path, dict(self.headers), body)
            found.seen.append(seen)
            status, headers, content = found.answer(seen)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = handle_any

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def process_request(self, request: Any, client_address: Any) -> None:
            found.connections += 1
            super().process_request(request, client_address)

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A handshake that failed is what is hoped for."""

    with Server(("127.0.0.1", 0), Handler) as server:
        found = Listener(server.server_address[1])
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


def certificate_for(hosts: Collection[str], path: Path) -> Path:
    """Write a self-signed certificate with its key, good for these hosts; it is its own CA bundle."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "trap")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([_named(host) for host in sorted(hosts)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    kind = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())
    path.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
    return path


def _named(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
