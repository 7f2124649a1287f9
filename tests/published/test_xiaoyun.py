"""XiaoYun in FunASR, from a directory of ModelScope's layout, and converted, on the same audio."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import xiaoyun
from fakes import spelling
from fakes.driving import fake_passes
from needs import toolkit

from streamd.engine.local import LocalEngine
from streamd.engine.passes.keyword import FsmnKeywords
from streamd.engine.passes.warm import initial_rows
from streamd.events import Wake
from streamd.files.offline import OfflineAnalysis
from streamd.modules.gallery import Gallery
from streamd.modules.keyword_search import KeywordSearch
from streamd.modules.keyword_spelling import CannotSpell, Spelling
from streamd.modules.keyword_stepper import CONTEXT, STEP
from streamd.observability.metrics import Metrics
from streamd.types import AudioFormat, Samples

toolkit("torch")
funasr = toolkit("funasr")
POSTERIOR, SCORE = 1e-4, 1e-3
"""Largest differences: FunASR computes features and network in float32 too, in another order."""
DATA = Path(__file__).parents[1] / "data"
SIZES = {"small": xiaoyun.SMALL, "published": xiaoyun.PUBLISHED}
LEXICON = "龙 一\n好 丁\nok 丁\n"


def layout(sizes: xiaoyun.Sizes) -> Path:
    """The directory of the model, with what FunASR needs besides."""
    return xiaoyun.with_settings(spelling.published(sizes), LEXICON)


@pytest.fixture(scope="module", params=SIZES)
def sizes(request) -> xiaoyun.Sizes:
    return SIZES[request.param]


@pytest.fixture(scope="module")
def theirs(sizes):
    """FunASR's model, as its users load it, but without noise in the features."""
    return funasr.AutoModel(
        model=str(layout(sizes)),
        keywords="一",
        device="cpu",
        disable_update=True,
        ncpu=1,
        frontend_conf={"dither": 0.0},
    )


@pytest.fixture(scope="module")
def ours(sizes) -> FsmnKeywords:
    layout(sizes)
    return spelling.keyword_pass(sizes)


def clips() -> list[Samples]:
    """Speech of several lengths and voices."""
    found = []
    for voice, starts in (
        ("slt", (0, 30_000, 60_001)),
        ("kal16", (500, 40_000)),
        ("awb", (9_000,)),
    ):
        talk, _ = soundfile.read(DATA / f"speech_{voice}.flac", dtype="int16")
        found += [talk[at : at + 16_000 + at % 7_777] for at in starts]
    return found


def encoded(theirs, audio: Samples) -> np.ndarray:
    """FunASR's posteriors of a whole file."""
    import torch

    frontend, network = theirs.kwargs["frontend"], theirs.model
    with torch.no_grad():
        features, lengths = frontend(
            torch.from_numpy(audio / np.float32(32_768))[None], [len(audio)]
        )
        encoder_out, _ = network.encode(features, lengths)
        return network.ctc.softmax(encoder_out)[0].numpy()


