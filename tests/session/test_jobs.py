"""What a session gives to the engine is plain data: it can cross to another process and back."""

import pickle
from typing import Any

import numpy as np
import pytest
from fakes.driving import (
    Player,
    Stage,
    assert_same_events,
    hum,
    pcm,
    silence,
    tone,
    word,
)

from streamd.types import Job, WindowRequest

AUDIO = pcm(hum(300), word(), tone(300, 2600), silence(900), tone(700, 1100), silence(400))
ITEMS = [AUDIO[:70_000], ("flush", "f"), AUDIO[70_000:120_000], ("gap", 40), AUDIO[120_000:]]


class Crossing(Player):
    """A client whose jobs reach the engine as copies."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.jobs: list[Job] = []

    def pump(self) -> None:
        super().pump()
        copies = {id(job) for job in self.jobs}
        for place, (player, job) in enumerate(self.stage.waiting):
            if id(job) not in copies:
                self.jobs.append(pickle.loads(pickle.dumps(job)))
                self.stage.waiting[place] = player, self.jobs[-1]


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_a_session_gives_the_same_events_if_its_jobs_are_copies(seed: int | None) -> None:
    crossing = Crossing(Stage(seed=seed))
    assert_same_events(crossing.play(ITEMS), Player(Stage()).play(ITEMS))
    assert {job.pass_name for job in crossing.jobs} >= {"vad", "wake", "voice"}


def test_a_job_holds_names_integers_and_arrays() -> None:
    crossing = Crossing(Stage(seed=2))
    crossing.play(ITEMS)
    requests = [job.options for job in crossing.jobs if isinstance(job.options, WindowRequest)]
    assert any(isinstance(request.begun, np.ndarray) for request in requests)
    for job in crossing.jobs:
        fields = [getattr(job, name) for name in Job.__slots__]
        fields += job.options if isinstance(job.options, tuple) else ()
        for value in fields:
            assert isinstance(value, int | str | frozenset | np.ndarray | tuple | None)


def test_no_two_jobs_that_are_out_have_the_same_key() -> None:
    stage = Stage(seed=5, slow="voice")
    player = Crossing(stage)
    seen = 0
    for start in range(0, len(AUDIO), 3200):
        player.send(AUDIO[start : start + 3200])
        out = [job.key for _, job in stage.waiting] + [job.key for _, job, _ in stage.answered]
        assert len(set(out)) == len(out)
        seen = max(seen, len(out))
    player.end()
    assert seen > 2
