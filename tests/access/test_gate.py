"""The gate: when a key is needed, and what is refused."""

import pytest

from streamd.access.gate import Credentials, Gate, check_exposure
from streamd.access.keys import new_key
from streamd.access.principal import ANYBODY
from streamd.access.tickets import Tickets
from streamd.config import AccessConfig
from streamd.config.checks import is_loopback
from streamd.errors import ConfigError, Unauthenticated


@pytest.fixture
def tickets(keyring, shared, clock):
    return Tickets(keyring, shared, clock)


@pytest.fixture
def key(keyring, clock) -> str:
    text, record = new_key("home", "acme", ["stream"], clock())
    keyring.replace([record])
    return text


@pytest.mark.parametrize("needs_key", [False, True])
async def test_a_key_that_is_shown_counts_whether_it_is_needed_or_not(
    keyring, tickets, key, needs_key
):
    gate = Gate(keyring, tickets, needs_key=needs_key)
    assert (await gate.principal(Credentials(key))).tenant == "acme"
    ticket = await tickets.issue(keyring.principal(key))
    assert (await gate.principal(Credentials(ticket=ticket))).tenant == "acme"
    for shown in (("sk_", None), ("", None), (None, "t_"), ("", "")):
        with pytest.raises(Unauthenticated):
            await gate.principal(Credentials(*shown))


async def test_who_shows_nothing_is_anybody_or_nobody(keyring, tickets):
    assert await Gate(keyring, tickets, needs_key=False).principal(Credentials()) is ANYBODY
    with pytest.raises(Unauthenticated, match="streamd keys create"):
        await Gate(keyring, tickets, needs_key=True).principal(Credentials())


async def test_a_wrong_key_is_not_saved_by_a_good_ticket(keyring, tickets, key):
    gate = Gate(keyring, tickets, needs_key=True)
    ticket = await tickets.issue(keyring.principal(key))
    with pytest.raises(Unauthenticated):
        await gate.principal(Credentials("sk_", ticket))
    assert (await gate.principal(Credentials(ticket=ticket))).tenant == "acme"


async def test_a_ticket_that_was_made_without_a_key_does_not_replace_one(keyring, tickets):
    """The server may have been bound to loopback when it made the ticket."""
    gate = Gate(keyring, tickets, needs_key=True)
    with pytest.raises(Unauthenticated):
        await gate.principal(Credentials(ticket=await tickets.issue(ANYBODY)))


def test_credentials_are_not_in_their_own_repr():
    assert "secret" not in repr(Credentials("secret", "secret"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_beyond_loopback_a_key_must_exist(host):
    with pytest.raises(ConfigError) as refused:
        check_exposure(host, AccessConfig(), has_key=False)
    assert "streamd keys create" in str(refused.value)
    assert "--host 127.0.0.1" in str(refused.value)
    check_exposure(host, AccessConfig(), has_key=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_on_loopback_a_key_must_exist_only_if_it_is_always_asked_for(host):
    assert is_loopback(host)
    check_exposure(host, AccessConfig(), has_key=False)
    with pytest.raises(ConfigError, match=r"streamd keys create.*access\.keys"):
        check_exposure(host, AccessConfig(keys="always"), has_key=False)
