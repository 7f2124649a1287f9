"""A directory with a SenseVoice is read as it was published, or refused with the reason."""

import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
import sensevoice_made
from checkpoints import entries, write
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.errors import ModelMissing
from streamd.models.convert import sensevoice_files, sentencepiece
from streamd.models.convert.sensevoice_files import CHECKPOINT, CMVN, CONFIG, PIECES
from streamd.models.pieces import Kind


@pytest.fixture
def model(tmp_path):
    return sensevoice_made.make(tmp_path / "model")


def read(model: Path) -> sensevoice_files.Published:
    return sensevoice_files.read(*sensevoice_made.sources(model))


def test_a_model_is_read_whole(model):
    found = read(model)
    made = sensevoice_made.pieces()
    assert found.sizes == sensevoice_made.SMALL
    assert list(zip(found.pieces.texts, found.pieces.kinds, strict=True)) == made
    shift, scale = sensevoice_made.cmvn()
    assert found.shift.astype(np.float32).tobytes() == shift.tobytes()
    assert found.scale.astype(np.float32).tobytes() == scale.tobytes()
    for name, array in sensevoice_made.weights(sensevoice_made.SMALL, len(made)).items():
        assert found.weights[name].tobytes() == array.tobytes()


def test_the_published_network_has_the_weights_of_the_published_file():
    shapes = sensevoice_files.shapes(sensevoice_made.PUBLISHED, sensevoice_made.PUBLISHED_TOKENS)
    numbers = sum(int(np.prod(shape)) for _, shape in shapes)
    # The file has 936,291,369 bytes; what is left describes 917 tensors.
    assert numbers * 4 == 935_996_668


CONFIGS = {
    "another network": ("model: SenseVoiceSmall", "model: Paraformer", "model should be"),
    "another encoder": ("encoder: SenseVoiceEncoderSmall", "encoder: SANM", "encoder should be"),
    "another front end": ("lfr_m: 7", "lfr_m: 5", "lfr_m should be 7"),
    "a front end with more": ("lfr_n: 6", "lfr_n: 6\n    snip_edges: false", "it sets snip_edges"),
    "another tokenizer": ("Sentencepieces", "Char", "tokenizer should be"),
    "a shift": ("sanm_shfit: 0", "sanm_shfit: 2", "sanm_shfit should be 0"),
    "an even kernel": ("kernel_size: 11", "kernel_size: 10", "should be odd"),
    "heads that do not divide": ("attention_heads: 2", "attention_heads: 3", "multiple"),
    "no size": ("num_blocks: 2", "num_blocks: two", "num_blocks should be a size"),
    "no block": ("num_blocks: 2", "num_blocks: 0", "num_blocks should be a size"),
    "a huge size": ("linear_units: 48", "linear_units: 99999", "linear_units should be a size"),
    "an encoder with more": ("sanm_shfit: 0", "sanm_shfit: 0\n    bias: 1", "it sets bias"),
    "another blank": ("ignore_id: -1", "ignore_id: -1\n    blank_id: 3", "blank_id should be 0"),
    "an object": ("num_blocks: 2", "num_blocks: !!python/name:os.system x", "should be a size"),
}


@pytest.mark.parametrize(("old", "new", "reason"), CONFIGS.values(), ids=CONFIGS)
def test_a_setting_that_changes_the_numbers_is_refused(old, new, reason, model):
    path = model / CONFIG
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ModelMissing, match=re.escape(CONFIG)) as caught:
        read(model)
    assert reason in str(caught.value)


@pytest.mark.parametrize("name", [CONFIG, CHECKPOINT, CMVN, PIECES])
def test_a_file_that_is_absent_cut_off_or_a_pointer_is_named(name, model):
    path = model / name
    whole = path.read_bytes()
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 936291369\n"
    for content in (None, whole[: len(whole) // 2], pointer, b""):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(ModelMissing, match=re.escape(name)) as caught:
            read(model)
        assert "large files" in str(caught.value)


def spoilt(name: str, value: np.ndarray | None) -> dict[str, np.ndarray]:
    made = sensevoice_made.weights(sensevoice_made.SMALL, len(sensevoice_made.pieces()))
    if value is None:
        del made[name]
    else:
        made[name] = value
    return made


BIAS = "encoder.encoders0.0.self_attn.linear_out.bias"
WEIGHTS = {
    "absent": spoilt(BIAS, None),
    "of another size": spoilt(BIAS, np.zeros(33, "<f4")),
    "of another type": spoilt(BIAS, np.zeros(32, "<i8")),
    "not finite": spoilt(BIAS, np.full(32, np.inf, "<f4")),
    "unknown": spoilt("decoder.bias", np.zeros(3, "<f4")),
}


@pytest.mark.parametrize("made", WEIGHTS.values(), ids=WEIGHTS)
def test_weights_of_another_model_are_refused(made, model):
    write(model / CHECKPOINT, entries(made))
    with pytest.raises(ModelMissing, match=re.escape(CHECKPOINT)):
        read(model)


def test_a_checkpoint_that_would_run_code_is_refused(model):
    files = entries(sensevoice_made.weights(sensevoice_made.SMALL, 1))
    files["data.pkl"] = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R."
    write(model / CHECKPOINT, files)
    with pytest.raises(ModelMissing, match=r"os\.system"):
        read(model)


VOCABULARIES = {
    "without an emotion": [p for p in sensevoice_made.pieces() if p[0] != "<|SAD|>"],
    "with a piece twice": [*sensevoice_made.pieces(), ("▁the", Kind.NORMAL)],
    "with an empty piece": [*sensevoice_made.pieces(), ("", Kind.NORMAL)],
    "with a long piece": [*sensevoice_made.pieces(), ("x" * 513, Kind.NORMAL)],
    "of another kind": [*sensevoice_made.pieces(), ("new", 9)],
    "without pieces": [],
}


@pytest.mark.parametrize("made", VOCABULARIES.values(), ids=VOCABULARIES)
def test_a_vocabulary_of_another_model_is_refused(made, model):
    (model / PIECES).write_bytes(sensevoice_made.pieces_file(made))
    with pytest.raises(ModelMissing, match=re.escape(PIECES)):
        read(model)


VOCABULARY = sensevoice_made.pieces_file(sensevoice_made.pieces())


@settings(max_examples=200)
@given(st.integers(0, len(VOCABULARY)), st.binary(max_size=6), st.integers(0, 6))
def test_a_damaged_vocabulary_is_refused_or_has_whole_pieces(place, content, cut):
    spoilt = VOCABULARY[:place] + content + VOCABULARY[place + cut :]
    with tempfile.NamedTemporaryFile() as file:
        file.write(spoilt)
        file.flush()
        try:
            found = sentencepiece.read_pieces(Path(file.name), "Again.")
        except ModelMissing:
            return
    assert len(found.texts) == len(found.kinds) == len(set(found.texts)) > 0
    assert all(found.texts)


@pytest.mark.parametrize(
    "content",
    [
        b"\x0a\xff\xff\xff\xff\x0f",  # a piece longer than the file
        b"\x0b",  # a group
        b"\x08\x01",  # a number where a piece should be
        b"\x0a\x03\x0a\x01\xff",  # a piece that is no text
        b"\x0a\x04\x15\x00\x00\x00",  # a score that is cut off
        b"\x00" * (sentencepiece.MAX_FILE_BYTES + 1),
    ],
    ids=["long", "group", "number", "no text", "cut off", "huge"],
)
def test_bytes_that_are_no_vocabulary_are_refused(content, model):
    (model / PIECES).write_bytes(content)
    with pytest.raises(ModelMissing, match=re.escape(PIECES)):
        read(model)
