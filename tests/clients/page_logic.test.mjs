// The parts of the page that know no DOM. Run by test_browser_page.py with `node --test`.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

// The page has no package.json that would tell node that its .js files are modules.
// So each is a data: URL, and so is all that it imports.
const urls = new Map();
const asUrl = (name) => {
  if (!urls.has(name)) {
    const text = readFileSync(new URL(`../../clients/browser/${name}`, import.meta.url), "utf8");
    const linked = text.replace(/ from "\.\/([^"]+)"/g, (_, other) => ` from "${asUrl(other)}"`);
    urls.set(name, `data:text/javascript,${encodeURIComponent(linked)}`);
  }
  return urls.get(name);
};
const load = (name) => import(asUrl(name));
const pcm = await load("pcm.js");
const protocol = await load("protocol.js");
const { EventLog, Latency, Timeline, group, slopes } = await load("model.js");
const reasons = await load("reasons.js");
const { Pulse } = await load("pulse.js");
const { Replay } = await load("replay.js");
const { Session } = await load("session.js");
const { Stream } = await load("stream.js");

test("samples are clamped, rounded and counted in whole frames", () => {
  assert.deepEqual([...pcm.toInt16([0, 1, -1, 2, -2, 0.5])], [0, 32767, -32767, 32767, -32767, 16384]);
  assert.deepEqual([48_000, 44_100, 11_025].map(pcm.messageFrames), [960, 882, 220]);
  assert.equal(pcm.meter(1), 1);
  assert.equal(pcm.meter(0), 0);
  assert.ok(Math.abs(pcm.peak(Float32Array.of(0.1, -0.7, 0.3)) - 0.7) < 1e-6);
});

test("a rate over the server's limit is divided by a whole number", () => {
  assert.deepEqual([16_000, 48_000, 88_200, 96_000, 176_400, 192_000, 64_000].map(pcm.downBy), [1, 1, 2, 2, 4, 4, 2]);
});

test("a decimated tone keeps its level, one that would fold back is gone, and blocks make no difference", () => {
  const tone = (hz, rate) => Float32Array.from({ length: rate / 2 }, (_, n) => Math.sin((2 * Math.PI * hz * n) / rate));
  for (const rate of [96_000, 192_000]) {
    const factor = pcm.downBy(rate);
    const loudest = (hz) => pcm.peak(new pcm.Decimator(factor).push(tone(hz, rate)).subarray(1000));
    assert.ok(Math.abs(loudest(1000) - 1) < 0.01);
    assert.ok(Math.abs(loudest(7000) - 1) < 0.01);
    assert.ok(loudest(47_000) < 0.001); // it would be heard at 1 kHz
  }
  const whole = new pcm.Decimator(2).push(tone(440, 96_000));
  assert.equal(whole.length, 24_000);
  const decimator = new pcm.Decimator(2);
  const pieces = [];
  for (let at = 0, size = 1; at < 48_000; at += size++) pieces.push(...decimator.push(tone(440, 96_000).subarray(at, at + size)));
  assert.deepEqual(pieces, [...whole]);
});

test("a microphone without blocks is dead, one of pure zeros is silent, and a quiet one is alive", () => {
  const second = (pulse, peak) => {
    if (peak !== undefined) for (let n = 0; n < 50; n++) pulse.block(peak);
    return pulse.tick();
  };
  const seconds = (pulse, ...peaks) => peaks.map((peak) => second(pulse, peak));
  const none = undefined;
  assert.deepEqual(seconds(new Pulse(), none, none, none, none), ["alive", "alive", "alive", "dead"]);
  assert.deepEqual(seconds(new Pulse(), none, none, none, 1e-5, none), Array(5).fill("alive"));
  const silent = new Pulse();
  assert.deepEqual(seconds(silent, 0.1, 0, 0, 0, 0), ["alive", "alive", "alive", "alive", "silent"]);
  assert.equal(second(silent, 1e-5), "alive");
});

