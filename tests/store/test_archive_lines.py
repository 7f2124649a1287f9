"""The lines of an export: they come back as they were, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import WrongUsage
from streamd.store.archive.lines import Reader, encoded
from streamd.store.archive.records import (
    FORMAT,
    BaselineRow,
    EnrolmentRow,
    Header,
    Key,
    Record,
    Reply,
    Secret,
    Ticket,
    Use,
    Voice,
    Word,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
BYTES = st.binary(max_size=40)
MS = st.integers(0, 2**62)
VOICE = st.builds(
    Voice,
    TEXT,
    TEXT,
    MS,
    st.lists(st.builds(EnrolmentRow, TEXT, TEXT, BYTES, MS, TEXT, MS), max_size=3).map(tuple),
    st.lists(st.builds(BaselineRow, TEXT, BYTES, MS), max_size=2).map(tuple),
)
RECORDS = st.lists(
    st.one_of(
        VOICE,
        st.builds(Word, TEXT, TEXT, TEXT, BYTES),
        st.builds(Key, TEXT, TEXT, TEXT, TEXT, MS, st.none() | MS, st.none() | MS, BYTES),
        st.builds(Secret, TEXT, BYTES),
        st.builds(Ticket, TEXT, MS),
        st.builds(Use, TEXT, MS),
        st.builds(Reply, TEXT, TEXT, BYTES, st.integers(100, 599), TEXT, BYTES, MS),
    ),
    max_size=6,
)
HEADER = Header(FORMAT, b"proof", 1_800_000_000_000)


def read(export: bytes) -> list[Record]:
    reader = Reader(export.splitlines(keepends=True), "x.jsonl")
    assert reader.header == HEADER
    return list(reader.records())


@given(RECORDS)
def test_records_come_back_as_they_were(records: list[Record]) -> None:
    lines = list(encoded(HEADER, records))
    assert len(lines) == len(records) + 2
    assert all(line.count(b"\n") == 1 for line in lines)
    assert read(b"".join(lines)) == records


@given(RECORDS, st.data())
def test_no_part_of_an_export_passes_for_one(records: list[Record], data: st.DataObject) -> None:
    export = b"".join(encoded(HEADER, records))
    with pytest.raises(WrongUsage):
        read(export[: data.draw(st.integers(0, len(export) - 1))])


@given(RECORDS, st.data())
def test_no_other_byte_goes_unnoticed(records: list[Record], data: st.DataObject) -> None:
    export = bytearray(b"".join(encoded(HEADER, records)))
    # The proof in the header is checked by whoever has the key.
    place = data.draw(st.integers(export.index(b"\n") + 1, len(export) - 1))
    export[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(WrongUsage):
        read(bytes(export))
