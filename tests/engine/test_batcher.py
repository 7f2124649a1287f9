"""Which jobs run together, and which wait: policy without clocks or threads."""

import pytest

from streamd.engine.base import Rank
from streamd.engine.batcher import ALONE_S, BEHIND_S, BEHIND_SHARE, Batcher
from streamd.types import Lane

Queue = Batcher[str]


def fill(*entries: tuple[str, Lane, str]) -> Queue:
    """Items that came one second after the other."""
    batcher: Queue = Batcher({"vad": 3, "wake": 2, "voice": 2})
    for now, (name, lane, item) in enumerate(entries):
        batcher.add(name, lane, item, float(now))
    return batcher


def taken(batcher: Queue, *passes: str) -> tuple[str, list[str]] | None:
    batch = batcher.take(passes, 99.0)
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
    assert batcher.take(["vad"], 99.0) == ("vad", [(0.0, "a"), (1.0, "b")])


def test_items_that_nobody_waits_for_take_no_place_in_a_batch() -> None:
    batcher = fill(*[("voice", Lane.FINAL, n) for n in ("gone", "a", "gone", "b", "gone")])
    assert batcher.drop(lambda item: item == "gone") == 3
    assert taken(batcher, "voice") == ("voice", ["a", "b"])
    assert taken(batcher, "voice") is None


def test_a_pass_with_nothing_but_dropped_items_does_not_hide_another() -> None:
    batcher = fill(("vad", Lane.LIVE, "gone"), ("wake", Lane.LIVE, "w"))
    batcher.drop(lambda item: item == "gone")
    assert batcher.take(["vad", "wake"], 99.0) == ("wake", [(1.0, "w")])


def test_the_depth_of_a_queue_is_how_many_items_wait() -> None:
    depths = fill(("voice", Lane.FINAL, "a"), ("voice", Lane.FINAL, "b")).depths()
    assert depths["voice", Lane.FINAL] == 2
    assert depths["vad", Lane.LIVE] == 0


def test_sizes_add_up_to_what_a_pass_takes_or_an_item_goes_alone():
    batcher: Queue = Batcher({"wake": 8})
    for item, size in (("replay", 26), ("a", 1), ("b", 6), ("c", 2)):
        batcher.add("wake", Lane.LIVE, item, 0.0, size)
    assert [taken(batcher, "wake") for _ in range(4)] == [
        ("wake", ["replay"]),
        ("wake", ["a", "b"]),
        ("wake", ["c"]),
        None,
    ]


def test_a_patient_pass_waits_for_a_full_batch_and_not_too_long() -> None:
    batcher: Queue = Batcher({"speculative": 3, "voice": 2}, {"speculative": 0.5})
    batcher.add("speculative", Lane.SPECULATIVE, "a", 10.0)
    batcher.add("speculative", Lane.SPECULATIVE, "b", 10.2)
    assert batcher.take(["speculative", "voice"], 10.4) is None
    batcher.add("voice", Lane.INTERIM, "v", 10.4)
    assert batcher.take(["speculative", "voice"], 10.4) == ("voice", [(10.4, "v")])
    batcher.add("speculative", Lane.SPECULATIVE, "c", 10.4)
    batcher.add("speculative", Lane.SPECULATIVE, "d", 10.4)
    full = batcher.take(["speculative"], 10.4)
    assert full == ("speculative", [(10.0, "a"), (10.2, "b"), (10.4, "c")])
    assert batcher.take(["speculative"], 10.8) is None
    assert batcher.take(["speculative"], 10.9) == ("speculative", [(10.4, "d")])


def test_what_nobody_waits_for_is_taken_out() -> None:
    batcher: Queue = Batcher({"speculative": 3}, {"speculative": 0.5})
    for item in "abc":
        batcher.add("speculative", Lane.SPECULATIVE, item, 1.0)
    batcher.drop(lambda item: item == "b")
    assert batcher.take(["speculative"], 9.0) == ("speculative", [(1.0, "a"), (1.0, "c")])


def test_items_that_stand_behind_go_after_all_others_whatever_their_lane() -> None:
    batcher: Queue = Batcher({"voice": 4, "wake": 4})
    batcher.add("voice", Lane.FINAL, "file", 0.0, rank=Rank.AHEAD)
    batcher.add("voice", Lane.INTERIM, "person", 1.0)
    assert batcher.take(["voice"], 1.0) == ("voice", [(1.0, "person")])
    assert batcher.take(["voice"], 1.0) == ("voice", [(0.0, "file")])
    assert batcher.take(["voice"], 1.0) is None


