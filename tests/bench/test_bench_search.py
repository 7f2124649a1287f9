"""The search for the largest number of streams that holds."""

import pytest

from streamd.bench.search import BISECTIONS, Search


def tried(capacity: int, start: int = 8, most: int = 4096) -> tuple[list[int], Search]:
    """What a search tries where exactly `capacity` holds."""
    search, found = Search(start, most), []
    while (streams := search.next()) is not None:
        found.append(streams)
        search.tell(streams, streams <= capacity)
    return found, search


def test_it_grows_by_doubling_and_then_bisects() -> None:
    found, search = tried(40)
    assert found == [8, 16, 32, 64, 48, 40, 44, 42]
    assert (search.held, search.broke) == (40, 42)


@pytest.mark.parametrize("capacity", [1, 2, 3, 7, 8, 9, 15, 31, 32, 33, 100, 1000, 2047])
def test_it_ends_near_the_truth_and_never_above(capacity: int) -> None:
    found, search = tried(capacity)
    assert search.held <= capacity < search.broke
    assert capacity - search.held <= max(1, capacity / 2**BISECTIONS)
    assert len(found) == len(set(found))


def test_it_halves_where_the_start_is_too_much() -> None:
    found, search = tried(3, start=32)
    assert found[:4] == [32, 16, 8, 4]
    assert search.held == 3


def test_not_even_one() -> None:
    found, search = tried(0, start=4)
    assert found == [4, 2, 1]
    assert search.held == 0


def test_it_stops_at_the_most() -> None:
    found, search = tried(10_000, start=8, most=50)
    assert found == [8, 16, 32, 50]
    assert (search.held, search.broke) == (50, None)


def test_a_contradiction_does_not_make_it_run_for_ever() -> None:
    search = Search(8, 64)
    for streams, has_held in ((8, True), (16, False), (12, False), (10, True), (11, True)):
        assert search.next() == streams
        search.tell(streams, has_held)
    assert search.next() is None
    assert search.held == 11
