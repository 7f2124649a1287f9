"""A certificate for a machine at home, which no public authority can name.

An authority of its own signs it, and the authority's key is thrown away at once. So whoever trusts
that authority trusts this one certificate and nothing that could be made later. Phones and some
browsers take no certificate that signs itself, but they take an authority that the user installs.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from streamd.errors import Unavailable
from streamd.transport.tls.certificate import is_address

DAYS = 820
"""Days for which it is valid: phones take at most 825."""
_EARLIER = timedelta(days=1)
"""It is valid from a day ago, for devices whose clock is slow."""
_LOCAL = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(
    r"(?i)(?=.{1,253}\Z)(\*\.)?[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?"
    r"(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
_SIOCGIFADDR = 0x8915
"""Linux: asks for the IPv4 address of a network interface."""


@dataclass(frozen=True, slots=True)
class Made:
    """The three files, in PEM."""

    cert: bytes
    """The certificate, and behind it the authority's."""
    key: bytes
    """The certificate's key."""
    authority: bytes
    """What devices have to trust."""


def make(names: Iterable[str], now: datetime | None = None) -> Made:
    """Make a certificate.

    Args:
        names: Host names, perhaps with a wildcard, and IP addresses; at least one.
        now: The time from which it counts.

    Raises:
        ValueError: One is neither the name of a host nor an address.
    """
    now = now or datetime.now(UTC)
    listed = list(dict.fromkeys(names))
    alternatives = list(map(_general, listed))
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = _name(f"streamd at {listed[0]}, {now:%Y-%m-%d}")
    authority = (
        _builder(issuer, issuer, authority_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    signed = (
        _builder(_name(listed[0]), issuer, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    root = authority.public_bytes(Encoding.PEM)
    return Made(
        signed.public_bytes(Encoding.PEM) + root,
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        root,
    )


def own_names() -> list[str]:
    """Return the names and addresses by which this machine is likely to be called."""
    name = socket.gethostname().lower()
    named = [] if not name or name == "localhost" or is_address(name) else [name]
    if named and "." not in name:
        named.append(f"{name}.local")  # by multicast DNS
    return list(dict.fromkeys([*named, *_LOCAL, *_addresses()]))


def write(made: Made, folder: Path, *, replace: bool = False) -> tuple[Path, Path, Path]:
    """Write the files, the key for this user alone.

    Args:
        made: The files.
        folder: Where; it is made if it does not exist.
        replace: Whether to replace files that exist.

    Returns:
        Certificate, key and authority.

    Raises:
        FileExistsError: One exists, and must not be replaced.
        Unavailable: One cannot be written.
    """
    files = {
        folder / "cert.pem": (made.cert, 0o644),
        folder / "key.pem": (made.key, 0o600),
        folder / "authority.pem": (made.authority, 0o644),
    }
    if not replace:
        for path in files:
            if path.exists():
                raise FileExistsError(path)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, (data, mode) in files.items():
            _write(path, data, mode)
    except OSError as error:
        raise Unavailable(
            f"{error.filename or folder}: cannot be written: {error.strerror or error}"
        ) from error
    cert, key, authority = files
    return cert, key, authority


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write a file in one step: a server that runs reads it while it is replaced."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)  # of a run that was killed
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)  # whatever the umask is
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now - _EARLIER + timedelta(days=DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(**used: bool) -> x509.KeyUsage:
    every = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{use: used.get(use, False) for use in every})


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _general(name: str) -> x509.GeneralName:
    if is_address(name):
        return x509.IPAddress(ipaddress.ip_address(name))
    if not _HOST.fullmatch(name):
        raise ValueError(f"{name!r} is neither the name of a host nor an address")
    return x509.DNSName(name)


def _addresses() -> list[str]:
    """Return the IPv4 addresses of the network interfaces, where the system tells of them."""
    try:
        import fcntl

        interfaces = [name for _, name in socket.if_nameindex()]
    except (ImportError, OSError):
        return []
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for name in interfaces:
            request = struct.pack("256s", name.encode()[:15])
            try:
                answer = fcntl.ioctl(asking.fileno(), _SIOCGIFADDR, request)
            except OSError:  # it has none, or this is not Linux
                continue
            found.append(socket.inet_ntoa(answer[20:24]))
    return found
