"""A change is whole or not at all, wherever the process is killed."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from daemons import DATA, environment

import streamd
from streamd.store import open_store

SPEECH = [str(DATA / f"speech_{voice}.flac") for voice in ("slt", "rms")]

CHANGES = {
    "enrol": "store.enrol('new', [enrolment(n) for n in range(3)], {'mood': b'calm'})",
    "enrol more": "store.enrol('old', [enrolment(n) for n in range(3)], {'mood': b'calm'})",
    "rename": "store.rename('old', 'other')",
    "delete": "store.delete('old')",
    "add a word": "store.add_word(word('hey_you'))",
    "replace a word": "store.add_word(word('hey_old', 9), replace=True)",
    "remove a word": "store.remove_word('hey_old')",
    "add a key": "store.access.add_key(key('new'))",
    "revoke a key": "store.access.revoke_key('box', 7)",
    "burn a ticket": "store.access.burn('t', 9, 1)",
    "count a use": "store.access.count('b', 5, 1000, 1)",
    "keep an answer": "store.access.keep_answer('t', 'k', Answer(b'r', 200, 't', b'b'), 9, 1)",
    "keep baselines": "store.keep_baselines('mood', {'old': b'x', 'twin': b'y'})",
}

# Each attempt is a child of its own, which kills itself before its n-th statement.
KILLING = """
import os, shutil, signal, sys
from pathlib import Path
import numpy as np
from streamd.engine.passes.heads import WordHead
from streamd.modules.words import CustomWord, WordEstimate, WordInfo
from streamd.store import Enrolment, open_store
from streamd.store.access import Answer, KeyRecord

def key(name):
    return KeyRecord(name, name, 'default', bytes(32), ('stream',), 1)

def enrolment(n):
    return Enrolment(np.eye(4, dtype=np.float32)[n], 'm', 'wide', 1000 + n, f'{n}.wav')

def word(name, clips=5):
    estimate = WordEstimate(missed=1, tries=20, missed_clean=0, tries_clean=5, false_accepts=2,
                            negatives_s=3600)
    info = WordInfo(name=name, clips=clips, phrase_ms=640, threshold=0.5, estimate=estimate,
                    training_data='clips')
    return CustomWord(info, WordHead(np.ones((16, 96), np.float32), -1.5).pack())

def opened(folder):
    return open_store(folder / 'v.db', folder / 'key')

def dump(store):
    gallery = store.load_gallery('m', 'mood')
    words = {name: w.info.clips for name, w in store.load_words().items()}
    voices = [(s.name, s.enrolments, s.speech_ms) for s in store.speakers()]
    with store._database.reading() as db:
        shared = [db.execute(f'SELECT * FROM {table}').fetchall() for table in ('tickets', 'uses')]
    answer = store.access.answered('t', 'k', 1)
    return repr(
        (voices, sorted(gallery.baselines.items()), words, store.access.keys(), shared, answer)
    )

folder, change = Path(sys.argv[1]), sys.argv[2]
first = folder / 'first'
store = opened(first)
store.enrol('old', [enrolment(0), enrolment(1)], {'mood': b'old'})
store.enrol('twin', [enrolment(2)])
store.add_word(word('hey_old'))
store.access.add_key(key('box'))
before = dump(store)
store.close()

def run(attempt, kill_at):
    count = 0
    def count_statement(_):
        nonlocal count
        count += 1
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
    store = opened(attempt)
    store._database._connection.set_trace_callback(count_statement)
    eval(change)
    os._exit(0)

outcomes = []
for kill_at in range(1, 100):
    attempt = folder / f'attempt-{kill_at}'
    shutil.copytree(first, attempt)
    child = os.fork() or run(attempt, kill_at)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    store = opened(attempt)
    outcomes.append(dump(store))
    assert store.erase()
    store.close()
    if status == 0:
        break
after = outcomes[-1]
assert after != before
assert set(outcomes) == {before, after}, set(outcomes)
print(len(outcomes), outcomes.index(after))
"""


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_process_that_is_killed_leaves_a_change_whole_or_undone(
    tmp_path: Path, change: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", KILLING, str(tmp_path), change],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(streamd.__file__).parents[1]),
            "OPENBLAS_NUM_THREADS": "1",  # a thread at the time of a fork is a warning
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    attempts, undone = map(int, done.stdout.split())
    assert attempts > undone >= 2


KILLED_COMMAND = """
import os, signal, sqlite3, sys
import streamd.store.sqlite.database as database
from streamd.cli import main

connect = database.connect

def watched(path):
    connection = connect(path)
    def kill(statement):
        if statement.startswith('INSERT INTO baselines'):
            os.kill(os.getpid(), signal.SIGKILL)
    connection.set_trace_callback(kill)
    return connection

database.connect = watched
sys.argv = ['streamd', 'enroll', 'ada', *sys.argv[1:]]
main()
"""


@pytest.mark.models
def test_enroll_that_is_killed_at_its_last_record_leaves_nobody_enrolled(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_COMMAND, *SPEECH],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    with closing(open_store(tmp_path / "streamd.db", tmp_path / "key")) as store:
        assert store.speakers() == []
    with closing(sqlite3.connect(tmp_path / "streamd.db")) as db:
        assert db.execute("SELECT count(*) FROM enrolments").fetchone() == (0,)
