"""pymicro-wakeword: features once and a model per word and connection, at the models' cutoffs."""

import job
from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model

STEP = 1280


class Connection:
    def __init__(self, words):
        self._features = MicroWakeWordFeatures()
        self._models = {word: MicroWakeWord.from_builtin(Model(word)) for word in words}
        self.detections = job.Detections()
        self._samples = 0

    def process(self, chunk):
        self._samples += len(chunk)
        at_ms = self._samples * 1000 // job.RATE_HZ
        for features in self._features.process_streaming(chunk.tobytes()):
            for word, model in self._models.items():
                self.detections.add(word, bool(model.process_streaming(features)), at_ms)


def run(audio, wanted):
    connections = [Connection(wanted["words"]) for _ in audio]
    return job.play(connections, audio, STEP) | {"found": job.found(connections)}


if __name__ == "__main__":
    job.answer(run)
