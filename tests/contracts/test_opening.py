"""How a stream opens."""

import asyncio
import json

import pytest
from daemons import Daemon, converse, dial, next_event, silence, speech
from needs import front_end

from streamd.models import catalogue
from streamd.voices import SPEAKER_MODELS

END = {"type": "end"}
PLAIN = {
    "codec": "pcm_s16le",
    "rate": 16000,
    "channels": 1,
    "use": [0],
    "enhance": "off",
    "far_end": None,
    "delay_ms": 0,
}
"""The `audio` of `ready` for a client that says nothing."""


async def test_nothing_is_said_on_connect(daemon: Daemon):
    async with dial(daemon.url) as socket:
        await (await socket.ping())  # what the server had said would have come before its pong
        said = asyncio.ensure_future(socket.recv())
        await asyncio.sleep(0)
        assert not said.done()
        said.cancel()


@pytest.mark.parametrize(
    "first",
    [
        {"type": "hello"},
        b"\0\0",
        {"type": "audio", "data": "AAA="},
        {"type": "flush", "id": "f"},
        {"type": "ping", "t": 1},
        {"type": "config", "modules": {}},
        {"type": "gap", "ms": 5},
        {"type": "end"},
        "not JSON",
        '{"type":"sing"}',
        "[]",
    ],
    ids=str,
)
async def test_ready_is_the_first_answer_to_the_first_message_of_any_kind(daemon: Daemon, first):
    async with dial(daemon.url) as socket:
        await socket.send(json.dumps(first) if isinstance(first, dict) else first)
        assert (await next_event(socket))["type"] == "ready"


async def test_ready_says_what_is_in_force(daemon: Daemon):
    received = await converse(
        daemon.url,
        {
            "type": "hello",
            "client": "test/1",
            "device": "bench",
            "audio": {"rate": 48000, "channels": 2, "use": [1]},
            "modules": {"vad": {}, "wake": {"words": ["timer"], "threshold": 0.6}},
            "resume": None,
        },
        END,
    )
    ready = received.events[0]
    assert ready["protocol"] == 1
    assert ready["session"].startswith("s_")
    assert ready["epoch_ms"] > 1_700_000_000_000
    assert ready["audio"] == PLAIN | {"rate": 48000, "channels": 2, "use": [1]}
    assert set(ready["modules"]) == {"vad", "wake"}
    wake = ready["modules"]["wake"]
    assert wake["words"] == ["timer"]
    assert {"model", "license", "latency_ms"} <= wake.keys()
    assert ready["limits"].keys() == {"max_message_bytes", "max_lag_ms", "idle_s", "max_session_s"}
    assert ready["resume"]["token"].startswith("r_")
    assert ready["resume"]["window_s"] == 60
    assert "resumed" not in ready
    assert (received.code, received.codes) == (1000, [])


async def test_audio_without_hello_gets_the_defaults(daemon: Daemon):
    received = await converse(daemon.url, silence(0.1), END)
    ready = received.events[0]
    assert ready["audio"] == PLAIN
    assert set(ready["modules"]) == {"vad", "wake", "speaker", "emotion"}
    assert ready["modules"]["wake"]["words"] == ["alexa"]


async def test_ready_says_which_front_end_is_in_force(daemon: Daemon):
    front_end("webrtc", "echo", "deep")
    audio = {"channels": 2, "far_end": 1}
    for enhance, delay_ms in ("webrtc", 24), ("deep", 52), ("off", 18):
        hello = {"type": "hello", "audio": audio | {"enhance": enhance}, "modules": {"vad": {}}}
        received = await converse(daemon.url, hello, silence(0.2), END)
        in_force = {"channels": 2, "enhance": enhance, "far_end": 1, "delay_ms": delay_ms}
        assert received.events[0]["audio"] == PLAIN | in_force
        assert (received.code, received.codes) == (1000, [])


