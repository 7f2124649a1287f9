"""`streamd health`: what a container asks about its server."""

import socket
from urllib.parse import urlsplit

import pytest
from daemons import IS_TLS, Daemon


@pytest.mark.skipif(IS_TLS, reason="the command takes TLS from the configuration")
@pytest.mark.parametrize(("options", "said"), [([], "ready"), (["--live"], "live")])
def test_a_server_that_is_well_answers_with_its_state(
    cli, daemon: Daemon, options: list[str], said: str
):
    port = urlsplit(daemon.url).port
    done = cli("health", "--port", port, *options)
    assert (done.code, done.out) == (0, f"{said}\n")
    everywhere = cli("health", *options, server__host="0.0.0.0", server__port=port)
    assert (everywhere.code, everywhere.out) == (0, f"{said}\n")


def test_a_server_that_refuses_is_not_ready(cli, tmp_path):
    with Daemon(tmp_path, access__allow_ips='["192.0.2.1"]') as running:
        done = cli("health", server__port=urlsplit(running.url).port)
    assert done.code == 5
    assert "the server is not ready" in done.err


def test_where_no_server_is_the_command_says_so(cli):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # it has the port, and does not listen
        port = deaf.getsockname()[1]
        done = cli("health", "--port", port)
    assert done.code == 4
    assert f"no answer from 127.0.0.1:{port}" in done.err


def test_a_port_that_is_not_known_is_asked_for(cli):
    done = cli("health", server__port=0)
    assert done.code == 2
    assert "--port" in done.err
