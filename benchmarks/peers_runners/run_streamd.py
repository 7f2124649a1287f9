"""streamd's session and engine in one thread, without a socket: what libraries are, of its own."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import job
import modules

from streamd.compose import make_parts
from streamd.config import Config
from streamd.config.sections import EngineConfig
from streamd.models.library import Library


def run(audio, wanted):
    parts = make_parts(Config(engine=EngineConfig(threads=1)), Library())
    spent_s = modules.run(parts, wanted["modules"], list(audio))
    return {"cpu_s": spent_s, "rss_bytes": job.rss_bytes("self")}


if __name__ == "__main__":
    job.answer(run)
