"""Wake phrases in synthetic voices, for words that nobody recorded.

    python -m benchmarks.accuracy.spoken OUT_DIR

Needs flite, espeak-ng and sox. Writes WAV files and `wake.csv` for `streamd eval wake`.
"""

import argparse
import csv
import subprocess
from pathlib import Path

LENGTHS = ("one minute", "five minutes", "ten minutes", "twenty minutes", "thirty minutes")
TIMERS = (*LENGTHS, "one hour")
PHRASES = {
    "timer": [
        *(f"set a timer for {length}" for length in TIMERS),
        *(f"set a {length.removesuffix('s')} timer" for length in TIMERS),
    ],
    "weather": [
        "what's the weather",
        "what is the weather today",
        "how is the weather tomorrow",
        "tell me the weather",
        "what will the weather be like",
        "what's today's weather forecast",
    ],
    "hey_jarvis": ["hey jarvis"] * 3,
    "hey_marvin": ["hey marvin"] * 3,
}
PACES = (1.0, 0.85, 1.2)
"""Of a phrase that is said more than once; more is slower."""
FLITE = ("kal16", "awb", "rms", "slt")
ESPEAK = ("en-us", "en-gb", "en-us+f3")


def main():
    parser = argparse.ArgumentParser(prog="benchmarks.accuracy.spoken", description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for word, phrases in PHRASES.items():
        for number, phrase in enumerate(phrases):
            pace = PACES[number] if phrases.count(phrase) > 1 else 1.0
            for voice in (*FLITE, *ESPEAK):
                name = f"{word}_{number}_{voice}.wav"
                say(phrase, voice, pace, out / name)
                rows.append((name, word, voice))
    with (out / "wake.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "label", "speaker"), *rows])
    print(f"{out / 'wake.csv'}: {len(rows)} rows")


def say(phrase, voice, pace, path):
    """With a second of silence before and behind."""
    raw = path.with_suffix(".raw.wav")
    if voice in FLITE:
        how = ["flite", "-voice", voice, "--setf", f"duration_stretch={pace}", "-t", phrase, "-o"]
        subprocess.run([*how, raw], check=True)
    else:
        speed = str(round(165 / pace))
        subprocess.run(["espeak-ng", "-v", voice, "-s", speed, "-w", raw, phrase], check=True)
    shape = ["-r", "16000", "-b", "16", "-c", "1", path, "gain", "-6", "pad", "1", "1"]
    subprocess.run(["sox", "-D", raw, *shape], check=True)
    raw.unlink()


if __name__ == "__main__":
    main()
