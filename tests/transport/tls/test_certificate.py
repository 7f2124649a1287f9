"""A certificate that cannot be used, or that clients would refuse, is named with what to do."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.certificates import NAMES, Files, certificate
from needs import needs

from streamd.errors import ConfigError
from streamd.transport.tls.certificate import check, doubt, load
from streamd.transport.tls.home_made import DAYS


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return certificate(tmp_path / "tls")


def blocks(path: str) -> list[str]:
    """The PEM blocks of a file."""
    parts = Path(path).read_text().split("-----BEGIN ")
    return [f"-----BEGIN {part}" for part in parts if part.strip()]


def test_a_good_one_has_its_names_and_days(files: Files):
    found = check(files.cert, files.key)
    assert found.names == [*NAMES]
    assert DAYS - 3 < found.days_left(datetime.now(UTC)) < DAYS
    assert found.outside_issuer is None
    assert not found.is_about_to_expire(datetime.now(UTC))


def test_certificate_and_key_may_be_in_one_file(files: Files):
    both = Path(files.cert).with_name("both.pem")
    both.write_text(Path(files.cert).read_text() + Path(files.key).read_text())
    assert check(str(both), "").names == [*NAMES]


@pytest.mark.parametrize("which", ["cert", "key"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "in PEM (-----BEGIN "),
        (b"nothing of the kind\n", "in PEM (-----BEGIN "),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ""),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "in PEM (-----BEGIN "),
        (b"a" * (1 << 20) + b"a", "larger than 1 MiB"),
    ],
    ids=["missing", "empty", "text", "broken certificate", "broken key", "large"],
)
def test_a_file_that_cannot_be_used_is_named_with_its_key(files: Files, which, content, says):
    path = Path(getattr(files, which))
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        load(files.cert, files.key)
    assert f"server.tls_{which}: {path}" in str(refused.value)
    assert says in str(refused.value)


def test_a_file_that_may_not_be_read_is_named(files: Files, monkeypatch: pytest.MonkeyPatch):
    def forbidden(self: Path, *_: object) -> None:  # the tests may run as root, who may read all
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        load(files.cert, files.key)


def test_a_key_of_another_certificate_is_said_to_be_one(files: Files, tmp_path: Path):
    other = certificate(tmp_path / "other")
    with pytest.raises(ConfigError, match="is not the key of the certificate in"):
        load(files.cert, other.key)


def test_a_key_with_a_passphrase_is_refused_without_asking_at_the_terminal(files: Files):
    needs("openssl")
    locked = Path(files.key).with_name("locked.pem")
    subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-in", files.key, "-out", locked, "-passout", "pass:secret"],
        check=True,
    )
    with pytest.raises(ConfigError, match="has a passphrase"):
        load(files.cert, str(locked))


def test_der_is_named_with_the_command_that_converts_it(files: Files):
    path = Path(files.cert)
    path.write_bytes(x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER))
    with pytest.raises(ConfigError, match="openssl x509 -inform der"):
        load(files.cert, files.key)


@pytest.mark.parametrize(
    ("age_days", "says"),
    [(DAYS + 5, "it expired on"), (-5, "is not valid before")],
    ids=["expired", "of the future"],
)
def test_the_time_is_checked_but_does_not_keep_a_server_from_starting(
    tmp_path: Path, age_days: float, says: str
):
    files = certificate(tmp_path, age_days=age_days)
    load(files.cert, files.key)
    with pytest.raises(ConfigError, match=says):
        check(files.cert, files.key)


@pytest.mark.parametrize(("left_days", "is_due"), [(15, False), (13, True), (-1, True)])
def test_a_new_one_is_due_two_weeks_before_the_end(tmp_path: Path, left_days, is_due):
    files = certificate(tmp_path, age_days=DAYS - 1 - left_days)
    _, found = load(files.cert, files.key)
    assert found.is_about_to_expire(datetime.now(UTC)) is is_due


def signed(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, by: ec.EllipticCurvePrivateKey
) -> str:
    """A certificate of six days without names."""
    now = datetime.now(UTC)
    subject, signer = (
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, one)]) for one in (name, issuer)
    )
    made = (
        x509.CertificateBuilder(signer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=3))
        .not_valid_after(now + timedelta(days=3))
        .sign(by, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode()


def test_one_with_a_short_life_is_due_in_its_last_third(files: Files):
    key = ec.generate_private_key(ec.SECP256R1())
    Path(files.cert).write_text(signed("x", key, "x", key))
    Path(files.key).write_bytes(_pem(key))
    _, found = load(files.cert, files.key)
    now = datetime.now(UTC)
    assert not found.is_about_to_expire(now)
    assert found.is_about_to_expire(now + timedelta(days=1.5))


def test_one_without_names_is_refused_by_clients(files: Files):
    key = ec.generate_private_key(ec.SECP256R1())
    Path(files.cert).write_text(signed("localhost", key, "localhost", key))
    Path(files.key).write_bytes(_pem(key))
    with pytest.raises(ConfigError, match="no subject alternative name"):
        check(files.cert, files.key)


def test_a_chain_must_be_in_order(files: Files):
    own, authority = blocks(files.cert)
    other, one = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    Path(files.cert).write_text(own + signed("other", other, "one", one) + authority)
    with pytest.raises(ConfigError) as refused:
        check(files.cert, files.key)
    assert "certificate 2 of the file did not sign certificate 1" in str(refused.value)
    assert "certificate 3 of the file did not sign certificate 2" in str(refused.value)
    Path(files.cert).write_text(authority + own)
    with pytest.raises(ConfigError, match="is not the key of the certificate"):
        check(files.cert, files.key)


def test_an_issuer_that_is_missing_is_doubted(files: Files, monkeypatch: pytest.MonkeyPatch):
    own, _ = blocks(files.cert)
    Path(files.cert).write_text(own)
    context, found = load(files.cert, files.key)
    assert found.outside_issuer is not None
    assert "issuer certificate" in (doubt(context) or "")
    monkeypatch.setenv("SSL_CERT_FILE", files.authority)
    assert doubt(context) is None


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization as to

    return key.private_bytes(Encoding.PEM, to.PrivateFormat.PKCS8, to.NoEncryption())
