"""A process that writes to a store, is killed at any moment, and what must be there afterwards."""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from databases import Place

import streamd

ENROLMENTS = 3

# It enrols a voice and adds a key in turn, and names each once the call has returned.
WRITING = """
import sys
from pathlib import Path
import numpy as np
from streamd.store import Enrolment, open_store
from streamd.store.access import KeyRecord

folder, number = Path(sys.argv[1]), int(sys.argv[2])
if {needs_postgres}:
    from streamd.store import postgres
store = {opening}
while True:
    vectors = np.random.default_rng(number).standard_normal((3, 256)).astype(np.float32)
    voice = [Enrolment(vector, 'm', 'wide', 1000, 'a.wav') for vector in vectors]
    store.enrol(f'voice {{number}}', voice, {{'mood': b'calm'}})
    print(f'voice {{number}}', flush=True)
    key = KeyRecord(f'id{{number}}', f'key {{number}}', 'default', bytes(32), ('stream',), number)
    store.access.add_key(key)
    print(f'key {{number}}', flush=True)
    number += 1
"""


def kill_writers(
    place: Place, count: int, chance: random.Random, note: Callable[[int], None]
) -> int:
    """Start a writer and kill it, again and again; look at the store after each.

    Returns:
        How many changes were confirmed.
    """
    confirmed: set[str] = set()
    for number in range(count):
        confirmed |= _kill_one(place, 1000 * number, chance)
        _look(place, confirmed, most_unconfirmed=number + 1)
        note(number + 1)
    return len(confirmed)


def _kill_one(place: Place, first: int, chance: random.Random) -> set[str]:
    code = WRITING.format(opening=place.opening, needs_postgres="postgres." in place.opening)
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(place.folder), str(first)],
        env={**os.environ, "PYTHONPATH": str(Path(streamd.__file__).parents[1])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    names = []
    for _ in range(chance.randint(1, 12)):
        names.append(writer.stdout.readline().strip())
        assert names[-1], "the writer ended by itself"
    # Not after the line, when the next change has only begun, but anywhere in one that follows.
    for _ in range(chance.randint(0, 20_000)):
        pass
    writer.kill()
    names += writer.stdout.read().split("\n")
    writer.wait()
    writer.stdout.close()
    return {name for name in names if name}


def _look(place: Place, confirmed: set[str], most_unconfirmed: int) -> None:
    with closing(place.open()) as store:
        speakers, keys = store.speakers(), store.access.keys()
        gallery = store.load_gallery("m", "mood")
        assert store.erase()
    found = {speaker.name for speaker in speakers} | {key.name for key in keys}
    assert confirmed <= found, f"lost: {confirmed - found}"
    assert len(found - confirmed) <= most_unconfirmed, "a writer has one change under way"
    for speaker in speakers:
        assert speaker.enrolments == ENROLMENTS, f"half of {speaker.name}"
        assert speaker.name in gallery.baselines, f"half of {speaker.name}"
    rows = place.sql("SELECT count(*) FROM keys")
    assert rows == [(len(keys),)], "a key that cannot be read"
    rows = place.sql("SELECT count(*) FROM enrolments")
    assert rows == [(ENROLMENTS * len(speakers),)], "enrolments of nobody"
