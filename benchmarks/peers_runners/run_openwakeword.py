"""openWakeWord, ONNX: a `Model` per connection, 80 ms to each `predict`."""

from pathlib import Path

import job
import openwakeword
from openwakeword.model import Model

STEP = 1280
THRESHOLD = 0.5
MODELS = Path(openwakeword.__file__).parent / "resources" / "models"


class Connection:
    def __init__(self, words):
        # It gives its own sessions one thread each.
        self._model = Model(wakeword_model_paths=[str(MODELS / f"{w}_v0.1.onnx") for w in words])
        self.detections = job.Detections()
        self._samples = 0

    def process(self, chunk):
        scores = self._model.predict(chunk)
        self._samples += len(chunk)
        for name, score in scores.items():
            at_ms = self._samples * 1000 // job.RATE_HZ
            self.detections.add(name.removesuffix("_v0.1"), score >= THRESHOLD, at_ms)


def run(audio, wanted):
    connections = [Connection(wanted["words"]) for _ in audio]
    return job.play(connections, audio, STEP) | {"found": job.found(connections)}


if __name__ == "__main__":
    job.answer(run)