def streamed(ours: FsmnKeywords, audio: Samples):
    """The pass over a whole file: scores and tokens of each frame."""
    steps, state, outputs = -(-len(audio) // STEP) + 3, initial_rows(ours, 1), []
    padded = np.zeros(CONTEXT + steps * STEP, np.int16)
    padded[CONTEXT : CONTEXT + len(audio)] = audio
    for number in range(steps):
        left = len(audio) - number * STEP
        options = [None if left >= STEP else (left,)]
        item = padded[number * STEP : (number + 1) * STEP + CONTEXT]
        found, state = ours.run([item], options, state)
        outputs += found
    first = 1 + ours.info.delay
    scores = np.concatenate([one.scores for one in outputs])[first:]
    return scores, np.concatenate([one.tokens for one in outputs])[first:]


def test_every_posterior_is_funasrs(theirs, ours):
    for audio in clips():
        expected = encoded(theirs, audio)
        scores, tokens = streamed(ours, audio)
        count = len(expected)
        best = -np.sort(-expected, axis=1)[:, :3]
        np.testing.assert_allclose(scores[:count], best, atol=POSTERIOR)
        at_tokens = np.take_along_axis(expected, tokens[:count], axis=1)
        np.testing.assert_allclose(scores[:count], at_tokens, atol=POSTERIOR)
        assert not scores[count:].any()


def test_the_torch_backend_gives_the_same_frames(ours, sizes):
    from streamd.config.sections import TorchConfig
    from streamd.engine.backends.torch import Torch

    backend = Torch(TorchConfig(device="cpu"))
    model = FsmnKeywords(backend, spelling.library(sizes), "xiaoyun")
    for audio in clips()[:3]:
        scores, tokens = streamed(model, audio)
        expected, its = streamed(ours, audio)
        np.testing.assert_allclose(scores, expected, atol=POSTERIOR)
        apart = np.abs(np.diff(expected, axis=1, append=0)) > POSTERIOR
        assert (tokens == its)[apart].all()


def detected(theirs, audio: Samples, keywords: str) -> tuple[str, float] | None:
    """What FunASR's `generate` says of a file."""
    (result,) = theirs.generate(
        input=audio / np.float32(32_768), cache={}, keywords=keywords, disable_pbar=True
    )
    words = result["text"].split(" ")
    return (words[1], float(words[2])) if words[0] == "detected" else None


def heard(ours: FsmnKeywords, audio: Samples) -> list[str]:
    """Pairs of characters that the model says in a file, and one that it does not say."""
    scores, tokens = streamed(ours, audio)
    best = tokens[:, 0][scores[:, 0] > 0].tolist()
    path = [token for token, _ in itertools.groupby(best) if token > 1]
    names = ours.info.tokens
    pairs = ["".join(names[token] for token in pair) for pair in itertools.pairwise(path)]
    return [*[pair for pair in dict.fromkeys(pairs) if "<" not in pair][:6], "一一一"]


def test_the_search_finds_and_scores_what_generate_does(theirs, ours):
    spelled = Spelling(ours.info.tokens, ours.info.lexicon)
    found = 0
    for audio in clips():
        scores, tokens = streamed(ours, audio)
        words = heard(ours, audio)
        for keywords in (*words, ",".join(words), ",".join(reversed(words))):
            search = KeywordSearch({word: spelled.spell(word) for word in keywords.split(",")})
            for frame in zip(tokens.tolist(), scores.tolist(), strict=True):
                search.step(*frame)
            hit, expected = search.hit(), detected(theirs, audio, keywords)
            assert (hit is None) == (expected is None), keywords
            if hit is not None and expected is not None:
                assert hit.keyword == expected[0]
                assert hit.score == pytest.approx(expected[1], abs=SCORE)
                found += 1
    assert found >= 6


def test_a_file_in_a_session_has_generates_score(theirs, ours, sizes):
    """The way of `/v1/detect`."""
    found, registry = 0, spelling.registry(sizes)
    for audio in clips():
        for word in heard(ours, audio):
            expected = detected(theirs, audio, word)
            if expected is None:
                continue
            asked = {"wake": {"words": [word], "threshold": 0.0}}
            wake = replace(registry.resolve(asked)[0]["wake"], is_file=True)
            engine = LocalEngine([ours, *fake_passes()], 1, 1, Metrics())
            session = OfflineAnalysis(
                engine, registry, {"wake": wake}, AudioFormat(), Gallery.empty()
            )
            events = list(session.events([audio.astype("<i2").tobytes()]))
            session.close()
            scores = [event.score for event in events if isinstance(event, Wake)]
            assert min(abs(score - expected[1]) for score in scores) < SCORE
            found += 1
    assert found > 5


@pytest.mark.parametrize("keyword", ["一丁", "一", "龙", "好龙", "OK", "ok一", "一 丁", "一，丁！"])
def test_a_keyword_is_spelled_as_funasr_spells_it(theirs, ours, keyword):
    from funasr.utils.kws_utils import KwsCtcPrefixDecoder

    tokenizer = theirs.kwargs["tokenizer"]
    decoder = KwsCtcPrefixDecoder(
        theirs.model.ctc, keyword, tokenizer.token_list, tokenizer.seg_dict
    )
    (expected,) = decoder.keywords_token.values()
    assert Spelling(ours.info.tokens, ours.info.lexicon).spell(keyword) == expected["token_id"]


def test_what_funasr_takes_for_an_unknown_token_is_refused(theirs, ours):
    from funasr.utils.kws_utils import KwsCtcPrefixDecoder

    tokenizer = theirs.kwargs["tokenizer"]
    decoder = KwsCtcPrefixDecoder(theirs.model.ctc, "一z", tokenizer.token_list, tokenizer.seg_dict)
    (expected,) = decoder.keywords_token.values()
    assert expected["token_id"][1] == tokenizer.token_list.index("<unk>")
    with pytest.raises(CannotSpell, match="has no 'z'"):
        Spelling(ours.info.tokens, ours.info.lexicon).spell("一z")
