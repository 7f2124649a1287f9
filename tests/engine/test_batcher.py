"""Which jobs run together, and which wait: policy without clocks or threads."""

import math

from streamd.engine.batcher import Batcher, QueueStatistics
from streamd.types import Lane

Queue = Batcher[str]


def everybody(item: str) -> bool:
    return True


def fill(*entries: tuple[str, Lane, str]) -> Queue:
    """Items that came one second after the other."""
    batcher: Queue = Batcher({"vad": 3, "wake": 2, "voice": 2})
    for now, (name, lane, item) in enumerate(entries):
        batcher.add(name, lane, item, float(now))
    return batcher


def taken(batcher: Queue, *passes: str) -> tuple[str, list[str]] | None:
    batch = batcher.take(passes, everybody)
    return batch and (batch[0], [item for _, item in batch[1]])


def test_nothing_waits_and_nothing_is_taken() -> None:
    assert taken(fill(), "vad", "voice") is None
    assert taken(fill(("vad", Lane.LIVE, "a")), "voice") is None


def test_the_better_lane_goes_first_then_the_older_item() -> None:
    batcher = fill(
        ("voice", Lane.INTERIM, "old"),
        ("voice", Lane.FINAL, "final"),
        ("wake", Lane.LIVE, "w"),
        ("vad", Lane.LIVE, "v"),
    )
    passes = ("voice", "vad", "wake")
    assert taken(batcher, *passes) == ("wake", ["w"])
    assert taken(batcher, *passes) == ("vad", ["v"])
    assert taken(batcher, *passes) == ("voice", ["final", "old"])
    assert taken(batcher, *passes) is None


def test_finals_overtake_interims_within_a_batch() -> None:
    batcher = fill(
        *[("voice", Lane.INTERIM, f"i{n}") for n in range(3)],
        *[("voice", Lane.FINAL, f"f{n}") for n in range(3)],
    )
    assert [taken(batcher, "voice") for _ in range(3)] == [
        ("voice", ["f0", "f1"]),
        ("voice", ["f2", "i0"]),
        ("voice", ["i1", "i2"]),
    ]


def test_no_batch_is_larger_than_its_pass_takes() -> None:
    batcher = fill(*[("vad", Lane.LIVE, str(n)) for n in range(7)])
    sizes = []
    while (batch := taken(batcher, "vad")) is not None:
        sizes.append(len(batch[1]))
    assert sizes == [3, 3, 1]


def test_items_keep_the_time_they_were_queued_at() -> None:
    batcher = fill(("vad", Lane.LIVE, "a"), ("vad", Lane.LIVE, "b"))
    assert batcher.take(["vad"], everybody) == ("vad", [(0.0, "a"), (1.0, "b")])


def test_items_whose_session_is_gone_are_dropped_and_take_no_place() -> None:
    batcher = fill(*[("voice", Lane.FINAL, n) for n in ("gone", "a", "gone", "b", "gone")])
    asked: list[str] = []

    def keep(item: str) -> bool:
        asked.append(item)
        return item != "gone"

    batch = batcher.take(["voice"], keep)
    assert batch is not None
    assert [item for _, item in batch[1]] == ["a", "b"]
    assert batcher.take(["voice"], keep) is None
    assert asked == ["gone", "a", "gone", "b", "gone"]


def test_a_pass_with_nothing_but_dropped_items_does_not_hide_another() -> None:
    batcher = fill(("vad", Lane.LIVE, "gone"), ("wake", Lane.LIVE, "w"))
    batch = batcher.take(["vad", "wake"], lambda item: item != "gone")
    assert batch == ("wake", [(1.0, "w")])


def test_it_says_how_much_waits_and_for_how_long() -> None:
    statistics = fill(("voice", Lane.FINAL, "a"), ("voice", Lane.FINAL, "b")).statistics(5.0)
    assert statistics["voice", Lane.FINAL] == QueueStatistics(2, 5.0)
    assert statistics["vad", Lane.LIVE] == QueueStatistics(0, 0.0)


def test_an_item_that_may_wait_is_not_due_before_its_time_or_a_full_batch():
    batcher: Queue = Batcher({"vad": 3})
    batcher.add("vad", Lane.LIVE, "a", 1.0, wait_s=0.5)
    assert batcher.due(["vad"]) == 1.5
    assert batcher.take(["vad"], everybody, now=1.4) is None
    assert batcher.take(["vad"], everybody, now=1.5) == ("vad", [(1.0, "a")])
    assert batcher.due(["vad"]) == math.inf
    for item in "bcd":
        batcher.add("vad", Lane.LIVE, item, 2.0, wait_s=0.5)
    assert batcher.due(["vad"]) == 2.0


def test_an_item_in_a_hurry_takes_along_those_that_could_wait():
    batcher: Queue = Batcher({"vad": 3})
    batcher.add("vad", Lane.LIVE, "patient", 1.0, wait_s=0.5)
    batcher.add("vad", Lane.LIVE, "hurried", 1.1)
    assert batcher.take(["vad"], everybody, now=1.1) == (
        "vad",
        [(1.0, "patient"), (1.1, "hurried")],
    )
