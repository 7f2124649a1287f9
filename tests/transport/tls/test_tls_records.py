"""The data of a TLS connection does not depend on how its bytes are cut."""

import ssl
from collections.abc import Iterator

import pytest
from fakes.certificates import Files, certificate
from fakes.tls_client import TlsBytes
from hypothesis import given
from hypothesis import strategies as st

from streamd.transport.tls.records import SLICE_BYTES, Records

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
Chunks = st.lists(
    st.one_of(st.binary(max_size=40), st.integers(1, 40_000).map(lambda n: bytes([n % 251]) * n)),
    max_size=8,
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(files: Files) -> ssl.SSLContext:
    return files.server


@pytest.fixture(scope="module", params=VERSIONS, ids=lambda version: version.name)
def client(files: Files, request: pytest.FixtureRequest) -> ssl.SSLContext:
    context = files.client
    context.maximum_version = request.param
    return context


def shaken(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[Records, TlsBytes]:
    """Both sides of a connection after the handshake."""
    ours, theirs = Records(server), TlsBytes(client)
    is_done, answer = False, b""
    while not is_done:
        is_done = ours.shake(theirs.shake(answer))
        answer = ours.to_send()
    theirs.shake(answer)
    return ours, theirs


def parts(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """The data, cut at these places."""
    places = sorted(min(cut, len(data)) for cut in cuts)
    for start, end in zip([0, *places], [*places, len(data)], strict=True):
        yield data[start:end]


@given(Chunks, st.lists(st.integers(0, 100_000), max_size=12), st.booleans())
def test_what_was_encrypted_comes_whole_and_in_order_however_it_is_cut(
    server, client, chunks, cuts, closes
):
    ours, theirs = shaken(server, client)
    wire = b"".join(map(theirs.encrypt, chunks)) + (theirs.close() if closes else b"")
    received = b"".join(map(ours.decrypt, parts(wire, cuts)))
    assert received == b"".join(chunks)
    assert ours.is_ended == closes
    assert ours.fault is None


@given(st.lists(st.integers(0, 3000), max_size=12))
def test_a_handshake_that_is_cut_anywhere_succeeds(server, client, cuts):
    ours, theirs = Records(server), TlsBytes(client)
    is_done, answer = False, b""
    while not is_done:
        for part in parts(theirs.shake(answer), cuts):
            is_done = ours.shake(part)
        answer = ours.to_send()
    theirs.shake(answer)
    assert theirs.decrypt(ours.encrypt(b"welcome")) == b"welcome"


def test_data_that_comes_with_the_end_of_the_handshake_is_kept(server, files):
    """In TLS 1.3 the client is done first."""
    ours, theirs = Records(server), TlsBytes(files.client)
    ours.shake(theirs.shake(b""))
    assert ours.shake(theirs.shake(ours.to_send()) + theirs.encrypt(b"early"))
    assert ours.decrypt(b"") == b"early"


@given(Chunks)
def test_what_the_server_encrypts_the_client_gets(server, client, chunks):
    ours, theirs = shaken(server, client)
    assert theirs.decrypt(b"".join(map(ours.encrypt, chunks))) == b"".join(chunks)


@given(Chunks, st.integers(0), st.integers(0, 7), st.lists(st.integers(0, 100_000), max_size=5))
def test_what_was_forged_is_never_data(server, client, chunks, place, bit, cuts):
    ours, theirs = shaken(server, client)
    wire = bytearray(b"".join(map(theirs.encrypt, [*chunks, b"last"])))
    wire[place % len(wire)] ^= 1 << bit
    received = b"".join(map(ours.decrypt, parts(bytes(wire), cuts)))
    sent = b"".join([*chunks, b"last"])
    assert sent.startswith(received)
    assert len(received) < len(sent)


def test_behind_a_fault_nothing_is_decrypted(server, client):
    ours, theirs = shaken(server, client)
    good, bad = theirs.encrypt(b"good"), bytearray(theirs.encrypt(b"bad"))
    bad[-1] ^= 1
    assert ours.decrypt(good + bytes(bad)) == b"good"
    assert ours.fault is not None
    assert ours.to_send()  # the alert
    assert ours.decrypt(theirs.encrypt(b"more")) == b""


def test_behind_an_end_nothing_is_decrypted(server, client):
    ours, theirs = shaken(server, client)
    assert ours.decrypt(theirs.encrypt(b"last") + theirs.close() + b"garbage") == b"last"
    assert ours.is_ended
    assert ours.decrypt(b"garbage") == b""
    assert ours.fault is None


def test_a_long_read_is_given_to_openssl_in_slices(server, client):
    ours, theirs = shaken(server, client)
    data = bytes(range(256)) * (4 * SLICE_BYTES // 256)
    assert ours.decrypt(theirs.encrypt(data)) == data


def test_a_client_of_an_older_version_is_refused(server, files):
    old = files.client
    with pytest.warns(DeprecationWarning, match="TLSv1 is deprecated"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    ours, theirs = Records(server), TlsBytes(old)
    with pytest.raises(ssl.SSLError, match=r"(?i)unsupported.protocol|version"):
        ours.shake(theirs.shake(b""))
    assert ours.to_send()  # the alert


def test_a_client_that_comes_back_resumes_its_session(server, client):
    ours, theirs = shaken(server, client)
    theirs.decrypt(ours.encrypt(b"x"))  # takes the tickets, too
    again = TlsBytes(client)
    again.tls = client.wrap_bio(
        again.incoming, again.outgoing, server_hostname="localhost", session=theirs.tls.session
    )
    second, is_done, answer = Records(server), False, b""
    while not is_done:
        is_done = second.shake(again.shake(answer))
        answer = second.to_send()
    assert second.tls.session_reused


def test_http_1_1_is_chosen_and_nothing_else(server, files):
    context = files.client
    context.set_alpn_protocols(["h2", "http/1.1"])
    ours, theirs = shaken(server, context)
    assert (theirs.tls.selected_alpn_protocol(), ours.tls.selected_alpn_protocol()) == (
        "http/1.1",
        "http/1.1",
    )
