"""The documentation names everything there is, and its transcripts are of this protocol."""

import json
import re
from pathlib import Path

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from streamd import errors, events
from streamd.config.sections import Sections
from streamd.observability.metrics import Metrics
from streamd.protocol.controls import CONTROLS
from streamd.protocol.messages import read_object

DOCS = Path(__file__).parents[1] / "docs"
WIRE = (DOCS / "wire.md").read_text(encoding="utf-8")
OPERATIONS = "\n".join(
    page.read_text(encoding="utf-8")
    for page in (DOCS / "operations.md", *sorted((DOCS / "run").glob("*.md")))
)
"""The pages for whoever runs a server."""


def below(kind: type) -> list[type]:
    """Every class that inherits from a class."""
    return [found for child in kind.__subclasses__() for found in (child, *below(child))]


STRUCTS: dict[str, type[msgspec.Struct]] = {
    struct.__struct_config__.tag: struct
    for struct in below(events.Event)
    if struct.__module__ == events.__name__ and not struct.__subclasses__()
}
UNDER_LOAD = {"degraded", "recovered"}
"""No recording can count on them."""
WIRE_ERRORS = [e for e in below(errors.WireError) if e.__module__ == errors.__name__]
SENT, ANSWERED = (re.findall(rf"^{arrow} (\{{.*)$", WIRE, re.MULTILINE) for arrow in "→←")


def section(name: str) -> str:
    """The text under a heading of the third level, which may name two events."""
    heading = re.search(rf"\n### (`.*` and )?`{name}`( and `.*`)?\n", WIRE)
    assert heading is not None
    return WIRE[heading.end() :].partition("\n### ")[0]


@pytest.mark.parametrize("name", STRUCTS)
def test_every_event_has_a_chapter_that_names_its_fields(name: str) -> None:
    common = {"type", "seq", "t0", "t1", "at"}
    for field in msgspec.structs.fields(STRUCTS[name]):
        table = WIRE if field.encode_name in common else section(name)
        assert f"| `{field.encode_name}` |" in table, f"{name}.{field.encode_name}"


@pytest.mark.parametrize("error", WIRE_ERRORS, ids=lambda error: error.code)
def test_every_error_stands_beside_its_close_code(error: type[errors.WireError]) -> None:
    assert f"| {error.close_code} | `{error.code}` |" in WIRE


def test_every_exit_code_is_explained() -> None:
    for error in below(errors.StreamdError):
        assert f"\n| {error.exit_code} | " in OPERATIONS, error.__name__


@pytest.mark.parametrize("name", Sections.__struct_fields__)
def test_every_section_of_the_configuration_is_named(name: str) -> None:
    assert f"| `[{name}]` |" in OPERATIONS


def test_every_metric_is_named_with_its_labels() -> None:
    suffixes = {"counter": "_total", "info": "_info"}
    for metric in Metrics().registry.collect():
        name = metric.name + suffixes.get(metric.type, "")
        assert f"\n| `{name}` |" in OPERATIONS, name


@pytest.mark.parametrize("line", ANSWERED)
def test_every_event_in_a_transcript_is_one_of_its_struct(line: str) -> None:
    event = json.loads(line)
    struct = STRUCTS[event["type"]]
    known = {field.encode_name for field in msgspec.structs.fields(struct)}
    assert event.keys() - {"type"} <= known
    msgspec.json.decode(line, type=struct)


def test_every_event_has_a_transcript() -> None:
    assert {json.loads(line)["type"] for line in ANSWERED} == STRUCTS.keys() - UNDER_LOAD


@pytest.mark.parametrize("name", sorted(UNDER_LOAD))
def test_an_event_that_comes_under_load_alone_has_an_example(name: str) -> None:
    (line,) = re.findall(rf'^{{"type":"{name}",.*}}$', WIRE, re.MULTILINE)
    msgspec.json.decode(line, type=STRUCTS[name])


def test_every_optional_field_is_shown_or_called_reserved() -> None:
    shown = {(e["type"], field) for e in map(json.loads, ANSWERED) for field in e}
    for name, struct in STRUCTS.items():
        for field in msgspec.structs.fields(struct):
            if field.default is UNSET or UnsetType in getattr(field.type, "__args__", ()):
                row = next(r for r in section(name).splitlines() if f"| `{field.encode_name}`" in r)
                is_rare = "Reserved" in row or "`overload`" in row
                assert (name, field.encode_name) in shown or is_rare


@pytest.mark.parametrize("line", SENT)
def test_every_message_in_a_transcript_is_json(line: str) -> None:
    # "shout" shows what is refused.
    assert read_object(line)["type"] in {"hello", "audio", "ping", "shout", *CONTROLS}