@pytest.mark.parametrize("enhance", ["webrtc", "deep"])
async def test_times_stay_those_of_the_input_behind_a_front_end(daemon: Daemon, enhance: str):
    front_end(enhance)
    found = []
    for kind in ("off", enhance):
        hello = {"type": "hello", "audio": {"enhance": kind}, "modules": {"vad": {}, "wake": {}}}
        received = await converse(daemon.url, hello, speech(), END)
        assert received.last["samples"] == len(speech()) // 2
        found.append((received.of("wake"), received.of("speech_start"), received.of("speech_end")))
    plain, clean = found
    for before, after in zip(plain, clean, strict=True):
        assert len(after) == len(before)
        for one, other in zip(before, after, strict=True):
            assert abs(one["t0"] - other["t0"]) <= 160
            assert abs(one["t1"] - other["t1"]) <= 160


async def test_ready_names_both_default_voice_models_with_licence_and_training_data(
    daemon: Daemon,
):
    received = await converse(daemon.url, {"type": "hello", "modules": {"speaker": {}}}, END)
    speaker = received.events[0]["modules"]["speaker"]
    named = speaker["model"].split(", ")
    assert named == [SPEAKER_MODELS["campplus"], SPEAKER_MODELS["ge2e"]]
    for model in map(catalogue.model, named):
        assert model.licence in speaker["license"].split(", ")
        assert model.source in speaker["source"].split(", ")
        assert model.training_data in speaker["training_data"]


async def test_the_audio_that_opens_the_stream_is_not_lost(daemon: Daemon):
    received = await converse(daemon.url, speech(), END)
    assert received.last["samples"] == len(speech()) // 2
    assert received.of("wake")


@pytest.mark.parametrize("offered", [["streamd.v1"], ["x.v9", "streamd.v1"], None])
async def test_the_subprotocol_is_accepted_and_not_needed(daemon: Daemon, offered):
    async with dial(daemon.url, subprotocols=offered) as socket:
        assert socket.subprotocol == (None if offered is None else "streamd.v1")
        await socket.send('{"type":"end"}')
        assert (await next_event(socket))["type"] == "ready"


@pytest.mark.parametrize("kind", [True, {}])
async def test_a_module_is_on_when_true_or_empty_and_off_when_false(daemon: Daemon, kind):
    modules = {"vad": kind, "wake": False, "speaker": False}
    received = await converse(daemon.url, {"type": "hello", "modules": modules}, speech(), END)
    assert set(received.events[0]["modules"]) == {"vad"}
    assert received.of("speech_start")
    assert not received.of("wake", "speaker")


async def test_without_vad_no_edges_are_said_and_the_rest_still_works(daemon: Daemon):
    modules = {"vad": False, "wake": {}, "speaker": {}}
    received = await converse(daemon.url, {"type": "hello", "modules": modules}, speech(), END)
    assert not received.of("speech_start", "speech_end")
    assert received.of("wake")
    assert received.of("speaker")


@pytest.mark.parametrize(
    ("modules", "code"),
    [
        ({"smell": {}}, "unknown_module"),
        ({"vad": {"colour": 1}}, "unknown_option"),
        ({"wake": {"colour": 1}}, "unknown_option"),
        ({"speaker": {"colour": 1}}, "unknown_option"),
        ({"transcript": {"language": "en"}}, "module_unavailable"),
        ({"transcript": True}, "module_unavailable"),
        ({"wake": {"words": ["alexa", "abracadabra"]}}, "unknown_word"),
    ],
)
async def test_what_is_unknown_is_warned_of_and_the_rest_is_served(daemon: Daemon, modules, code):
    request = {"wake": {}, **modules}
    received = await converse(daemon.url, {"type": "hello", "modules": request}, speech(), END)
    assert received.codes == [code]
    assert received.of("warning")[0]["message"]
    assert {event["word"] for event in received.of("wake")} == {"alexa"}
    assert received.code == 1000


