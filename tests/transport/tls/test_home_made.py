"""A certificate that streamd makes is one that clients take, and its key is its user's alone."""

import ssl
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from fakes.certificates import Files, certificate
from fakes.tls_client import TlsBytes
from needs import needs

from streamd.errors import Unavailable
from streamd.transport.tls.certificate import check
from streamd.transport.tls.home_made import make, own_names, write
from streamd.transport.tls.records import Records

STRICT = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN


def shake(files: Files, name: str) -> None:
    """A client that takes no exception connects to a name."""
    context = ssl.create_default_context(cafile=files.authority)
    context.verify_flags |= STRICT
    ours, theirs = Records(files.server), TlsBytes(context)
    theirs.tls = context.wrap_bio(theirs.incoming, theirs.outgoing, server_hostname=name)
    is_done, answer = False, b""
    while not is_done:
        is_done = ours.shake(theirs.shake(answer))
        answer = ours.to_send()


def test_the_strictest_client_takes_it_for_each_of_its_names_and_no_other(tmp_path: Path):
    names = ("box.local", "box", "192.0.2.7", "2001:db8::7", "*.box.example")
    files = certificate(tmp_path, names=names)
    assert check(files.cert, files.key).names == [
        *("box.local", "box", "*.box.example"),
        *("192.0.2.7", "2001:db8::7"),
    ]
    for name in ("box.local", "BOX", "192.0.2.7", "2001:db8::7", "a.box.example"):
        shake(files, name)
    for name in ("other.local", "192.0.2.8", "a.b.box.example"):
        with pytest.raises(ssl.SSLCertVerificationError):
            shake(files, name)


def test_it_can_be_trusted_by_its_own_file_too(tmp_path: Path):
    files = certificate(tmp_path, names=("box",))
    shake(Files(files.cert, files.key, files.cert), "box")


def test_openssl_finds_no_fault(tmp_path: Path):
    needs("openssl")
    files = certificate(tmp_path)
    checked = subprocess.run(
        [
            "openssl",
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-CAfile",
            files.authority,
            files.cert,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_server_is_no_authority_and_the_authority_can_sign_no_other(tmp_path: Path):
    own, authority = x509.load_pem_x509_certificates(Path(certificate(tmp_path).cert).read_bytes())
    kinds = [
        one.extensions.get_extension_for_class(x509.BasicConstraints).value
        for one in (own, authority)
    ]
    assert (kinds[0].ca, kinds[1].ca, kinds[1].path_length) == (False, True, 0)
    # Its key is nowhere: the only one that is written is the server's.
    (key,) = [path for path in tmp_path.iterdir() if b"PRIVATE" in path.read_bytes()]
    assert key.name == "key.pem"
    assert own.public_key() != authority.public_key()


def test_only_its_user_may_read_the_key(tmp_path: Path):
    files = certificate(tmp_path / "new")
    assert stat.S_IMODE(Path(files.key).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        *("authority.pem", "cert.pem", "key.pem")
    ]


@pytest.mark.parametrize("there", ["cert.pem", "key.pem", "authority.pem"])
def test_nothing_is_replaced_unasked(tmp_path: Path, there: str):
    (tmp_path / there).write_text("precious")
    with pytest.raises(FileExistsError, match=there):
        write(make(["box"]), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "precious"
    write(make(["box"]), tmp_path, replace=True)
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600


def test_a_folder_that_is_a_file_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot be written"):
        write(make(["box"]), tmp_path / "file")


@pytest.mark.parametrize("name", ["", "https://box", "box:8765", "two words", "-box", "b" * 300])
def test_what_is_no_name_is_refused(name: str):
    with pytest.raises(ValueError, match="neither the name of a host nor an address"):
        make([name])


def test_this_machine_knows_its_names():
    names = own_names()
    assert {"localhost", "127.0.0.1", "::1"} <= set(names)
    assert len(names) == len(set(names))
    make(names)
