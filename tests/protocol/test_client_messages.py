import base64
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import BadConfig, BadMessage, UnsupportedAudio, WireError
from streamd.protocol.messages import (
    MAX_GAP_MS,
    MAX_GAP_SAMPLES,
    MAX_ID_CHARS,
    Audio,
    Config,
    End,
    Enrol,
    Flush,
    Gap,
    Hello,
    Ping,
    Resume,
    parse,
    read_object,
)
from streamd.types import AudioFormat


def said(text):
    return parse(read_object(text if isinstance(text, str) else json.dumps(text)))


def hello(**fields):
    return {"type": "hello", **fields}


def test_the_contracts_own_hello():
    text = """{"type":"hello","client":"esp32-mic/1.2","device":"kitchen",
     "audio":{"codec":"pcm_s16le","rate":16000,"channels":1},
     "modules":{"vad":{},"wake":{"words":["alexa"],"threshold":0.5},"emotion":{"hop_ms":500},
     "speaker":{"mode":"identify"},"transcript":false},
     "resume":null}"""
    assert said(text) == Hello(
        client="esp32-mic/1.2",
        device="kitchen",
        audio=AudioFormat(),
        modules={
            "vad": {},
            "wake": {"words": ["alexa"], "threshold": 0.5},
            "emotion": {"hop_ms": 500},
            "speaker": {"mode": "identify"},
            "transcript": False,
        },
        resume=None,
    )


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (hello(), Hello()),
        (hello(audio={}), Hello()),
        (hello(client=None, device=None, resume=None, audio={"use": None}), Hello()),
        (hello(colour="red", audio={"gain": 3}), Hello()),
        (hello(modules={}), Hello(modules={})),
        (hello(modules={"vad": True}), Hello(modules={"vad": {}})),
        (hello(modules={"no_such": {"a": 1}}), Hello(modules={"no_such": {"a": 1}})),
        (
            hello(resume={"token": "r_1", "last_seq": 412}),
            Hello(resume=Resume(token="r_1", last_seq=412)),
        ),
        (hello(resume={"token": "r_1"}), Hello(resume=Resume(token="r_1", last_seq=0))),
        (
            hello(resume={"token": "r", "last_seq": 2.0}),
            Hello(resume=Resume(token="r", last_seq=2)),
        ),
        ({"type": "audio", "data": "AAEC"}, Audio(b"\0\1\2")),
        ({"type": "audio", "data": ""}, Audio(b"")),
        ({"type": "gap", "ms": 120}, Gap(120)),
        ({"type": "gap", "ms": 120.0}, Gap(120)),
        ({"type": "gap", "ms": 0}, Gap(0)),
        ({"type": "gap", "ms": MAX_GAP_MS}, Gap(MAX_GAP_MS)),
        ({"type": "gap", "samples": 1323}, Gap(samples=1323)),
        ({"type": "gap", "samples": MAX_GAP_SAMPLES, "ms": 5}, Gap(samples=MAX_GAP_SAMPLES)),
        ({"type": "flush", "id": "f1"}, Flush("f1")),
        ({"type": "flush"}, Flush("")),
        ({"type": "config", "modules": {"wake": False}}, Config({"wake": False})),
        ({"type": "config"}, Config({})),
        (
            {"type": "enrol", "id": "e1", "speaker": "Ada", "utterances": ["u3", "u5"]},
            Enrol(id="e1", speaker="Ada", utterances=["u3", "u5"]),
        ),
        (
            {"type": "enrol", "speaker": "", "utterances": ["u1"]},
            Enrol(speaker="", utterances=["u1"]),
        ),
        ({"type": "end", "why": "done"}, End()),
        ({"type": "ping"}, Ping(None)),
        ({"type": "ping", "t": None}, Ping(None)),
        ({"type": "ping", "t": 1763683349.5}, Ping(1763683349.5)),
        ({"type": "ping", "t": "abc"}, Ping("abc")),
    ],
)
def test_good_messages(message, expected):
    assert said(message) == expected


@pytest.mark.parametrize(
    ("audio", "expected"),
    [
        ({"codec": "pcm_f32le"}, AudioFormat(codec="pcm_f32le")),
        ({"codec": "mulaw", "rate": 8000}, AudioFormat(codec="mulaw", rate=8000)),
        ({"codec": "alaw"}, AudioFormat(codec="alaw")),
        ({"rate": 48000.0, "channels": 8.0}, AudioFormat(rate=48000, channels=8)),
        ({"rate": 11025}, AudioFormat(rate=11025)),
        ({"channels": 3, "use": [2, 0.0]}, AudioFormat(channels=3, use=(2, 0))),
        *[({"enhance": v}, AudioFormat(enhance=v)) for v in ["off", "webrtc", "deep", None]],
        ({"channels": 2, "far_end": 1.0}, AudioFormat(channels=2, far_end=1)),
        ({"channels": 3, "far_end": 0, "use": [2]}, AudioFormat(channels=3, far_end=0, use=(2,))),
    ],
)
def test_audio_that_is_supported(audio, expected):
    got = said(hello(audio=audio)).audio
    assert got == expected
    assert type(got.rate) is type(got.channels) is int
    assert all(type(channel) is int for channel in got.use or ())


