"""openWakeWord, silero-vad and Resemblyzer in one process, objects of each per connection."""

import job
import numpy as np
import run_openwakeword
import run_resemblyzer
import run_silero_vad

STEP = run_openwakeword.STEP
FRAME = run_silero_vad.STEP


class Connection:
    def __init__(self, words, stops):
        self._wake = run_openwakeword.Connection(words)
        self._vad = run_silero_vad.Connection()
        self._voice = run_resemblyzer.Connection(stops)
        self._rest = np.zeros(0, np.int16)
        self.detections = self._wake.detections
        self.embed = self._voice.embed

    def process(self, chunk):
        self._wake.process(chunk)
        self._rest = np.concatenate([self._rest, chunk])
        while len(self._rest) >= FRAME:
            self._vad.process(self._rest[:FRAME])
            self._rest = self._rest[FRAME:]
        self._voice.process(chunk)


def run(audio, wanted):
    connections = [Connection(wanted["words"], stops) for stops in wanted["stops"]]
    connections[0].embed(audio[0, : run_resemblyzer.WINDOW])
    return job.play(connections, audio, STEP) | {"found": job.found(connections)}


if __name__ == "__main__":
    job.answer(run)
