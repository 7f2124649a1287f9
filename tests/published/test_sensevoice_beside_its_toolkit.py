"""SenseVoice answers as FunASR does, on the same checkpoint and the same audio."""

import re
from pathlib import Path

import numpy as np
import pytest
import sensevoice_made
import soundfile
from needs import toolkit

torch = toolkit("torch")
funasr = toolkit("funasr")
sentencepiece = toolkit("sentencepiece")

from streamd.config.sections import TorchConfig  # noqa: E402
from streamd.engine.backends.onnxruntime import OnnxRuntime  # noqa: E402
from streamd.engine.backends.torch import Torch  # noqa: E402
from streamd.engine.sensevoice import frames  # noqa: E402
from streamd.engine.sensevoice.model import SenseVoice, softmax  # noqa: E402
from streamd.models.convert import (  # noqa: E402
    sensevoice,
    sensevoice_files,
    sensevoice_int8,
)
from streamd.models.sensevoice_tags import EMOTIONS, LANGUAGES, NO_EMOTION  # noqa: E402
from streamd.types import RecogniserOptions  # noqa: E402

DATA = Path(__file__).parents[1] / "data"
LENGTHS = (400, 1360, 16_000, 32_090, 100_001, 164_640)
QUERIES = {"auto": 0, "zh": 3, "en": 4, "yue": 7, "ja": 11, "ko": 12}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A directory that torch itself wrote the checkpoint of."""
    made = tmp_path_factory.mktemp("sensevoice") / "SenseVoiceSmall"
    tokens = sensevoice_made.write_texts(made, sensevoice_made.SMALL)
    weights = sensevoice_made.weights(sensevoice_made.SMALL, tokens)
    state = {name: torch.from_numpy(array) for name, array in weights.items()}
    torch.save(state, made / sensevoice_files.CHECKPOINT)
    return made


@pytest.fixture(scope="module")
def theirs(directory):
    """FunASR's own model, as its users load it."""
    return funasr.AutoModel(
        model=str(directory),
        device="cpu",
        disable_update=True,
        disable_pbar=True,
        ncpu=1,
        frontend_conf={"dither": 0.0},
    )


@pytest.fixture(scope="module")
def published(directory):
    return sensevoice_files.read(*sensevoice_made.sources(directory))


@pytest.fixture(scope="module")
def folder(published, tmp_path_factory):
    folder = tmp_path_factory.mktemp("graphs")
    for converter, name in ((sensevoice, "fp32"), (sensevoice_int8, "int8")):
        converter.convert(published, folder / f"{name}.onnx", folder / "pieces.json")
    return folder


@pytest.fixture(scope="module")
def graphs(folder):
    return {name: OnnxRuntime().load(folder / f"{name}.onnx") for name in ("fp32", "int8")}


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return soundfile.read(DATA / "speech_slt.flac", dtype="int16")[0]


def their_logits(theirs, clip: np.ndarray, language: str, itn: bool) -> np.ndarray:
    """The logits of FunASR's model, [4 + T, tokens]."""
    model, frontend = theirs.model, theirs.kwargs["frontend"]
    wave = torch.from_numpy(clip.astype(np.float32) / 32_768)
    speech, lengths = frontend(wave[None], torch.tensor([len(wave)]))
    rows = [model.lid_dict[language], 1, 2, model.textnorm_dict["withitn" if itn else "woitn"]]
    with torch.no_grad():
        queries = model.embed(torch.LongTensor([rows]))
        encoded, _ = model.encoder(torch.cat((queries, speech), dim=1), lengths + 4)
        return model.ctc.ctc_lo(encoded)[0].numpy()


def our_rows(graph, clip: np.ndarray, language: str, itn: bool) -> list[np.ndarray]:
    size = frames.count(len(clip))
    audio = np.zeros((1, frames.padded(size)), np.float32)
    audio[0, : len(clip)] = clip[: audio.shape[1]]
    feed = {"audio": audio, "pick": frames.pick(len(clip))[None], "lengths": np.array([size])}
    asked = {"language": np.array([QUERIES[language]]), "style": np.array([14 if itn else 15])}
    return [row[0] for row in graph({**feed, **asked})]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("language", "itn"), [("auto", False), ("en", True), ("yue", False)])