@pytest.mark.parametrize(
    ("audio", "ref"),
    [
        ({"codec": "vorbis"}, "audio.codec"),
        *[({"codec": "opus", "rate": rate}, "audio.rate") for rate in [8001, 11_025, 44_100]],
        ({"codec": "opus", "channels": 3}, "audio.channels"),
        ({"codec": "PCM_S16LE"}, "audio.codec"),
        ({"codec": ""}, "audio.codec"),
        *[
            ({"rate": rate}, "audio.rate")
            for rate in [0, -16000, 1, 7999, 48001, 1_000_000, 16000.5, 1e300, 10**40]
        ],
        *[({"channels": n}, "audio.channels") for n in [0, -1, 9, 1.5, 10**40]],
        ({"use": []}, "audio.use"),
        ({"use": [1]}, "audio.use"),
        ({"channels": 2, "use": [0, 2]}, "audio.use"),
        ({"channels": 2, "use": [-1]}, "audio.use"),
        ({"channels": 2, "use": [0.5]}, "audio.use"),
        ({"channels": 2, "use": [0, 0]}, "audio.use"),
        *[({"far_end": v}, "audio.far_end") for v in [0, 1, -1, 8, 0.5]],
        ({"channels": 2, "far_end": 2}, "audio.far_end"),
        ({"channels": 2, "far_end": -1}, "audio.far_end"),
        ({"channels": 2, "far_end": 1, "use": [0, 1]}, "audio.far_end"),
    ],
)
def test_audio_of_the_right_types_that_is_not_supported(audio, ref):
    with pytest.raises(UnsupportedAudio) as caught:
        said(hello(audio=audio))
    assert caught.value.ref == ref
    assert caught.value.close_code == 4005


NOT_TEXT = [5, 1.5, True, [], {}]
NOT_NUMBER = ["16000", True, False, None, [], {}]
NOT_OBJECT = [5, "x", True, None, []]


@pytest.mark.parametrize(
    ("fields", "ref"),
    [
        *[({"client": v}, "client") for v in NOT_TEXT],
        *[({"device": v}, "device") for v in NOT_TEXT],
        *[({"audio": v}, "audio") for v in NOT_OBJECT],
        *[({"audio": {"codec": v}}, "audio.codec") for v in [*NOT_TEXT, None]],
        *[({"audio": {"rate": v}}, "audio.rate") for v in NOT_NUMBER],
        *[({"audio": {"channels": v}}, "audio.channels") for v in NOT_NUMBER],
        *[({"audio": {"use": v}}, "audio.use") for v in [0, "0", True, {}]],
        *[({"audio": {"use": [0, v]}}, "audio.use.1") for v in NOT_NUMBER],
        *[({"audio": {"enhance": v}}, "audio.enhance") for v in [*NOT_TEXT, "loud", "", "Deep"]],
        *[({"audio": {"far_end": v}}, "audio.far_end") for v in ["1", True, [], {}]],
        *[({"modules": v}, "modules") for v in NOT_OBJECT],
        *[({"modules": {"wake": v}}, "modules.wake") for v in [5, 0.5, "on", None, []]],
        *[({"resume": v}, "resume") for v in [5, "r_1", True, []]],
        *[({"resume": {"token": v}}, "resume.token") for v in [*NOT_TEXT, None]],
        ({"resume": {}}, "resume.token"),
        *[
            ({"resume": {"token": "r", "last_seq": v}}, "resume.last_seq")
            for v in [*NOT_NUMBER, -1, 1.5, 2**63]
        ],
        # A wrong type is not hidden by a bad value before it.
        ({"audio": {"codec": "vorbis", "rate": "16000"}}, "audio.rate"),
    ],
)
def test_a_wrong_type_in_hello_is_bad_config_and_names_the_field(fields, ref):
    with pytest.raises(BadConfig) as caught:
        said(hello(**fields))
    assert caught.value.ref == ref
    assert f"`{ref}`" in caught.value.message
    assert caught.value.close_code == 4002


@pytest.mark.parametrize(
    ("modules", "ref"), [*[(v, "modules") for v in NOT_OBJECT], ({"wake": 1}, "modules.wake")]
)
def test_a_wrong_type_in_config_is_bad_config(modules, ref):
    with pytest.raises(BadConfig) as caught:
        said({"type": "config", "modules": modules})
    assert caught.value.ref == ref


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "hello",
        "{",
        '{"type":"end"',
        '{"type":"end"} x',
        "{'type':'end'}",
        '{"type":"ping","t":NaN}',
        '{"type":"ping","t":Infinity}',
        '{"type":"ping","t":-Infinity}',
        '{"type":"ping","t":1e999}',
        '{"type":"ping","t":' + "9" * 5000 + "}",
        '{"type":"flush","id":"\\ud800"}',
        "\ud800",
        "[" * 100_000,
        '{"type":' * 100_000,
        "null",
        "5",
        '"end"',
        '[{"type":"end"}]',
        "{}",
        '{"type":null}',
        '{"type":5}',
        '{"type":["end"]}',
        '{"type":"End"}',
        '{"type":"INIT"}',
        '{"type":"ready"}',
        '{"Type":"end"}',
    ],
)
def test_what_is_no_message_of_the_protocol(text):
    with pytest.raises(BadMessage) as caught:
        said(text)
    assert not caught.value.fatal
    assert caught.value.close_code == 4000