test("hello names the context's rate and turns off what is not chosen", () => {
  const choice = { words: ["alexa"], modules: ["speaker"], offered: ["speaker", "emotion"] };
  const { audio, modules } = protocol.hello(44_100, choice);
  assert.deepEqual(audio, { codec: "pcm_s16le", rate: 44_100, channels: 1 });
  assert.deepEqual(modules, { vad: {}, wake: { words: ["alexa"] }, speaker: {}, emotion: false });
  assert.equal(protocol.hello(16_000, { ...choice, words: [] }).modules.wake, false);
});

test("an info with fields missing still offers something, and nothing that is not there", () => {
  assert.deepEqual(protocol.offers(undefined), { words: ["alexa"], modules: ["speaker"] });
  assert.deepEqual(protocol.offers({ modules: { vad: {}, wake: {} } }), { words: [], modules: [] });
  const modules = { wake: { words: ["a", { word: "b" }] }, speaker: {}, emotion: false };
  assert.deepEqual(protocol.offers({ modules }), { words: ["a", "b"], modules: ["speaker"] });
});

test("the stream is on the page's own host, with a ticket if there is one", () => {
  const page = { href: "https://box:8443/", protocol: "https:" };
  assert.equal(protocol.streamUrl(page, "t 1"), "wss://box:8443/v1/stream?ticket=t+1");
  assert.equal(protocol.streamUrl({ href: "http://box/", protocol: "http:" }), "ws://box/v1/stream");
});

test("closes are explained, and only those that may be retried are", () => {
  assert.equal(reasons.explainClose(1012).retry, true);
  assert.equal(reasons.explainClose(4009).retry, false);
  assert.equal(reasons.explainClose(4012).retry, true);
  assert.equal(reasons.explainClose(4001).key, true);
  assert.match(reasons.explainClose(4999).text, /4999/);
  const refused = reasons.explainClose(4002, { message: "no such word", retryable: false });
  assert.match(refused.text, /No such word\.$/);
});

const place = (href) => {
  const { protocol, hostname, port, host, origin } = new URL(href);
  return { protocol, hostname, port, host, origin };
};

const BY_TUNNEL = /“ssh -L 8765:127\.0\.0\.1:8765 box” and open http:\/\/localhost:8765/;

test("over plain http there is no microphone, and the page says how to get one", () => {
  const named = ["http://box:8765/", "http://box.lan/", "http://127.0.0.1.example:8765/"];
  const open = ["https://box/", "http://localhost:8765/", "http://127.0.0.1:8765/", "http://[::1]:8765/", "http://10.0.0.7/"];
  assert.deepEqual(named.map((href) => reasons.isNamedWithoutTls(place(href))), [true, true, true]);
  assert.deepEqual(open.map((href) => reasons.isNamedWithoutTls(place(href))), Array(5).fill(false));
  assert.match(reasons.noMicrophone(place("http://10.0.0.7:9000/")), /127.0.0.1:9000 10.0.0.7”.* Playing a file works here\.$/);
  assert.match(reasons.noMicrophone(place("http://box:8765/")), BY_TUNNEL);
  assert.doesNotMatch(reasons.noMicrophone(place("http://box:8765/")), /a file/);
  assert.match(reasons.noMicrophone(place("http://box:8765/"), "sk_1"), /a file works/);
  assert.match(reasons.noMicrophone(place("http://box:8765/")), /over https/);
});

test("others can read what goes over plain http to another machine", () => {
  const readable = ["http://box:8765/", "http://10.0.0.7/", "http://127.0.0.1.example/"];
  const not = ["https://box/", "http://localhost:8765/", "http://127.0.0.1:8765/", "http://[::1]:8765/"];
  assert.deepEqual(readable.map((href) => reasons.isReadable(place(href))), Array(3).fill(true));
  assert.deepEqual(not.map((href) => reasons.isReadable(place(href))), Array(4).fill(false));
});

