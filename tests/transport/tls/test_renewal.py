"""A new certificate is taken once both files fit together; until then the old one stays."""

import asyncio
import os
import shutil
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fakes.certificates import Files, certificate
from structlog.testing import capture_logs
from waiting import until

from streamd.errors import ConfigError
from streamd.observability.metrics import Metrics
from streamd.transport.tls import renewal
from streamd.transport.tls.home_made import DAYS
from streamd.transport.tls.renewal import Certificates, open_certificates

EXPIRY = "streamd_certificate_expiry_timestamp_seconds"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "LOOK_S", 0.01)


@asynccontextmanager
async def watching(files: Files, metrics: Metrics) -> AsyncIterator[Certificates]:
    certificates = Certificates(files.cert, files.key, metrics)
    task = asyncio.create_task(certificates.watch())
    try:
        yield certificates
    finally:
        assert not task.done()
        task.cancel()


def reloads(metrics: Metrics, result: str) -> float:
    labels = {"result": result}
    return metrics.registry.get_sample_value("streamd_certificate_reloads_total", labels) or 0.0


def replace(path: str, text: str) -> None:
    """Write a file anew."""
    Path(path).write_text(text)


def said(logged: list[Any], text: str) -> list[Any]:
    return [record for record in logged if text in record["event"]]


async def test_new_files_are_taken(tmp_path: Path):
    metrics = Metrics()
    async with watching(certificate(tmp_path), metrics) as certificates:
        before = certificates.context
        certificate(tmp_path, names=("new.example",))
        await until(lambda: reloads(metrics, "taken") == 1)
        assert certificates.context is not before


async def test_a_link_that_points_elsewhere_is_a_change(tmp_path: Path):
    """As certbot and Kubernetes do it: the paths stay, and what they point to is replaced."""
    metrics = Metrics()
    certificate(tmp_path / "1")
    certificate(tmp_path / "2")
    (tmp_path / "now").symlink_to("1")
    now = tmp_path / "now"
    files = Files(str(now / "cert.pem"), str(now / "key.pem"), "")
    async with watching(files, metrics) as certificates:
        before = certificates.context
        (tmp_path / "next").symlink_to("2")
        (tmp_path / "next").replace(now)
        await until(lambda: certificates.context is not before)


@pytest.mark.parametrize("first", ["cert", "key"])
async def test_half_a_change_waits_for_the_other_half_and_is_logged_once(
    tmp_path: Path, first: str
):
    metrics, files = Metrics(), certificate(tmp_path / "old")
    new = certificate(tmp_path / "new")
    second = "key" if first == "cert" else "cert"
    with capture_logs() as logged:
        async with watching(files, metrics) as certificates:
            before = certificates.context
            os.replace(getattr(new, first), getattr(files, first))
            await until(lambda: reloads(metrics, "refused") == 1)
            await asyncio.sleep(0.1)  # many looks
            assert certificates.context is before
            os.replace(getattr(new, second), getattr(files, second))
            await until(lambda: reloads(metrics, "taken") == 1)
            assert certificates.context is not before
    assert len(said(logged, "the old one stays")) == 1


async def test_files_that_vanish_or_break_leave_the_old_one(tmp_path: Path):
    metrics, files = Metrics(), certificate(tmp_path)
    with capture_logs() as logged:
        async with watching(files, metrics) as certificates:
            before = certificates.context
            shutil.move(files.cert, tmp_path / "away")
            await until(lambda: reloads(metrics, "refused") == 1)
            replace(files.cert, "nonsense")
            await until(lambda: reloads(metrics, "refused") == 2)
            assert certificates.context is before
            shutil.move(tmp_path / "away", files.cert)
            certificates.reload()
            await until(lambda: reloads(metrics, "taken") >= 1)
    whys = [record["why"] for record in said(logged, "the old one stays")]
    assert "cannot be read" in whys[0]
    assert "no certificate in PEM" in whys[1]


async def test_a_reload_that_is_asked_for_says_at_once_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(renewal, "LOOK_S", 600)
    metrics, files = Metrics(), certificate(tmp_path)
    async with watching(files, metrics) as certificates:
        certificates.reload()
        await until(lambda: reloads(metrics, "taken") == 1)
        os.unlink(files.key)
        certificates.reload()
        await until(lambda: reloads(metrics, "refused") == 1)
        certificates.reload()
        await until(lambda: reloads(metrics, "refused") == 2)


async def test_one_that_has_expired_does_not_replace_a_good_one(tmp_path: Path):
    metrics = Metrics()
    async with watching(certificate(tmp_path), metrics) as certificates:
        before = certificates.context
        with capture_logs() as logged:
            certificate(tmp_path, age_days=DAYS)
            await until(lambda: reloads(metrics, "refused") == 1)
        (refused,) = said(logged, "the old one stays")
        assert "it expired on" in refused["why"]
        assert certificates.context is before
        certificate(tmp_path, names=("new.example",))
        await until(lambda: reloads(metrics, "taken") == 1)


async def test_the_expiry_is_shown_and_the_log_warns_once_a_day(tmp_path: Path):
    metrics = Metrics()
    files = certificate(tmp_path, age_days=DAYS - 1 - 5)
    with capture_logs() as logged:
        async with watching(files, metrics):
            await asyncio.sleep(0.1)
    expiry_s = metrics.registry.get_sample_value(EXPIRY)
    assert expiry_s is not None
    assert 4.9 < (expiry_s - time.time()) / 86_400 <= 5
    assert len(said(logged, "expires soon")) == 1


async def test_an_expired_one_is_served_and_the_log_says_so(tmp_path: Path):
    files = certificate(tmp_path, age_days=DAYS)
    with capture_logs() as logged:
        Certificates(files.cert, files.key, Metrics())
    (fault,) = said(logged, "clients will refuse")[:1]
    assert "expired on" in fault["why"]
    assert said(logged, "has expired")


def test_without_a_certificate_there_is_none_and_no_expiry():
    metrics = Metrics()
    assert open_certificates("", "", metrics) is None
    expiry_s = metrics.registry.get_sample_value(EXPIRY)
    assert expiry_s != expiry_s


def test_one_that_cannot_be_used_is_refused_at_the_start(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot be read"):
        open_certificates(str(tmp_path / "none.pem"), "", Metrics())


async def test_a_connection_that_is_open_keeps_the_certificate_with_which_it_began(tmp_path: Path):
    metrics, files = Metrics(), certificate(tmp_path)
    trusting = files.client
    async with watching(files, metrics) as certificates:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        ours = certificates.context.wrap_bio(incoming, outgoing, server_side=True)
        theirs = trusting.wrap_bio(outgoing, incoming, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            theirs.do_handshake()
        certificate(tmp_path)
        await until(lambda: reloads(metrics, "taken") == 1)
        with pytest.raises(ssl.SSLWantReadError):
            ours.do_handshake()
        theirs.do_handshake()  # it trusts the old authority only
        ours.do_handshake()
        theirs.write(b"on and on")
        assert ours.read(100) == b"on and on"
