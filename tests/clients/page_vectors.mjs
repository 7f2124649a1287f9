// The page's session in node, fed by standard input: s16le mono goes in as a microphone's samples,
// events come out as JSON lines. Run by vector_clients.py with the folder of the modules, the
// server's URL, and a JSON object with rate, words, modules, offered and key.

import { pathToFileURL } from "node:url";

const [folder, url, options] = process.argv.slice(2);
globalThis.location = new URL(url);
const { Session } = await import(pathToFileURL(`${folder}/session.js`));
const { rate, ...choices } = JSON.parse(options);
const print = (event) => console.log(JSON.stringify(event));

/** A source that ends when the input does. */
class Input {
  live = true;
  rate = rate;

  async open() {}

  start(onBlock, onEnd) {
    let odd = Buffer.alloc(0);
    process.stdin.on("data", (data) => {
      const bytes = Buffer.concat([odd, data]);
      const samples = new Float32Array(bytes.length >> 1);
      for (let i = 0; i < samples.length; i++) samples[i] = bytes.readInt16LE(2 * i) / 32767;
      odd = bytes.subarray(2 * samples.length);
      if (samples.length > 0) onBlock(samples);
    });
    process.stdin.on("end", () => onEnd());
  }

  pause() {}

  resume() {}

  stop() {
    process.stdin.destroy();
  }
}

class Told extends Session {
  onClose(end) {
    print({ type: "closed", code: end.code });
    super.onClose(end);
  }
}

new Told(new Input(), choices, {
  onPhase() {},
  onFresh() {},
  onLevel() {},
  onEvent: print,
  onOver: (end) => print({ type: "over", ...end }),
}).run();
