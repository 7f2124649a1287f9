"""Keys: which text is one, and for whom."""

import dataclasses
import hashlib
import hmac
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.access import keys
from streamd.access.keys import KEY_CHARS, Keyring, check_key_name, new_key
from streamd.access.principal import ANYBODY, NOBODY, SCOPES, Principal
from streamd.errors import BadName, Forbidden, Unauthenticated
from streamd.store.access import KeyRecord


def made(clock, name="home", tenant="acme", scopes=("stream",), expires_ms=None):
    return new_key(name, tenant, scopes, clock(), expires_ms)


def test_a_key_says_who_shows_it(clock, keyring):
    text, record = made(clock, scopes=("enrol", "stream"))
    keyring.replace([record])
    who = keyring.principal(text)
    assert who == Principal("acme", frozenset({"stream", "enrol"}), record.id, "home")
    assert who.may("stream")
    assert not who.may("admin")


def test_the_store_cannot_bring_a_key_back(clock):
    text, record = made(clock)
    assert re.fullmatch(r"sk_[A-Za-z0-9]{12}_[A-Za-z0-9]{43}", text)
    secret = text.rpartition("_")[2]
    assert record.digest == hashlib.sha256(secret.encode()).digest()
    assert secret not in repr(record)


def test_two_keys_differ_in_both_parts(clock):
    (one, first), (other, second) = made(clock), made(clock)
    assert first.id != second.id
    assert one[-43:] != other[-43:]


def test_only_the_whole_key_is_good(clock, keyring):
    text, record = made(clock)
    _, other = made(clock, name="other")
    keyring.replace([record, other])
    last = "a" if text[-1] != "a" else "b"
    for wrong in (
        "",
        text[:-1],
        text + "a",
        text[:-1] + last,
        text.upper(),
        f" {text}",
        text.replace(record.id, other.id),
        record.id,
        record.digest.hex(),
        "sk_" + "ü" * 56,
        "sk_" + "\udcff" * 56,
    ):
        with pytest.raises(Unauthenticated):
            keyring.principal(wrong)


@given(st.text(max_size=2 * KEY_CHARS))
def test_no_text_is_a_key_by_chance_or_a_fault(text):
    keyring = Keyring(lambda: 0)
    keyring.replace([new_key("home", "acme", ["stream"], 0)[1]])
    with pytest.raises(Unauthenticated):
        keyring.principal(text)


def test_an_unknown_id_costs_the_same_comparison_as_a_wrong_secret(clock, keyring, monkeypatch):
    compared = []
    really = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return really(one, other)

    monkeypatch.setattr(keys.hmac, "compare_digest", compare)
    text, record = made(clock)
    unknown, _ = made(clock)
    keyring.replace([record])
    errors = set()
    for wrong in (unknown, text[:-43] + unknown[-43:], "nonsense", ""):
        with pytest.raises(Unauthenticated) as refused:
            keyring.principal(wrong)
        errors.add(str(refused.value))
    assert compared == [(32, 32)] * 4
    assert len(errors) == 1


def test_a_revoked_and_an_expired_key_are_good_no_longer(clock, keyring):
    text, record = made(clock, expires_ms=clock() + 1000)
    keyring.replace([record])
    assert keyring.is_valid(record.id)
    clock.now_ms += 1000
    assert not keyring.is_valid(record.id)
    with pytest.raises(Unauthenticated, match="expired"):
        keyring.principal(text)
    clock.now_ms -= 1
    assert keyring.has_valid
    keyring.replace([dataclasses.replace(record, revoked_ms=clock())])
    assert not keyring.has_valid
    with pytest.raises(Unauthenticated, match="revoked"):
        keyring.principal(text)


def test_a_key_that_the_store_no_longer_has_is_unknown(clock, keyring):
    text, record = made(clock)
    keyring.replace([record])
    keyring.replace([])
    assert not keyring.is_valid(record.id)
    with pytest.raises(Unauthenticated):
        keyring.principal(text)


def test_a_record_without_a_digest_opens_nothing(clock, keyring):
    text, record = made(clock)
    keyring.replace([dataclasses.replace(record, digest=b"")])
    with pytest.raises(Unauthenticated):
        keyring.principal(text)


def test_an_unknown_scope_of_a_newer_streamd_gives_nothing(keyring):
    record = KeyRecord("a" * 12, "home", "acme", b"x" * 32, ("root", "stream"), 0)
    keyring.replace([record])
    assert keys._principal(record).scopes == {"stream"}


def test_admin_may_everything_and_nobody_nothing():
    admin = Principal("acme", frozenset({"admin"}), "id")
    for scope in SCOPES:
        admin.require(scope)
        ANYBODY.require(scope)
        with pytest.raises(Forbidden, match=scope):
            NOBODY.require(scope)


@pytest.mark.parametrize("name", ["", " home", "home ", "a\nb", "x" * 65])
def test_a_name_that_no_list_can_show_is_refused(name):
    with pytest.raises(BadName):
        check_key_name(name)


def test_names_may_be_in_any_language():
    assert check_key_name("Küche 1") == "Küche 1"
