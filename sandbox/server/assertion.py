"""Decides whether a client assertion (a JWT signed by a certificate's key) proves who it says.

The signature is really verified: RS256 and PS256, the certificate found by `x5t` (SHA-1) or `x5t#S256`. Which
certificates are registered for which application is told by the caller.

Source: RFC 7523 part 3; Microsoft identity platform, application authentication certificate credentials.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import orjson
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

PADDINGS: Mapping[str, padding.AsymmetricPadding] = {
    "RS256": padding.PKCS1v15(),
    "PS256": padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH),
}


class InvalidAssertionError(Exception):
    """The assertion proves nothing; `code` is the number Entra would give."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def issuer(assertion: str) -> str:
    """The client id an assertion claims, unverified: it names the application to check against.

    Raises:
        InvalidAssertionError: 50027, not a JWT.
    """
    return str(_claims(assertion)[1].get("iss", ""))


def verify(
    assertion: str,
    certificates: Collection[x509.Certificate],
    *,
    client_id: str,
    audience: str,
    now: datetime,
) -> None:
    """Check signature, issuer, subject, audience and times of an assertion.

    Raises:
        InvalidAssertionError: 50027 (not a JWT), 700027 (certificate unknown, or signature wrong), 700024 (too
            early or too late), 700021 (issued by another), 50012 (for another audience).
    """
    header, claims = _claims(assertion)
    _verify_signature(assertion, _signer(header, certificates), str(header.get("alg")))
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        raise InvalidAssertionError(700021, "Client assertion application identifier does not match 'client_id'.")
    if claims.get("aud") != audience:
        raise InvalidAssertionError(50012, "Authentication failed: the assertion has an invalid audience.")
    instant = now.timestamp()
    # Times come as integers or, from msal, as floats. Entra allows five minutes of clock difference.
    if not float(claims.get("nbf", claims.get("iat", 0))) - 300 <= instant <= float(claims.get("exp", 0)) + 300:
        raise InvalidAssertionError(700024, "Client assertion is not within its valid time range.")


def _claims(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    parts = assertion.split(".")
    try:
        header, claims = (orjson.loads(_decode(part)) for part in parts[:2])
    except ValueError as error:
        raise InvalidAssertionError(50027, "JWT token is invalid or malformed.") from error
    if len(parts) != 3 or not isinstance(header, dict) or not isinstance(claims, dict):
        raise InvalidAssertionError(50027, "JWT token is invalid or malformed.")
    return header, claims


def _decode(part: str) -> bytes:
    stripped = part.rstrip("=")
    try:
        return urlsafe_b64decode(stripped + "=" * (-len(stripped) % 4))
    except binascii.Error as error:
        raise InvalidAssertionError(50027, "JWT token is invalid or malformed.") from error


def _signer(header: Mapping[str, Any], certificates: Collection[x509.Certificate]) -> x509.Certificate:
    for name, algorithm in (("x5t#S256", hashes.SHA256()), ("x5t", hashes.SHA1())):  # noqa: S303 - x5t is SHA-1
        if name in header:
            thumbprint = _decode(str(header[name]))
            for certificate in certificates:
                if certificate.fingerprint(algorithm) == thumbprint:
                    return certificate
    raise InvalidAssertionError(700027, "The certificate used to sign the client assertion is not registered.")


def _verify_signature(assertion: str, certificate: x509.Certificate, algorithm: str) -> None:
    signed, _, signature = assertion.rpartition(".")
    key = certificate.public_key()
    if algorithm not in PADDINGS or not isinstance(key, rsa.RSAPublicKey):
        raise InvalidAssertionError(700027, "The algorithm of the client assertion is not supported.")
    try:
        key.verify(_decode(signature), signed.encode(), PADDINGS[algorithm], hashes.SHA256())
    except InvalidSignature as error:
        raise InvalidAssertionError(700027, "Client assertion failed signature validation.") from error