async def test_a_module_that_is_off_is_not_warned_of(daemon: Daemon):
    modules = {"vad": {}, "transcript": False, "emotion": False}
    received = await converse(daemon.url, {"type": "hello", "modules": modules}, END)
    assert received.codes == []


async def test_unknown_fields_are_ignored(daemon: Daemon):
    hello = {"type": "hello", "later": {"x": 1}, "audio": {"rate": 16000, "later": 1}}
    received = await converse(daemon.url, hello, {"type": "end", "later": 1})
    assert (received.types, received.code) == (["ready", "bye"], 1000)


BAD_CONFIG = [
    {"audio": 1},
    {"audio": {"rate": "16000"}},
    {"audio": {"rate": True}},
    {"audio": {"codec": 5}},
    {"audio": {"channels": None}},
    {"audio": {"use": 0}},
    {"audio": {"use": ["left"]}},
    {"modules": []},
    {"modules": {"vad": 1}},
    {"modules": {"vad": None}},
    {"modules": {"vad": {"threshold": "high"}}},
    {"modules": {"vad": {"threshold": 2}}},
    {"modules": {"wake": {"words": "alexa"}}},
    {"modules": {"wake": {"words": [1]}}},
    {"modules": {"wake": {"words": ["abracadabra", "simsalabim"]}}},
    {"modules": {"wake": {"threshold": -1}}},
    {"modules": {"wake": {"threshold": True}}},
    {"client": 7},
    {"device": []},
    {"resume": "r_1"},
]


@pytest.mark.parametrize("fields", BAD_CONFIG, ids=json.dumps)
async def test_a_wrong_type_or_a_value_out_of_range_closes_4002(daemon: Daemon, fields):
    received = await converse(daemon.url, {"type": "hello", **fields}, silence(0.1), END)
    assert (received.code, received.reason) == (4002, "bad_config")
    error = received.last
    assert (error["type"], error["code"], error["fatal"]) == ("error", "bad_config", True)
    assert error["message"]
    assert error["retryable"] is False


UNSUPPORTED = [
    {"rate": 0},
    {"rate": -16000},
    {"rate": 7999},
    {"rate": 48001},
    {"rate": 1_000_000},
    {"rate": 16000.5},
    {"rate": 1e308},
    {"channels": 0},
    {"channels": 9},
    {"channels": 1.5},
    {"codec": "vorbis"},
    {"codec": "opus", "rate": 44_100},
    {"codec": "opus", "channels": 3},
    {"codec": "mp3"},
    {"codec": ""},
    {"use": []},
    {"use": [1]},
    {"use": [-1]},
    {"channels": 2, "use": [0, 0]},
    {"far_end": 0},
    {"channels": 2, "far_end": 2},
    {"channels": 2, "far_end": 1, "use": [0, 1]},
]


@pytest.mark.parametrize("audio", UNSUPPORTED, ids=json.dumps)
async def test_audio_that_is_not_taken_closes_4005(daemon: Daemon, audio):
    received = await converse(daemon.url, {"type": "hello", "audio": audio}, silence(0.1), END)
    assert (received.code, received.reason) == (4005, "unsupported_audio")
    error = received.last
    assert (error["type"], error["code"], error["fatal"]) == ("error", "unsupported_audio", True)
    assert error["ref"].startswith("audio.")


async def test_a_hello_after_the_first_message_is_refused_and_the_stream_goes_on(daemon: Daemon):
    received = await converse(daemon.url, silence(0.1), {"type": "hello"}, silence(0.1), END)
    (error,) = received.of("error")
    assert (error["code"], error["fatal"]) == ("bad_message", False)
    assert (received.code, received.last["samples"]) == (1000, 3200)


async def test_a_session_to_go_on_with_is_unknown_and_closes_4004(daemon: Daemon):
    hello = {"type": "hello", "resume": {"token": "r_1", "last_seq": 3}}
    received = await converse(daemon.url, hello)
    assert (received.codes, received.code, received.reason) == (
        ["resume_unknown"],
        4004,
        "resume_unknown",
    )