@pytest.mark.parametrize(("since_s", "size"), [(0.0, 4), (ALONE_S - 0.1, 4), (ALONE_S, 10)])
def test_items_that_stand_behind_make_short_batches_beside_others(
    since_s: float, size: int
) -> None:
    batcher: Queue = Batcher({"wake": 4 * BEHIND_SHARE})
    batcher.add("wake", Lane.LIVE, "person", 0.0)
    batcher.take(["wake"], 0.0)
    for number in range(10):
        batcher.add("wake", Lane.LIVE, str(number), 0.0, rank=Rank.AHEAD)
    taken = batcher.take(["wake"], since_s)
    assert taken is not None
    assert len(taken[1]) == size


def test_items_that_stand_behind_make_full_batches_where_there_are_no_others() -> None:
    batcher: Queue = Batcher({"wake": 4})
    for number in range(5):
        batcher.add("wake", Lane.LIVE, str(number), 0.0, rank=Rank.AHEAD)
    taken = batcher.take(["wake"], 0.0)
    assert taken is not None
    assert len(taken[1]) == 4


def test_items_that_stand_behind_may_be_left() -> None:
    batcher: Queue = Batcher({"wake": 8})
    batcher.add("wake", Lane.LIVE, "file", 0.0, rank=Rank.AHEAD)
    assert batcher.take(["wake"], 0.0, ranks=[Rank.LIVE]) is None
    assert batcher.is_waiting("wake")
    assert batcher.take(["wake"], 0.0) == ("wake", [(0.0, "file")])


def test_an_item_does_not_stand_behind_for_ever() -> None:
    batcher: Queue = Batcher({"wake": 8})
    batcher.add("wake", Lane.LIVE, "file", 0.0, rank=Rank.AHEAD)
    batcher.add("wake", Lane.LIVE, "person", BEHIND_S - 0.1)
    assert batcher.take(["wake"], BEHIND_S + 0.1) == ("wake", [(0.0, "file")])


def test_items_that_stand_behind_are_counted_with_their_lane() -> None:
    batcher: Queue = Batcher({"wake": 8})
    batcher.add("wake", Lane.LIVE, "file", 1.0, rank=Rank.AHEAD)
    batcher.add("wake", Lane.LIVE, "person", 2.0)
    assert batcher.depths()["wake", Lane.LIVE] == 2


def test_files_go_after_all_streams_however_long_they_wait() -> None:
    batcher: Queue = Batcher({"wake": 8})
    batcher.add("wake", Lane.LIVE, "file", 0.0, rank=Rank.FILE)
    batcher.add("wake", Lane.LIVE, "fast", 1.0, rank=Rank.AHEAD)
    batcher.add("wake", Lane.LIVE, "person", 99.0)
    now = 100.0
    assert batcher.take(["wake"], now) == ("wake", [(1.0, "fast")])  # it has waited long enough
    assert batcher.take(["wake"], now) == ("wake", [(99.0, "person")])
    assert batcher.take(["wake"], now, ranks=[Rank.LIVE, Rank.AHEAD]) is None
    assert batcher.depth(Rank.FILE) == 1
    assert batcher.take(["wake"], now) == ("wake", [(0.0, "file")])
    assert batcher.behind == batcher.depth(Rank.FILE) == 0


@pytest.mark.parametrize("better", [Rank.LIVE, Rank.AHEAD])
def test_files_get_full_batches_where_there_are_no_streams(better: Rank) -> None:
    batcher: Queue = Batcher({"wake": 4 * BEHIND_SHARE})
    batcher.add("wake", Lane.LIVE, "stream", 0.0, rank=better)
    for number in range(30):
        batcher.add("wake", Lane.LIVE, str(number), 0.0, rank=Rank.FILE)
    sizes = []
    for now in (0.0, ALONE_S / 2, ALONE_S):
        batch = batcher.take(["wake"], now)
        assert batch is not None
        sizes.append(len(batch[1]))
    assert sizes == [1, 4, 4 * BEHIND_SHARE]


def test_items_of_files_that_nobody_waits_for_are_dropped() -> None:
    batcher: Queue = Batcher({"wake": 8})
    for item in ("a", "gone", "b"):
        batcher.add("wake", Lane.LIVE, item, 0.0, rank=Rank.FILE)
    assert batcher.drop(lambda item: item == "gone") == 1
    assert batcher.behind == 2
    assert taken(batcher, "wake") == ("wake", ["a", "b"])
