"""Open sockets by key."""

from contextlib import ExitStack

from streamd.access.presence import Presence
from streamd.access.principal import ANYBODY, Principal
from streamd.errors import Unauthenticated

ONE = Principal("acme", frozenset({"stream"}), "one")
OTHER = Principal("acme", frozenset({"stream"}), "other")


def test_a_key_is_full_at_its_bound_and_no_other_key_is():
    presence = Presence(2)
    with ExitStack() as stack:
        for _ in range(2):
            assert not presence.is_full(ONE)
            stack.enter_context(presence.enter(ONE))
            stack.enter_context(presence.enter(ANYBODY))
        assert presence.is_full(ONE)
        assert not presence.is_full(OTHER)
        assert not presence.is_full(ANYBODY)
    assert not presence.is_full(ONE)
    assert not presence._visits
    assert not presence._counts


def test_without_a_bound_no_key_is_full():
    presence = Presence(0)
    with presence.enter(ONE):
        assert not presence.is_full(ONE)


def test_only_the_sockets_of_keys_that_are_invalid_end_and_only_once():
    presence = Presence(0)
    ended: list[tuple[str, Unauthenticated]] = []
    with ExitStack() as stack:
        for name, principal in (("one", ONE), ("other", OTHER), ("anybody", ANYBODY)):
            visit = stack.enter_context(presence.enter(principal))
            visit.on_end(lambda error, name=name: ended.append((name, error)))
        for _ in range(2):
            presence.end_where(lambda key_id: key_id == "one")
    ((name, error),) = ended
    assert name == "one"
    assert error.close_code == 4001


def test_a_socket_that_opens_while_its_key_is_revoked_ends_too():
    presence = Presence(0)
    ended: list[Unauthenticated] = []
    with presence.enter(ONE) as visit:
        presence.end_where(lambda key_id: True)
        visit.on_end(ended.append)
    assert len(ended) == 1
