"""The server's certificate: read from its files, and checked for what would make clients refuse."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from streamd.errors import ConfigError

ALPN = "http/1.1"
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Ciphers of TLS 1.2: with forward secrecy and authenticated. All those of TLS 1.3 are."""
_MOST_BYTES = 1 << 20
"""Most bytes of a certificate's file, so that a wrong path does not fill the memory."""
_WARN_S = 14 * 86_400.0
_WARN_SHARE = 1 / 3
"""A certificate is about to expire in its last 14 days, or in the last third of a short life."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its chain, the server's own first."""

    chain: tuple[x509.Certificate, ...]

    @property
    def names(self) -> list[str]:
        """Return the host names and addresses for which clients accept it."""
        with suppress(x509.ExtensionNotFound):
            found = self.chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName)
            addresses = map(str, found.value.get_values_for_type(x509.IPAddress))
            return [*found.value.get_values_for_type(x509.DNSName), *addresses]
        return []

    @property
    def expires(self) -> datetime:
        """Return when it ends, or the first of its chain does."""
        return min(one.not_valid_after_utc for one in self.chain)

    def days_left(self, now: datetime) -> float:
        """Return the days until it expires; less than 0 if it has."""
        return (self.expires - now) / timedelta(days=1)

    def is_about_to_expire(self, now: datetime) -> bool:
        """Return whether a new one is due."""
        life_s = (self.expires - self.chain[0].not_valid_before_utc).total_seconds()
        left_s = (self.expires - now).total_seconds()
        return left_s < min(_WARN_S, life_s * _WARN_SHARE)

    @property
    def outside_issuer(self) -> str | None:
        """Return the issuer that the file does not have; None if the last one signs itself."""
        last = self.chain[-1]
        return None if last.issuer == last.subject else last.issuer.rfc4514_string()

    def faults(self, now: datetime) -> Iterator[str]:
        """Yield why clients refuse it, each as a whole sentence."""
        if not self.names:
            yield (
                "it has no subject alternative name, and clients look at no other: get one that "
                "names the host"
            )
        for number, one in enumerate(self.chain, 1):
            which = "it" if number == 1 else f"certificate {number} of its chain"
            if now > one.not_valid_after_utc:
                yield f"{which} expired on {one.not_valid_after_utc:%Y-%m-%d}: renew it"
            if now < one.not_valid_before_utc:
                yield (
                    f"{which} is not valid before {one.not_valid_before_utc:%Y-%m-%d %H:%M} UTC: "
                    "is the clock of this machine right?"
                )
        for number, (one, issuer) in enumerate(zip(self.chain, self.chain[1:], strict=False), 1):
            if not _is_issued_by(one, issuer):
                yield (
                    f"certificate {number + 1} of the file did not sign certificate {number}: put "
                    "the server's own first, and behind each the one that signed it"
                )


def load(cert: str, key: str) -> tuple[ssl.SSLContext, Certificate]:
    """Read a certificate and its key.

    Args:
        cert: `server.tls_cert`.
        key: `server.tls_key`; empty if the key is in the certificate's file.

    Returns:
        A context for the connections of a server, and the certificate.

    Raises:
        ConfigError: A file cannot be read or used, or the two do not belong together.
    """
    certificate = Certificate(_chain(cert))
    _read("server.tls_key", key or cert)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols([ALPN])
    is_encrypted = False

    def passphrase() -> bytes:  # without it OpenSSL asks at the terminal
        nonlocal is_encrypted
        is_encrypted = True
        return b""

    try:
        context.load_cert_chain(cert, key or None, passphrase)
    except ssl.SSLError as error:
        if is_encrypted:
            why = (
                "has a passphrase, which a server that starts by itself cannot know: remove it with"
                " `openssl pkey -in FILE -out NEW`, and let only the server's user read the new one"
            )
        elif error.reason == "KEY_VALUES_MISMATCH":
            why = f"is not the key of the certificate in {cert}: name the pair that was made "
            why += "together"
        elif error.reason is None or error.reason in ("PEM_LIB", "NO_START_LINE"):
            why = "has no private key in PEM (-----BEGIN PRIVATE KEY-----)"
            why += "" if key else ": name its file in server.tls_key"
        else:
            why = f"cannot be used with {cert}: {error.reason.lower().replace('_', ' ')}"
        raise ConfigError(f"server.tls_key: {key or cert} {why}") from None
    return context, certificate


def check(cert: str, key: str, now: datetime | None = None) -> Certificate:
    """Return a certificate that clients accept at this time.

    Raises:
        ConfigError: As `load`; or clients would refuse it.
    """
    _, certificate = load(cert, key)
    faults = list(certificate.faults(now or datetime.now(UTC)))
    if faults:
        raise ConfigError("\n".join(f"server.tls_cert: {cert}: {fault}" for fault in faults))
    return certificate


def doubt(context: ssl.SSLContext) -> str | None:
    """Return why a client on this machine would not trust a server's certificate; None if it would.

    An issuer that is missing from the file shows here, as does an authority of one's own. Names are
    not compared. Nothing is sent: both sides of the handshake are in memory.
    """
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    client = trusting.wrap_bio(to_client, to_server)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
    return None


def is_address(name: str) -> bool:
    """Return whether the name of a host is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _chain(path: str) -> tuple[x509.Certificate, ...]:
    data = _read("server.tls_cert", path)
    try:
        chain = tuple(x509.load_pem_x509_certificates(data))
    except ValueError:
        how = ""
        if data[:1] == b"\x30":
            how = "; it looks like DER: `openssl x509 -inform der -in FILE -out NEW` converts it"
        raise ConfigError(
            f"server.tls_cert: {path} has no certificate in PEM (-----BEGIN CERTIFICATE-----){how}"
        ) from None
    try:
        for one in chain:  # they are parsed when they are asked for
            _ = one.extensions, one.not_valid_before_utc, one.not_valid_after_utc
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ConfigError(f"server.tls_cert: {path} is malformed: {error}") from None
    return chain


def _read(key: str, path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{key}: {path} cannot be read: {error.strerror or error}") from None
    if len(data) > _MOST_BYTES:
        raise ConfigError(f"{key}: {path} is larger than 1 MiB, so it is no PEM file of this kind")
    return data


def _is_issued_by(one: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        one.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