test("a refusal says what is missing", () => {
  const why = (status, error, key, href = "https://box/") =>
    reasons.explainDenial({ status, body: error && { error } }, key, place(href));
  assert.match(why(401, { code: "unauthenticated" }).text, /asks for an API key.*streamd keys create/);
  assert.match(why(401, undefined, "sk_1").text, /does not accept this API key: .*unknown, expired or revoked/);
  assert.deepEqual([why(401).key, why(401, undefined, "sk_1").key], [true, true]);

  const scope = why(403, { code: "forbidden", message: "this key lacks the scope 'stream'" }, "sk_1");
  assert.match(scope.text, /may not stream\. This key lacks the scope 'stream'\.$/);
  assert.equal(scope.key, true);

  const foreign = why(403, { code: "forbidden", ref: "origin" }, "sk_1", "https://wall.example/");
  assert.match(foreign.text, /pages of https:\/\/wall\.example.*server\.origins/);
  assert.equal(foreign.key, false);
  assert.deepEqual(why(403, undefined, "sk_1", "https://wall.example/"), foreign); // by a proxy

  const named = why(403, { code: "forbidden", ref: "host" }, undefined, "http://box:8765/");
  assert.match(named.text, BY_TUNNEL);
  assert.match(named.text, /Without an API key.*list http:\/\/box:8765 in server\.origins/);
  assert.equal(named.key, true);

  const address = why(403, { code: "forbidden", ref: "address" });
  assert.match(address.text, /access\.allow_ips/);
  assert.deepEqual([address.key, address.retry], [false, false]);

  const often = reasons.explainDenial({ status: 429, retryAfterMs: 2000 }, "sk_1", place("https://box/"));
  assert.deepEqual([often.retry, often.retryAfterMs, often.key], [true, 2000, false]);
  assert.match(why(500, { message: "the server's log says why" }).text, /\(500\)\. The server's log says why\.$/);
  assert.equal(why(503, { code: "overloaded" }).retry, true);
});

test("a stream that found no room is tried again, and one that was lost on the way names the proxy", () => {
  const full = (answer) => reasons.explainFullness(answer);
  assert.match(full({ status: 503, body: { status: "draining" }, retryAfterMs: 5000 }).text, /restarting/);
  assert.equal(full({ status: 503, body: { status: "draining" }, retryAfterMs: 5000 }).retryAfterMs, 5000);
  for (const answer of [{ status: 200, body: { streams: 8, max_streams: 8 } }, { status: 503, body: {} }]) {
    assert.equal(full(answer).retry, true);
  }
  for (const body of [{ streams: 0, max_streams: 8 }, { status: "ready" }, undefined]) {
    assert.equal(full({ status: 200, body }), null);
  }
  for (const key of [undefined, "sk_1"]) {
    const { text, retry, lost } = reasons.explainLostUpgrade(key);
    assert.match(text, /proxy.*Upgrade/);
    assert.deepEqual([retry, lost, text.includes("as many streams")], [true, true, Boolean(key)]);
  }
  assert.deepEqual([200, 201, 401, 403, 404, 429, 500, 503].filter((status) => reasons.isDenial({ status })), [401, 403, 429, 503]);
  assert.equal(reasons.explainSilence(place("http://box:8765/")).retry, true);
});

test("coming back takes a random wait that grows to 10 s, after what the server asked for", () => {
  const longest = (end, attempt) => protocol.reconnectWaitMs(end, attempt, () => 1);
  assert.deepEqual([1, 2, 3, 9].map((attempt) => longest({}, attempt)), [500, 1000, 2000, 10_000]);
  assert.equal(protocol.reconnectWaitMs({}, 1, () => 0), 0);
  assert.equal(protocol.reconnectWaitMs({ retryAfterMs: 3000 }, 1, () => 0), 3000);
  const restart = { afresh: true, code: 1012 };
  assert.deepEqual([0, 1].map((drawn) => protocol.reconnectWaitMs(restart, 1, () => drawn)), [1000, 5000]);
});

test("a drop goes on with the session; a restart and an unknown token begin a new one", () => {
  for (const code of [1006, 1011, 4008, 4010]) {
    const { retry, afresh } = reasons.explainClose(code, { retryable: false });
    assert.deepEqual([retry, afresh], [true, false], code);
  }
  for (const code of [1001, 1012, 4004, 4011]) {
    const { retry, afresh } = reasons.explainClose(code, { retryable: false });
    assert.deepEqual([retry, afresh], [true, true], code);
  }
});

/** A server that counts as the protocol says. */
class Counting {
  constructor() {
    Object.assign(this, { samples: [], heard: 0, controls: 0, ended: false });
  }

  take(message) {
    if (ArrayBuffer.isView(message)) {
      this.samples.push(...message);
      this.heard += message.length;
    } else if (message.type !== "ping") {
      this.controls++;
      if (message.type === "gap") this.samples.push(...Array(message.samples).fill(null));
      else this.ended = true;
    }
  }
}

/** Random numbers that are the same each time (mulberry32). */
function seeded(seed) {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

test("whatever drops, the server gets every sample in its place, or a gap where a full buffer lost it", () => {
  for (let seed = 0; seed < 2000; seed++) {
    const random = seeded(seed);
    const bound = seed % 2 ? 1_000_000 : 2 + random(40);
    const replay = new Replay(bound, 1);
    const server = new Counting();
    let said = 0;
    const way = [];
    const send = () => {
      const message = replay.next();
      if (message !== null) way.push(message);
    };
    const cut = () => {
      way.length = 0;
      replay.resume(server.heard, server.controls);
    };
    for (let step = 0; step < 60; step++) {
      const action = random(6);
      if (action < 2 && step < 50) {
        replay.push(Int16Array.from({ length: 1 + random(20) }, () => said++ % 30_000));
        assert.ok(replay.head - replay.start <= bound);
      } else if (action === 2) send();
      else if (action === 3 && way.length > 0) server.take(way.shift());
      else if (action === 4) replay.acked(Math.max(0, server.heard - random(10)));
      else if (action === 5) cut();
      if (step === 50) replay.end();
    }
    cut();
    for (send(); way.length > 0; send()) server.take(way.shift());
    assert.equal(server.samples.length, said, `seed ${seed}`);
    server.samples.forEach((sample, index) => assert.ok(sample === null ? !(seed % 2) : sample === index, `seed ${seed}`));
    assert.ok(server.ended);
  }
});

test("a loss that was named before the drop comes again behind a ping, and keeps its cause", () => {
  const messages = (replay) => [...Array(4)].map(() => replay.next()).map((message) => message?.type ?? message?.length);
  const overflown = () => {
    const replay = new Replay(10, 1);
    replay.push(new Int16Array(6));
    assert.equal(replay.next().length, 6);
    replay.push(new Int16Array(10));
    replay.push(new Int16Array(10)); // the socket took nothing meanwhile
    return replay;
  };
  const replay = overflown();
  assert.deepEqual(messages(replay), ["gap", 10, undefined, undefined]);
  assert.equal(replay.resume(6, 0), 10);
  assert.deepEqual(messages(replay), ["ping", "gap", 10, undefined]);
  assert.equal(replay.resume(6, 0), 10); // again, and again neither arrived
  assert.deepEqual(messages(replay), ["ping", "gap", 10, undefined]);
  assert.equal(replay.resume(6, 1), 0); // now the gap did
  assert.deepEqual(messages(replay), [10, undefined, undefined, undefined]);

  const grown = overflown();
  grown.next();
  grown.push(new Int16Array(10));
  assert.equal(grown.resume(6, 0), 20);
  assert.deepEqual(messages(grown), ["gap", 10, undefined, undefined]);
  assert.equal(grown.resume(6, 0), 20); // the drop has lost it, however often it is named
  assert.deepEqual(messages(grown), ["gap", 10, undefined, undefined]);

  const partly = overflown();
  partly.next();
  assert.equal(partly.resume(4, 0), 12); // what was sent before it is gone too
  assert.equal(partly.next().type, "gap");

  const unnamed = overflown();
  assert.equal(unnamed.resume(6, 0), 10);
  assert.equal(unnamed.next().type, "gap");
});

test("a new session begins with what is kept, and its clock there", () => {
  const replay = new Replay(1000, 1);
  replay.push(Int16Array.from([1, 2, 3]));
  replay.push(Int16Array.from([4, 5]));
  while (replay.next() !== null);
  replay.acked(3);
  replay.restart();
  assert.deepEqual([...replay.next()], [4, 5]);
  assert.equal(replay.frames, 2);
});

test("the timeline forgets what left its window, and never what is still open", () => {
  const timeline = new Timeline(1000);
  timeline.apply({ type: "speech_start", utterance: "u1", t0: 0, t1: 100 });
  timeline.apply({ type: "speech_end", utterance: "u1", t0: 0, t1: 300 });
  timeline.apply({ type: "speech_start", utterance: "u2", t0: 400, t1: 500 });
  timeline.apply({ type: "wake", word: "alexa", score: 1, t0: 0, t1: 200 });
  timeline.apply({ type: "a_later_type" });
  for (let ms = 20; ms <= 5000; ms += 20) timeline.level(ms, 0.5);
  assert.deepEqual([...timeline.speech.keys()], ["u2"]);
  assert.equal(timeline.wakes.length, 0);
  assert.ok(timeline.speaking);
  const columns = [...timeline.columns()];
  assert.equal(columns.length, 50);
  assert.deepEqual(columns.at(-1), [4980, 0.5]);
});

test("a voice keeps its colour and its lane; later decisions replace earlier ones", () => {
  const timeline = new Timeline();
  const speaker = (utterance, name, score) => ({ type: "speaker", utterance, speaker: name, score, t0: 0, t1: 1 });
  timeline.apply(speaker("u1", "maria", 0.5));
  timeline.apply(speaker("u2", null, 0));
  timeline.apply(speaker("u3", "S1", 0.6));
  timeline.apply(speaker("u1", "maria", 0.9));
  const lanes = timeline.lanes();
  assert.deepEqual(lanes.map((lane) => [lane.name, lane.voice]), [["maria", 0], ["S1", 1], [null, -1]]);
  assert.deepEqual(lanes[0].bands.map((band) => band.score), [0.9]);
  timeline.apply({ ...speaker("u4", "S2", 0.7), t1: 900 });
  assert.deepEqual(timeline.lanes(0, 1).map((lane) => lane.name), ["S2"]);
  assert.deepEqual(timeline.lanes(500).map((lane) => lane.name), ["S2"]);
  timeline.reset();
  assert.equal(timeline.voice("S1"), 1);
});

test("where another voice takes over, each keeps its band, its lane and its arousal", () => {
  const timeline = new Timeline();
  const speaker = (name, t0, t1, more) => timeline.apply({ type: "speaker", utterance: "u1", speaker: name, t0, t1, final: false, ...more });
  const bands = () => [...timeline.speakers.get("u1")].map(({ speaker: name, t0, t1, final }) => [name, t0, t1, final]);
  timeline.apply({ type: "speech_start", utterance: "u1", t0: 88, t1: 352 });
  speaker("Ada", 288, 1888);
  timeline.apply(emotion(288, 1888, 0.2));
  speaker("Ada", 288, 5888); // the second voice speaks already, and nobody knows yet
  timeline.apply(emotion(3288, 5888, 0.3));
  timeline.apply({ type: "speaker_change", utterance: "u1", from: "Ada", to: "S1", t0: 5088, t1: 6888 });
  assert.deepEqual(bands(), [["Ada", 288, 5088, true]]);
  speaker("S1", 5088, 6888);
  timeline.apply(emotion(4288, 6888, 0.9));
  speaker("S1", 5088, 8500, { final: true });
  timeline.apply(emotion(5088, 8500, 0.8, { final: true }));
  assert.deepEqual(bands(), [["Ada", 288, 5088, true], ["S1", 5088, 8500, true]]);
  assert.deepEqual(timeline.lanes().map((lane) => [lane.name, lane.bands.length]), [["Ada", 1], ["S1", 1]]);
  const moods = timeline.moods.get("u1");
  assert.deepEqual(moods.map(({ t0, t1, until }) => [t0, t1, until]), [[288, 5088, 5088], [5088, 8500, Infinity]]);
  assert.deepEqual(moods.map((mood) => timeline.voiceAt("u1", mood.t0)), [0, 1]);
  assert.deepEqual(moods.map(({ points }) => points[0][1]), [0.2, 0.9]);
  assert.deepEqual(moods.map(({ final }) => final?.t0), [undefined, 5088]);
  for (let ms = 20; ms <= 36_000; ms += 20) timeline.level(ms, 0.5);
  assert.deepEqual(bands(), [["S1", 5088, 8500, true]]);
  timeline.level(40_000, 0.5);
  assert.deepEqual([timeline.speakers.size, timeline.moods.size], [0, 0]);
});

test("a voice that begins anew without a change of name does not lose what it had", () => {
  const timeline = new Timeline();
  const speaker = (t0, t1) => timeline.apply({ type: "speaker", utterance: "u1", speaker: "Ada", t0, t1, final: false });
  speaker(0, 3000);
  speaker(2000, 4000);
  speaker(2000, 5000);
  assert.deepEqual(timeline.lanes()[0].bands.map(({ t0, t1 }) => [t0, t1]), [[0, 2000], [2000, 5000]]);
});

const emotion = (t0, t1, arousal, more = {}) => ({
  type: "emotion", utterance: "u1", t0, t1, at: t1, label: "happy", score: 0.41,
  scores: { angry: 0.2, happy: 0.41, sad: 0.39 }, arousal, abstain: false, final: false, ...more,
});

test("interims are points of arousal, and the first one holds for all that it heard", () => {
  const timeline = new Timeline();
  timeline.apply(emotion(100, 1700, 0.5));
  timeline.apply(emotion(100, 2200, 0.7, { abstain: true }));
  timeline.apply(emotion(100, 2200, 0.9)); // a point in time has one arousal
  timeline.apply(emotion(300, 2700, 1.2));
  timeline.apply(emotion(300, 3200, undefined));
  timeline.apply(emotion(100, 3500, 0.6, { final: true }));
  const mood = timeline.moods.get("u1")[0];
  assert.deepEqual(mood.points, [[100, 0.5], [1700, 0.5], [2200, 0.7], [2700, 1]]);
  assert.equal(mood.final.t1, 3500);
  assert.equal(timeline.lastMood, mood.final);
});

test("speech too short for interims has the arousal of its final, all through", () => {
  const timeline = new Timeline();
  timeline.apply(emotion(100, 900, 0.3, { final: true }));
  assert.deepEqual(timeline.moods.get("u1")[0].points, [[100, 0.3], [900, 0.3]]);
});

test("moods are forgotten as they leave the window, also in speech that does not end", () => {
  const timeline = new Timeline(5000);
  timeline.apply(emotion(0, 800, 0.5, { utterance: "u0", final: true }));
  timeline.apply({ type: "speech_start", utterance: "u1", t0: 1000, t1: 1100 });
  for (let ms = 2500; ms <= 600_000; ms += 500) {
    timeline.apply(emotion(ms - 1500, ms, 0.5));
    timeline.level(ms, 0.5);
  }
  assert.deepEqual([...timeline.moods.keys()], ["u1"]);
  const [{ points }] = timeline.moods.get("u1");
  assert.equal(points.length, 11);
  assert.ok(points[0][0] <= 595_000); // the line still comes in from outside
  timeline.level(606_000, 0.5);
  assert.equal(timeline.moods.size, 0);
});

test("room for moods is kept from the start of a session that listens for them", () => {
  const timeline = new Timeline();
  timeline.apply({ type: "ready", modules: { vad: {}, emotion: {} } });
  assert.equal(timeline.hasMoods, true);
  timeline.reset();
  for (const modules of [undefined, { vad: {} }, { emotion: false }]) timeline.apply({ type: "ready", modules });
  assert.equal(timeline.hasMoods, false);
  timeline.apply(emotion(0, 1600, 0.5));
  assert.equal(timeline.hasMoods, true);
});

test("the line is smooth, goes through its points and never past them", () => {
  const points = [[0, 0.2], [16, 0.2], [21, 0.9], [26, 1], [31, 0.1], [36, 0.15], [37, 0.6]];
  const slope = slopes(points);
  for (let i = 1; i < points.length; i++) {
    const [[x0, y0], [x1, y1]] = [points[i - 1], points[i]];
    const third = (x1 - x0) / 3;
    const between = [y0 + slope[i - 1] * third, y1 - slope[i] * third]; // of the Bézier curve
    for (const y of between) assert.ok(y >= Math.min(y0, y1) - 1e-9 && y <= Math.max(y0, y1) + 1e-9);
  }
  assert.equal(slope[1], 0);
  assert.ok(slope[2] > 0);
  assert.equal(slope[3], 0);
  assert.deepEqual([slopes([]), slopes([[5, 1]]), slopes([[0, 0], [2, 1]])], [[], [0], [0.5, 0.5]]);
});

test("a mood names its label only where one may act on it", () => {
  const sure = protocol.mood(emotion(0, 1600, 0.62));
  assert.deepEqual([sure.text, sure.note], ["happy", "0.41 · arousal 0.62"]);
  assert.deepEqual(sure.odds.filter(({ top }) => top).map(({ says }) => says), ["happy 0.41"]);
  assert.equal(sure.aria, "happy, happy 0.41, sad 0.39, angry 0.20");
  const unsure = protocol.mood(emotion(0, 1600, 0.62, { abstain: true }));
  assert.deepEqual([unsure.text, unsure.note], ["unsure", "arousal 0.62"]);
  assert.ok(!unsure.odds.some(({ top }) => top));
  assert.deepEqual(unsure.odds.map(({ share }) => share), [0.2, 0.41, 0.39]);
  assert.match(unsure.aria, /^unsure, /);
});

test("a mood of few fields, or none at all, can be shown", () => {
  const none = protocol.mood(null);
  assert.deepEqual([none.text, none.note, none.odds.length], ["–", "none yet", 7]);
  assert.ok(none.odds.every(({ share, top }) => share === 0 && !top));
  const bare = protocol.mood({ type: "emotion", label: "calm", scores: { calm: "?" } });
  assert.deepEqual([bare.text, bare.note, bare.aria], ["calm", "", "calm"]);
  assert.equal(protocol.mood({ type: "emotion" }).text, "unsure");
});

test("latency is counted from the message that held the sample", () => {
  const latency = new Latency();
  assert.equal(latency.quantile(0.5), null);
  for (let ms = 20; ms <= 1000; ms += 20) latency.sent(ms, 10_000 + ms);
  latency.heard(90, 10_150); // sample 90 left with the message up to 100
  assert.equal(latency.quantile(0.5), 50);
  latency.heard(5000, 10_200); // never sent
  assert.equal(latency.values.length, 1);
  for (let ms = 0; ms < 100_000; ms++) latency.sent(ms, ms);
  assert.ok(latency.marks.length <= 3000);
});

test("the log is bounded, leaves out acks and gives JSON lines", () => {
  const log = new EventLog(3);
  assert.equal(log.add({ type: "ack" }), false);
  for (let seq = 1; seq <= 5; seq++) log.add({ type: "wake", seq });
  log.add({ type: "speaker", final: false });
  assert.equal(log.text("wake", false), '{"type":"wake","seq":4}\n{"type":"wake","seq":5}');
  assert.equal(log.text("speaker", true), '{"type":"speaker","final":false}');
  assert.deepEqual(["speech_end", "flushed"].map(group), ["speech", "other"]);
});

test("after the end the last events are waited for as long as any come", () => {
  const real = { setTimeout, clearTimeout, setInterval, WebSocket: globalThis.WebSocket };
  let [nowMs, id] = [0, 0];
  const timers = new Map(); // id → [due, call]
  const pass = (ms) => {
    nowMs += ms;
    for (const [id, [due, call]] of timers) if (due <= nowMs && timers.delete(id)) call();
  };
  class Socket {
    static OPEN = 1;
    readyState = 1;
    bufferedAmount = 0;
    send() {}
    close() {}
  }
  Object.assign(globalThis, {
    setTimeout: (call, ms) => (timers.set(++id, [nowMs + ms, call]), id),
    clearTimeout: (id) => timers.delete(id),
    setInterval() {},
    WebSocket: Socket,
    location: new URL("http://localhost/"),
  });
  try {
    const closed = [];
    const replay = new Replay(16_000);
    const stream = new Stream({ type: "hello" }, replay, {}, { onEvent() {}, onClose: (end) => closed.push(end) });
    stream.socket.onopen();
    stream.start();
    replay.end();
    stream.pump();
    for (let n = 0; n < 5; n++) {
      pass(9000);
      stream.socket.onmessage({ data: '{"type":"speaker"}' });
    }
    assert.deepEqual(closed, []);
    pass(9000);
    assert.deepEqual(closed, []);
    pass(1000);
    assert.equal(closed.length, 1);
    assert.equal(closed[0].gaveUp, true);
  } finally {
    Object.assign(globalThis, real);
  }
});

/** A source that needs nothing of a browser. */
const quiet = { live: true, rate: 16_000, open: async () => {}, start() {}, pause() {}, resume() {}, stop() {} };

/** Run a session whose sockets never open, before a server that answers so; how often it tried, and its end. */
async function unopened(answers, key) {
  const real = { WebSocket: globalThis.WebSocket, location: globalThis.location, fetch: globalThis.fetch };
  const { random } = Math;
  let sockets = 0;
  const asked = [];
  Object.assign(globalThis, {
    location: new URL("http://localhost/"),
    WebSocket: class {
      constructor() {
        sockets++;
        setTimeout(() => this.onclose({ code: 1006 }));
      }
      close() {}
    },
    fetch: async (url, { method, headers }) => {
      asked.push([method, url.pathname, headers.Authorization]);
      const answer = answers[url.pathname]?.(asked.length);
      if (!answer) throw new TypeError("fetch failed");
      return { ok: answer < 300, status: answer, headers: new Map(), json: async () => ({ ticket: "t_1" }) };
    },
  });
  Math.random = () => 0; // no waits
  try {
    return await new Promise((resolve) => {
      const onOver = (end) => resolve({ sockets, asked, ...end });
      new Session(quiet, { words: [], modules: [], offered: [], key }, { onPhase() {}, onEvent() {}, onOver }).run();
    });
  } finally {
    Object.assign(globalThis, real);
    Math.random = random;
  }
}

test("a socket that never opens is given up after a few attempts, if the server itself answers", async () => {
  const end = await unopened({ "/health/ready": () => 200, "/v1/tickets": () => 201 });
  assert.deepEqual([end.sockets, end.failed, end.key], [4, true, false]);
  assert.match(end.text, /Upgrade/);
});

test("a key that is refused ends the session at once, and no socket is opened with it", async () => {
  const end = await unopened({ "/v1/tickets": () => 401 }, "sk_1");
  assert.deepEqual([end.sockets, end.failed, end.key], [0, true, true]);
  assert.deepEqual(end.asked, [["POST", "/v1/tickets", "Bearer sk_1"]]);
});

test("a network that is away while a ticket is fetched costs an attempt, not the session", async () => {
  const end = await unopened({ "/v1/tickets": (count) => (count < 6 ? undefined : 401) }, "sk_1");
  assert.equal(end.asked.length, 6);
  assert.deepEqual([end.sockets, end.failed, end.key], [0, true, true]);
});
