"""A manifest is read whole or refused whole, every fault with its line."""

import numpy as np
import pytest
import soundfile

from streamd.errors import BadManifest
from streamd.evaluation import emotion, speaker, vad, wake
from streamd.evaluation.manifest import TOGETHER, check_halves, read


@pytest.fixture
def write(tmp_path):
    """Writes a manifest beside two recordings that are there."""
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, np.zeros(16_000, np.int16), 16_000)

    def written(text, encoding="utf-8"):
        path = tmp_path / "m.csv"
        path.write_text(text, encoding=encoding)
        return path

    return written


def anything(rows, faults):
    """No rules of a module."""


def faults_of(path, check=anything):
    with pytest.raises(BadManifest) as refused:
        read(path, check)
    return str(refused.value).splitlines()


def test_columns_are_found_by_name_in_any_order(write):
    path = write("split,speaker,colour,label,path\ntest,ada,red,angry,a.wav\n")
    (row,) = read(path, anything).rows
    assert (row.path, row.label, row.speaker, row.split) == ("a.wav", "angry", "ada", "test")
    assert (row.start_ms, row.end_ms, row.session, row.line) == (None, None, "", 2)
    assert not row.is_part


def test_a_spreadsheet_s_byte_order_mark_blank_lines_and_blanks_are_no_fault(write):
    path = write("path, label ,speaker,start_ms,end_ms\n\n a.wav , x ,,10,20\n,,,,\n", "utf-8-sig")
    (row,) = read(path, anything).rows
    assert (row.path, row.label, row.line) == ("a.wav", "x", 3)
    assert (row.start_ms, row.end_ms) == (10, 20)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("gone.wav,x,,,", "no such file: gone.wav"),
        (",x,,,", "the path is empty"),
        ("a.wav,x,,-5,", "start_ms '-5' is not a whole number"),
        ("a.wav,x,,0.5,", "start_ms '0.5' is not a whole number"),
        ("a.wav,x,,700,700", "end_ms 700 is not after start_ms 700"),
        ("a.wav,x,,,0", "end_ms 0 is not after start_ms 0"),
        ("a.wav,x,", "3 fields, but the header has 5"),
        ("a.wav,x,y,,,,", "7 fields, but the header has 5"),
    ],
)
def test_a_fault_is_named_with_its_line(write, line, fault):
    path = write(f"path,label,speaker,start_ms,end_ms\nb.wav,x,,,\n{line}\n")
    (found,) = faults_of(path)
    assert found.startswith(f"{path}:3: {fault}")


def test_all_faults_are_reported_at_once_and_no_more_than_twenty(write):
    path = write("path,label,speaker\n" + "".join(f"gone{n}.wav,x,\n" for n in range(25)))
    found = faults_of(path)
    assert len(found) == 21
    assert found[0].startswith(f"{path}:2: no such file: gone0.wav")
    assert found[-1] == f"{path}: and 5 more faults"


def test_missing_and_doubled_columns_are_reported(write):
    path = write("path,label,label\na.wav,x,y\n")
    assert [fault.partition(": ")[2] for fault in faults_of(path)] == [
        "column 'label' appears 2 times; keep one",
        "no column 'speaker'; the first line names the columns, as in "
        "path,label,speaker,start_ms,end_ms,session,split,corpus (separator found: a comma)",
    ]


def test_a_part_twice_is_refused_but_other_parts_of_a_file_are_not(write):
    head = "path,label,speaker,start_ms,end_ms\na.wav,x,,0,100\n"
    assert len(read(write(head + "a.wav,x,,100,200\n"), anything).rows) == 2
    (found,) = faults_of(write(head + "a.wav,x,,0,100\n"))
    assert found.endswith(":3: the same as line 2; remove one")


@pytest.mark.parametrize("text", ["", "path,label,speaker\n"])
def test_an_empty_manifest_is_refused(write, text):
    assert faults_of(write(text))


def test_bytes_that_are_no_utf8_are_refused(write):
    assert "not UTF-8" in faults_of(write("path,label,speaker\na.wav,fröhlich,\n", "latin-1"))[0]


def test_no_such_manifest(tmp_path):
    assert faults_of(tmp_path / "none.csv") == [f"{tmp_path / 'none.csv'}: no such manifest"]


@pytest.mark.parametrize("module", [emotion, wake, vad, speaker])
def test_one_speaker_in_both_halves_is_refused(write, module):
    label = {emotion: "angry", wake: "alexa", vad: "speech", speaker: ""}[module]
    path = write(f"path,label,speaker,split\na.wav,{label},ada,train\nb.wav,{label},ada,test\n")
    (found,) = faults_of(path, module.check)
    assert found.startswith(f"{path}:3: speaker 'ada' is in split 'test' here and in 'train'")


