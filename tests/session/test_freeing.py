"""A session that nobody holds any more is gone at once, with all it had under way."""

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fakes.driving import Player, Stage, enrolled, hum, pcm, tone, word

SOUND = pcm(hum(300), tone(300, 2000), word(), hum(200), tone(2100, 1500))


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def opened() -> Player:
    return Player(Stage(), gallery=lambda: enrolled(anna=300))


def fresh(player: Player) -> None:
    """Nothing was sent yet."""


def ended(player: Player) -> None:
    player.play([SOUND, ("gap", 500), SOUND, ("flush", "f"), ("config", {"speaker": {}}), SOUND])


def speaking(player: Player) -> None:
    player.play([SOUND], end=False)


def enrolling(player: Player) -> None:
    """A voice is on its way to the store, and the session waits."""
    fields = {"speaker": "Ada", "utterances": ["u1"]}
    turn = pcm(tone(2100, 2500), hum(600))
    player.play([turn, ("enrol", fields), SOUND, ("enrol", fields)], end=False)
    assert player.session.take_enrolment() is not None
    assert player.of("enrolled") == player.of("error") == []


def with_all_jobs_out(player: Player) -> None:
    """Every kind of mark waits, and the engine answers nothing."""
    session = player.session
    session.receive_audio(SOUND)
    player.pump()
    session.receive_flush("f")
    session.receive_gap(500)
    session.receive_config({"speaker": {"hop_ms": 300}, "wake": False})
    session.receive_audio(SOUND)
    session.receive_end()
    player.pump()
    assert player.stage.waiting


def with_one_pass_behind(name: str) -> Callable[[Player], None]:
    def drive(player: Player) -> None:
        session, stage, held = player.session, player.stage, []
        for message in (SOUND, None, SOUND):
            if message is None:
                session.receive_flush("f")
            else:
                session.receive_audio(message)
            player.pump()
            while stage.is_busy:
                held += [w for w in stage.waiting if w[1].pass_name == name]
                stage.waiting = [w for w in stage.waiting if w[1].pass_name != name]
                stage.step()
        assert held

    return drive


@pytest.mark.parametrize(
    "drive",
    [
        fresh,
        ended,
        speaking,
        enrolling,
        with_all_jobs_out,
        *(
            pytest.param(with_one_pass_behind(name), id=f"without_{name}")
            for name in ("vad", "wake", "voice")
        ),
    ],
)
def test_a_session_is_freed_without_the_garbage_collector(drive: Callable[[Player], Any]) -> None:
    player = opened()
    drive(player)
    session = player.session
    parts = [session, session._ring, session._planner, session._history, session._emitter]
    parts += [*session._tracks, *session._paths]
    held = [weakref.ref(part) for part in parts]
    del parts, session
    player.stage.waiting.clear()
    player.stage.answered.clear()
    del player
    assert [ref() for ref in held if ref() is not None] == []
