"""What a store confirmed is there, whole, after its writer was killed in the middle of the next."""

import random

from confirming import kill_writers
from databases import Place


def test_a_killed_writer_leaves_nothing_half_written_and_loses_nothing_confirmed(
    place: Place,
) -> None:
    assert kill_writers(place, 10, random.Random(17), lambda done: None) >= 10
