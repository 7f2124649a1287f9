"""Tickets: good once, for a minute, and no longer than their key."""

import asyncio
import base64
import dataclasses

import pytest

from streamd.access.keys import Keyring, new_key
from streamd.access.principal import ANYBODY, Principal
from streamd.access.shared import SharedByStore
from streamd.access.tickets import LIFETIME_MS, Tickets
from streamd.errors import Unauthenticated
from streamd.observability.metrics import Metrics


@pytest.fixture
def tickets(keyring, shared, clock):
    return Tickets(keyring, shared, clock)


def known(keyring, clock, *scopes) -> Principal:
    text, record = new_key("home", "acme", scopes, clock())
    keyring.replace([record])
    return keyring.principal(text)


async def test_a_ticket_has_the_tenant_and_scopes_of_its_key(tickets, keyring, clock):
    who = known(keyring, clock, "stream")
    assert await tickets.redeem(await tickets.issue(who)) == who


async def test_a_ticket_is_never_an_administrators(tickets, keyring, clock):
    who = await tickets.redeem(await tickets.issue(known(keyring, clock, "admin")))
    assert who.scopes == {"stream", "enrol"}
    assert not who.may("admin")


async def test_a_ticket_is_good_once(tickets, keyring, clock):
    ticket = await tickets.issue(known(keyring, clock, "stream"))
    results = await asyncio.gather(
        *(tickets.redeem(ticket) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(result, Principal) for result in results) == 1
    assert sum(isinstance(result, Unauthenticated) for result in results) == 9
    with pytest.raises(Unauthenticated, match="used already"):
        await tickets.redeem(ticket)


async def test_another_process_takes_it_and_notes_its_use(tickets, keyring, clock, store):
    """Another process has the same store and the same keys, and nothing else."""
    other_shared = SharedByStore(store.access, Metrics(), clock)
    other = Tickets(keyring, other_shared, clock)
    who = known(keyring, clock, "stream")
    ticket = await tickets.issue(who)
    assert await other.redeem(ticket) == who
    with pytest.raises(Unauthenticated, match="used already"):
        await tickets.redeem(ticket)
    other_shared.close()


async def test_a_stale_ticket_is_refused(tickets, keyring, clock):
    ticket = await tickets.issue(known(keyring, clock, "stream"))
    clock.now_ms += LIFETIME_MS
    with pytest.raises(Unauthenticated, match="too old"):
        await tickets.redeem(ticket)


async def test_a_ticket_of_a_revoked_key_is_refused(tickets, keyring, clock):
    _, record = new_key("home", "acme", ["stream"], clock())
    keyring.replace([record])
    ticket = await tickets.issue(Principal("acme", frozenset({"stream"}), record.id))
    keyring.replace([dataclasses.replace(record, revoked_ms=clock())])
    with pytest.raises(Unauthenticated, match="revoked"):
        await tickets.redeem(ticket)


async def test_no_bit_of_a_ticket_may_change(tickets, keyring, clock):
    ticket = await tickets.issue(known(keyring, clock, "stream"))
    encoded = ticket.removeprefix("t_")
    signed = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    for bit in range(len(signed) * 8):
        changed = bytearray(signed)
        changed[bit // 8] ^= 1 << bit % 8
        forged = "t_" + base64.urlsafe_b64encode(changed).rstrip(b"=").decode()
        with pytest.raises(Unauthenticated, match="not known"):
            await tickets.redeem(forged)
    assert (await tickets.redeem(ticket)).tenant == "acme"


@pytest.mark.parametrize("text", ["", "t_", "t_AAAA", "t_ü", "x" * 5000, "t_" + "A" * 5000, "t_\0"])
async def test_what_is_no_ticket_is_refused(tickets, text):
    with pytest.raises(Unauthenticated):
        await tickets.redeem(text)


async def test_a_ticket_of_another_store_is_refused(tickets, keyring, clock, tmp_path):
    from streamd.store import open_store

    elsewhere = open_store(tmp_path / "other.db", tmp_path / "key2")
    shared = SharedByStore(elsewhere.access, Metrics(), clock)
    ticket = await Tickets(keyring, shared, clock).issue(known(keyring, clock, "stream"))
    with pytest.raises(Unauthenticated, match="not known"):
        await tickets.redeem(ticket)
    shared.close()
    elsewhere.close()


async def test_where_no_key_is_needed_a_ticket_needs_none(tickets):
    who = await tickets.redeem(await tickets.issue(ANYBODY))
    assert (who.tenant, who.key_id) == ("default", None)


async def test_the_secret_is_asked_for_again_after_a_change_of_the_store(
    tickets, keyring: Keyring, clock
):
    who = known(keyring, clock, "stream")
    ticket = await tickets.issue(who)
    tickets.forget_secret()
    assert await tickets.redeem(ticket) == who
