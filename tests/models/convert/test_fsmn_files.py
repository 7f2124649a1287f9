"""A ModelScope directory is read as it was published, or refused with the reason."""

import re

import numpy as np
import pytest
import xiaoyun
from checkpoints import entries, text, write

from streamd.errors import ModelMissing
from streamd.models.convert.fsmn_files import (
    CHECKPOINT,
    CMVN,
    CONFIG,
    FOLDER,
    LEXICON,
    TOKENS,
    read,
)
from streamd.models.convert.funasr_files import MAX_TEXT_BYTES


@pytest.fixture
def model(tmp_path):
    return xiaoyun.make(tmp_path / "model")


def test_a_model_is_read_whole(model):
    found = read(model)
    assert found.sizes == xiaoyun.SMALL
    assert list(found.tokens) == xiaoyun.tokens(xiaoyun.SMALL.output_dim)
    shift, scale = xiaoyun.cmvn()
    assert found.shift.astype(np.float32).tobytes() == shift.tobytes()
    assert found.scale.astype(np.float32).tobytes() == scale.tobytes()
    for name, array in xiaoyun.weights(xiaoyun.SMALL).items():
        assert found.weights[name].tobytes() == array.tobytes()


CONFIGS = {
    "another network": ("encoder: FSMN", "encoder: SANMEncoder", "encoder should be FSMN"),
    "another window": ("window: hamming", "window: povey", "window should be hamming"),
    "another rate": ("fs: 16000", "fs: 8000", "fs should be 16000"),
    "another stacking": ("lfr_m: 5", "lfr_m: 7", "lfr_m should be 5"),
    "a front end with more": ("lfr_n: 3", "lfr_n: 3\n    snip_edges: false", "it sets snip_edges"),
    "a stride": ("lstride: 1", "lstride: 2", "lstride should be 1"),
    "a softmax": ("use_softmax: false", "use_softmax: true", "use_softmax should be false"),
    "a normaliser": ("normalize: null", "normalize: GlobalMVN", "normalize should be null"),
    "no size": ("lorder: 10", "lorder: ten", "lorder should be a size"),
    "a negative size": ("lorder: 10", "lorder: -1", "lorder should be a size"),
    "a huge size": ("proj_dim: 12", "proj_dim: 99999", "proj_dim should be a size"),
    "two tokens": ("output_dim: 40", "output_dim: 2", "output_dim should be at least 3"),
    "a size that is absent": ("    lorder: 10\n", "", "lorder should be a size"),
    "a size twice": ("lorder: 10", "lorder: 10\n    lorder: 9", "line 15 sets lorder again"),
    "a section twice": ("ctc_conf:", "encoder_conf:", "sets encoder_conf again"),
    "an object": ("lorder: 10", "lorder: !!python/name:os.system x", "lorder should be a size"),
    "no section": ("encoder_conf:", "encoder_conf: {}", "is no setting"),
    "no YAML": ("encoder_conf:", "encoder_conf", "is no setting"),
}


@pytest.mark.parametrize(("old", "new", "reason"), CONFIGS.values(), ids=CONFIGS)
def test_a_setting_that_changes_the_numbers_is_refused(old, new, reason, model):
    path = model / FOLDER / CONFIG
    assert path.read_text().count(old) >= 1
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ModelMissing, match=re.escape(CONFIG)) as caught:
        read(model)
    assert reason in str(caught.value)


def test_settings_for_training_and_the_path_of_the_cmvn_make_no_difference(model):
    path = model / FOLDER / CONFIG
    more = "lfr_n: 3\n    cmvn_file: /x/am.mvn\n    dither: 0.0"
    path.write_text(path.read_text().replace("lfr_n: 3", more).replace("\n", "\r\n"))
    assert read(model).sizes == xiaoyun.SMALL


def cmvn(old: str, new: str) -> bytes:
    made = xiaoyun.cmvn_text(*xiaoyun.cmvn())
    assert old in made
    return made.replace(old, new, 1).encode()


CMVNS = {
    "empty": b"",
    "not text": b"\xff\xfe\x00",
    "cut off": cmvn("]\n</Nnet>", ""),
    "without a scale": cmvn("<Rescale>", "<Other>"),
    "with a number too many": cmvn("<LearnRateCoef> 0 [ ", "<LearnRateCoef> 0 [ 1 "),
    "of another width": cmvn("<AddShift> 400 400", "<AddShift> 280 280"),
    "not finite": re.sub(r"(Coef> 0 \[ )\S+", r"\1-1e999", cmvn("", "").decode(), count=1).encode(),
    "with a word": cmvn("<LearnRateCoef> 0 [ -", "<LearnRateCoef> 0 [ x-"),
    "huge": b" " * (MAX_TEXT_BYTES + 1),
}