@pytest.mark.parametrize(
    ("message", "ref"),
    [
        *[({"type": "flush", "id": v}, "id") for v in [*NOT_TEXT, None]],
        *[({"type": "ping", "t": v}, "t") for v in [True, [], {}]],
        *[
            ({"type": "enrol", "utterances": ["u1"], "speaker": v}, "speaker")
            for v in [*NOT_TEXT, None]
        ],
        ({"type": "enrol", "utterances": ["u1"]}, "speaker"),
        ({"type": "enrol", "speaker": "Ada"}, "utterances"),
        *[
            ({"type": "enrol", "speaker": "Ada", "utterances": v}, "utterances")
            for v in [[], None, "u1", 1, {}]
        ],
        ({"type": "enrol", "speaker": "Ada", "utterances": ["u1", 2]}, "utterances.1"),
        ({"type": "enrol", "speaker": "A", "utterances": ["u1"], "id": 5}, "id"),
        ({"type": "gap"}, "ms"),
        *[({"type": "gap", "ms": v}, "ms") for v in [*NOT_NUMBER, -1, 0.5, MAX_GAP_MS + 1, 10**40]],
        *[
            ({"type": "gap", "samples": v, "ms": 5}, "samples")
            for v in [*NOT_NUMBER, -1, 0.5, MAX_GAP_SAMPLES + 1]
        ],
        ({"type": "audio"}, "data"),
        *[({"type": "audio", "data": v}, "data") for v in [*NOT_TEXT, None]],
        *[
            ({"type": "audio", "data": v}, "data")
            for v in ["AAE", "A", "=", "AA==AA==", "AA\n==", "AA-_", "AA=", "é===", " AAEC"]
        ],
    ],
)
def test_a_wrong_field_in_another_message_is_bad_message(message, ref):
    with pytest.raises(BadMessage) as caught:
        said(message)
    assert caught.value.ref == ref


@given(st.binary(max_size=200))
def test_audio_in_json_comes_back_whole(data):
    text = base64.b64encode(data).decode()
    assert said({"type": "audio", "data": text}) == Audio(data)


def test_a_long_or_strange_value_is_not_thrown_back_at_the_client():
    for message in [
        {"type": "x" * 100_000},
        {"type": "\U0001f600" * 1000},
        {"type": "config", "modules": {"\u2028" * 9999: 7}},
        hello(audio={"codec": "y" * 100_000}),
        hello(audio={"rate": 10**4000}),
    ]:
        with pytest.raises(WireError) as caught:
            said(message)
        assert len(caught.value.message) < 300
        assert len(caught.value.ref or "") < 100


def test_deeply_nested_values_are_never_walked():
    depth = 400
    nested = "[" * depth + "]" * depth
    for text, error in [
        ('{"type":"ping","t":%s}', BadMessage),
        ('{"type":%s}', BadMessage),
        ('{"type":"hello","client":%s}', BadConfig),
        ('{"type":"hello","audio":{"use":%s}}', BadConfig),
    ]:
        with pytest.raises(error):
            said(text % nested)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = ["client", "device", "audio", "modules", "resume", "data", "ms", "id", "t"]
NAMES += ["speaker", "utterances"]
INNER = ["codec", "rate", "channels", "use", "token", "last_seq", "wake"]
near_messages = st.builds(
    lambda kind, fields: {"type": kind, **fields},
    st.sampled_from(["hello", "audio", "gap", "flush", "config", "enrol", "end", "ping"]),
    st.dictionaries(
        st.sampled_from(NAMES),
        json_values | st.dictionaries(st.sampled_from(INNER), json_values, max_size=4),
        max_size=5,
    ),
)


@given(st.text() | json_values.map(json.dumps) | near_messages.map(json.dumps))
def test_whatever_comes_only_wire_errors_are_raised(text):
    try:
        message = said(text)
    except WireError as error:
        msgspec.json.encode([error.message, error.ref])
    else:
        if isinstance(message, Hello):
            assert 8000 <= message.audio.rate <= 48000
            assert 1 <= message.audio.channels <= 8
        msgspec.json.encode(message)


@pytest.mark.parametrize(
    "message", [{"type": "flush"}, {"type": "enrol", "speaker": "Ada", "utterances": ["u1"]}]
)
def test_an_id_is_short_because_the_log_keeps_it(message):
    assert said({**message, "id": "x" * MAX_ID_CHARS}).id == "x" * MAX_ID_CHARS
    with pytest.raises(BadMessage, match=str(MAX_ID_CHARS)):
        said({**message, "id": "x" * (MAX_ID_CHARS + 1)})