def test_enrolments_and_tests_share_speakers(write):
    path = write("path,label,speaker,split\na.wav,,ada,enrol\nb.wav,,ada,test\n")
    assert len(read(path, speaker.check).rows) == 2
    assert faults_of(path, check_halves)
    assert read(path, lambda rows, faults: check_halves(rows, faults, TOGETHER))


def test_an_empty_split_is_reported_with_the_splits_that_exist(write):
    found = read(write("path,label,speaker,split\na.wav,x,,dev\nb.wav,y,,test\n"), anything)
    assert [row.label for row in found.of_split("test").rows] == ["y"]
    with pytest.raises(BadManifest, match="no row has split 'tset'; splits in the file: dev, test"):
        found.of_split("tset")


def test_unknown_labels_are_refused_and_calm_and_bored_are_not(write):
    path = write("path,label,speaker\na.wav,calm,\nb.wav,bored,\nb.wav,bord,\na.wav,Angry,\n")
    found = faults_of(path, emotion.check)
    assert [fault.split(":")[1] for fault in found] == ["4", "5"]
    assert "unknown label 'bord'; known: angry, disgust" in found[0]


def test_speaker_rows_must_be_named(write):
    (found,) = faults_of(write("path,label,speaker\na.wav,x,\n"), speaker.check)
    assert found.endswith(":2: the speaker is empty; enter any name for the voice")


def test_a_file_is_labelled_whole_or_in_parts(write):
    path = write(
        "path,label,speaker,start_ms,end_ms\na.wav,noise,,,\nb.wav,speech,,0,5\na.wav,speech,,5,9\n"
    )
    (found,) = faults_of(path, vad.check)
    assert found.startswith(f"{path}:4: a.wav has a row without times (line 2)")


def test_every_kind_of_fault_comes_at_once(write):
    lines = ["gone.wav,angry,,,", "a.wav,furious,,,", "a.wav,angry,,7,3", "b.wav,angry,,x,"]
    lines += ["b.wav,angry", "b.wav,angry,,500,9000", "a.wav,angry,,1000,", "words.wav,sad,,,"]
    lines += ["empty.wav,sad,,,"]
    path = write("path,label,speaker,start_ms,end_ms\n" + "\n".join(lines))
    (path.parent / "words.wav").write_text("these are words, and not a sound")
    (path.parent / "empty.wav").write_bytes(b"")
    lines = [fault.removeprefix(f"{path}:") for fault in faults_of(path, emotion.check)]
    found = dict(fault.split(": ", 1) for fault in lines)
    assert {int(line): fault for line, fault in found.items()} == {
        2: "no such file: gone.wav; paths are relative to the manifest",
        3: found["3"],
        4: "end_ms 3 is not after start_ms 7",
        5: "start_ms 'x' is not a whole number of milliseconds from 0",
        6: found["6"],
        7: "b.wav is 1000 ms long; correct start_ms and end_ms",
        8: "a.wav is 1000 ms long; correct start_ms and end_ms",
        9: found["9"],
        10: "empty.wav: is empty; send a recording with sound",
    }
    assert found["3"].startswith("unknown label 'furious'")
    assert found["6"].startswith("2 fields, but the header has 5")
    assert found["9"].startswith("words.wav: ")


def test_missing_columns_do_not_hide_other_faults(write):
    found = faults_of(write("path,lable,speaker\ngone.wav,x,\n"), emotion.check)
    assert [fault.split(":")[1] for fault in found] == ["1", "2"]
    assert "no column 'label'" in found[0]
    assert "no such file" in found[1]


def test_a_row_may_end_a_tenth_of_a_second_beyond_its_recording(write):
    path = write("path,label,speaker,start_ms,end_ms\na.wav,x,,500,900\na.wav,x,,900,1050\n")
    assert len(read(path, anything).rows) == 2
    seen = []
    read(path, anything, lambda *counts: seen.append(counts))
    assert seen == [(1, 1)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("first", ["", "sep={}\n"])
def test_what_separates_the_columns_is_found(write, delimiter, first):
    text = 'path,label,speaker,more\na.wav,"x",ada,1\n'.replace(",", delimiter)
    manifest = read(write(first.format(delimiter) + text), anything)
    (row,) = manifest.rows
    assert (row.path, row.label, row.speaker) == ("a.wav", "x", "ada")
    assert row.line == 2 + bool(first)
    assert manifest.columns == ("path", "label", "speaker", "more")
    assert manifest.cells == {row.line: ("a.wav", "x", "ada", "1")}


def test_where_it_is_unclear_what_separates_the_columns_it_is_said(write):
    (fault, *_) = faults_of(write("path|label|speaker\na.wav|x|\n"))
    assert fault.endswith("(separator found: a comma)")
    (fault,) = faults_of(write("path;label;speaker\na.wav,x,\n"))
    assert "1 fields, but the header has 3; put a field that contains a semicolon" in fault