@pytest.mark.parametrize("content", CMVNS.values(), ids=CMVNS)
def test_a_damaged_cmvn_is_refused(content, model):
    (model / FOLDER / CMVN).write_bytes(content)
    with pytest.raises(ModelMissing, match=re.escape(CMVN)):
        read(model)


def test_a_number_that_is_not_finite_is_not_counted_as_a_missing_one(model):
    (model / FOLDER / CMVN).write_bytes(CMVNS["not finite"])
    with pytest.raises(ModelMissing, match="a number of <AddShift> is not finite"):
        read(model)


@pytest.mark.parametrize(
    "spoil",
    [lambda t: t[:-1], lambda t: [*t, "more"], lambda t: [*t[:-1], t[1]], lambda t: ["", *t[1:]]],
    ids=["one short", "one too many", "one twice", "one empty"],
)
def test_tokens_that_are_not_as_many_different_ones_are_refused(spoil, model):
    made = spoil(xiaoyun.tokens(xiaoyun.SMALL.output_dim))
    (model / FOLDER / TOKENS).write_text("\n".join(made), encoding="utf-8")
    with pytest.raises(ModelMissing, match=re.escape(TOKENS)):
        read(model)


@pytest.mark.parametrize("name", [CONFIG, CHECKPOINT, CMVN, TOKENS])
def test_a_file_that_is_absent_is_named(name, model):
    (model / FOLDER / name).unlink()
    with pytest.raises(ModelMissing, match=re.escape(name)):
        read(model)


def test_a_pointer_to_a_large_file_is_refused_with_what_to_do(model):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3045000\n"
    (model / FOLDER / CHECKPOINT).write_text(pointer)
    with pytest.raises(ModelMissing, match="with its large files"):
        read(model)


def change(name: str, value: np.ndarray | None) -> dict[str, np.ndarray]:
    made = xiaoyun.weights(xiaoyun.SMALL)
    if value is None:
        del made[name]
    else:
        made[name] = value
    return made


BIAS = "encoder.out_linear2.linear.bias"
WEIGHTS = {
    "absent": change(BIAS, None),
    "of another size": change(BIAS, np.zeros(41, "<f4")),
    "of another type": change(BIAS, np.zeros(40, "<i8")),
    "not finite": change(BIAS, np.full(40, np.nan, "<f4")),
    "unknown": change("ctc.ctc_lo.weight", np.zeros((40, 40), "<f4")),
}


@pytest.mark.parametrize("made", WEIGHTS.values(), ids=WEIGHTS)
def test_weights_of_another_model_are_refused(made, model):
    write(model / FOLDER / CHECKPOINT, entries(made))
    with pytest.raises(ModelMissing, match=re.escape(CHECKPOINT)):
        read(model)


def test_a_checkpoint_that_is_cut_off_is_refused(model):
    path = model / FOLDER / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelMissing, match=re.escape(CHECKPOINT)):
        read(model)


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_weights_under_the_key_of_a_training_tool_are_read(key, model):
    files = entries(xiaoyun.weights(xiaoyun.SMALL))
    inner = files["data.pkl"].removeprefix(b"\x80\x02").removesuffix(b".")
    files["data.pkl"] = b"\x80\x02}(" + text(key) + inner + b"u."
    write(model / FOLDER / CHECKPOINT, files)
    assert len(read(model).weights) == len(xiaoyun.weights(xiaoyun.SMALL))


def test_a_lexicon_says_how_words_are_written_and_may_be_absent(model):
    assert read(model).lexicon == {}
    (model / FOLDER / LEXICON).write_text("小 一\r\nhello h e\n\n 云  二\n", encoding="utf-8")
    assert read(model).lexicon == {"小": "一", "hello": "h e", "云": "二"}


def test_a_lexicon_that_is_no_text_is_refused(model):
    (model / FOLDER / LEXICON).write_bytes(b"\xff\xfe")
    with pytest.raises(ModelMissing, match=r"lexicon\.txt"):
        read(model)