def test_posteriors_are_funasrs(length, language, itn, theirs, graphs, published, speech):
    logits = their_logits(theirs, speech[:length], language, itn)
    tags = published.pieces.tags()
    posteriors = torch.softmax(torch.from_numpy(logits), dim=-1).numpy()
    for name, tolerance, share in (("fp32", 1e-4, 1.0), ("int8", 0.1, 0.9)):
        languages, emotions, _, tokens, scores = our_rows(
            graphs[name], speech[:length], language, itn
        )
        for row, names, got in (
            (0, (*LANGUAGES, "nospeech"), languages),
            (1, (*EMOTIONS, NO_EMOTION), emotions),
        ):
            want = softmax(logits[row, [tags[one] for one in names]])
            np.testing.assert_allclose(softmax(got), want, atol=tolerance)
        same = tokens == posteriors[4:].argmax(axis=1)
        assert same.mean() >= share
        np.testing.assert_allclose(scores[same], posteriors[4:].max(1)[same], atol=tolerance)


def test_the_text_is_funasrs(theirs, graphs, published, speech):
    model = SenseVoice(graphs["fp32"], published.pieces)
    tokenizer = theirs.kwargs["tokenizer"]
    is_some = False
    for start in range(0, 100_000, 10_000):
        clip = speech[start : start + 40_000]
        for language, itn in (("auto", True), ("ja", False)):
            logits = their_logits(theirs, clip, language, itn)[4:]
            ids = torch.unique_consecutive(torch.from_numpy(logits).argmax(dim=-1)).tolist()
            text = [i for i in ids if i != 0 and published.pieces.is_text(i)]
            (found,) = model.understand([clip], [RecogniserOptions(language, itn)])
            assert found.text == tokenizer.decode(text).strip(" ")
            is_some = is_some or bool(found.text)
    assert is_some


def test_the_whole_of_funasrs_own_path_gives_the_same_text(theirs, graphs, published, speech):
    """From samples to a text with tags, by `generate`; ours is without the tags."""
    model = SenseVoice(graphs["fp32"], published.pieces)
    clip = speech[:48_000]
    wave = clip.astype(np.float32) / 32_768
    (result,) = theirs.generate(wave, language="auto", use_itn=False)
    logits = their_logits(theirs, clip, "auto", False)
    ids = torch.unique_consecutive(torch.from_numpy(logits).argmax(dim=-1)).tolist()
    assert result["text"] == theirs.kwargs["tokenizer"].decode([i for i in ids if i != 0])
    (found,) = model.understand([clip], [RecogniserOptions("auto", itn=False)])
    plain = re.sub(r"<\|[^|]*\|>", "", result["text"])
    assert len(found.text) > 5
    assert plain.replace(" ", "").endswith(found.text.replace(" ", ""))


def test_any_tokens_are_decoded_as_sentencepiece_does(directory, published):
    processor = sentencepiece.SentencePieceProcessor()
    processor.load(str(directory / sensevoice_files.PIECES))
    pieces = published.pieces
    assert [processor.id_to_piece(n) for n in range(len(pieces.texts))] == list(pieces.texts)
    words = [n for n in range(3, len(pieces.texts)) if pieces.is_text(n)]
    rng = np.random.default_rng(3)
    for _ in range(500):
        ids = rng.choice(words, rng.integers(1, 12)).tolist()
        assert pieces.text(ids) == processor.decode(ids).strip(" ")


# A difference of 1e-6 may round a number of an activation to the next of its 255 levels, and in a
# network of this width that moves a logit by 0.06.
@pytest.mark.parametrize(("name", "tolerance"), [("fp32", 1e-3), ("int8", 0.3)])
def test_torch_computes_the_same(name, tolerance, graphs, folder, speech):
    run = Torch(TorchConfig(device="cpu")).load(folder / f"{name}.onnx")
    for length in LENGTHS:
        want = our_rows(graphs[name], speech[:length], "auto", itn=True)
        found = our_rows(run, speech[:length], "auto", itn=True)
        for got, row in zip(found[:3], want[:3], strict=True):
            np.testing.assert_allclose(got, row, atol=tolerance)
        assert (found[3] == want[3]).mean() >= (1.0 if name == "fp32" else 0.9)
