"""What a client does after each close and refusal, and how long it waits."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.client.backoff import CAP_S, RESTART_S, SLOWER_S, Backoff
from streamd.client.recovery import Next, after
from streamd.client.refusal import RefusedByServer


@pytest.mark.parametrize(
    ("close_code", "step"),
    [
        (1001, Next.AFRESH),
        (1009, Next.STOP),
        (1011, Next.RESUME),
        (1012, Next.AFRESH),
        (4000, Next.STOP),
        (4001, Next.STOP),
        (4002, Next.STOP),
        (4003, Next.STOP),
        (4004, Next.AFRESH),
        (4005, Next.STOP),
        (4008, Next.RESUME),
        (4009, Next.STOP),
        (4010, Next.RESUME),
        (4011, Next.AFRESH),
        (4012, Next.AGAIN),
        (4013, Next.AGAIN),
        (4014, Next.RESUME),
        (4999, Next.STOP),
    ],
)
def test_every_close_has_its_next_step(close_code, step):
    assert after(RefusedByServer("", code="", close_code=close_code)) is step


@pytest.mark.parametrize(
    ("status", "step"),
    [(401, Next.STOP), (403, Next.STOP), (404, Next.STOP), (429, Next.AGAIN), (503, Next.AGAIN)],
)
def test_a_refused_upgrade_is_tried_again_only_if_that_can_help(status, step):
    assert after(RefusedByServer("", code="", status=status)) is step


def test_a_server_that_fails_twice_on_the_same_audio_is_left_alone():
    failed = RefusedByServer("", code="internal", close_code=1011)
    assert [after(failed, faults) for faults in (1, 2)] == [Next.RESUME, Next.STOP]


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_waits_grow_to_a_cap_and_are_never_the_same_for_all(seed, attempts):
    backoff = Backoff(random.Random(seed).uniform)
    waits = [backoff.next_s() for _ in range(attempts)]
    assert all(0 <= wait_s <= CAP_S for wait_s in waits)
    longest = Backoff(lambda low, high: high)
    most = [longest.next_s() for _ in range(attempts)]
    assert most == sorted(most)
    assert all(wait_s <= bound for wait_s, bound in zip(waits, most, strict=True))


def test_a_good_connection_starts_the_waits_anew():
    backoff = Backoff(lambda low, high: high)
    first = backoff.next_s()
    assert backoff.next_s() > first
    backoff.reset()
    assert backoff.next_s() == first


@given(st.integers(0, 2**32), st.integers(0, 60_000), st.booleans())
def test_nobody_comes_back_before_the_server_asked(seed, retry_after_ms, restarted):
    wait_s = Backoff(random.Random(seed).uniform).next_s(retry_after_ms, restarted=restarted)
    least_s = (RESTART_S[0] if restarted else 0) + retry_after_ms / 1000
    assert wait_s >= least_s


@given(st.integers(0, 2**32), st.integers(0, 60_000), st.integers(0, 20))
def test_who_was_too_fast_waits_longer_than_who_was_not(seed, retry_after_ms, failed):
    backoff = Backoff(random.Random(seed).uniform)
    for _ in range(failed):
        backoff.next_s()
    wait_s = backoff.next_s(retry_after_ms, too_fast=True) - retry_after_ms / 1000
    assert SLOWER_S[0] - 1e-6 <= wait_s <= CAP_S + 1e-6
