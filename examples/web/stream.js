// Streams text from model.onnx: a model of characters, exported one step at a time, on onnxruntime-web.

import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";

const LENGTH = 2000; // characters, unless it is stopped
const element = (id) => document.getElementById(id);

ort.env.wasm.numThreads = 1; // more threads need a server that sets the headers of cross-origin isolation

/** A model of characters: its states go in with every character and come back with the numbers for the next one. */
class Model {
  static async load(address) {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`${address} is not there; the README says how to make it`);
    const bytes = new Uint8Array(await answer.arrayBuffer());
    const { vocabulary } = JSON.parse(metadata(bytes)["rnnrs.metadata"] ?? "{}");
    if (!vocabulary) throw new Error(`${address} is no model of characters: it has no vocabulary`);
    return new Model(await ort.InferenceSession.create(bytes), vocabulary, bytes.length);
  }

  constructor(session, vocabulary, size) {
    this.session = session;
    this.size = size;
    this.letters = ["\ufffd", ...vocabulary]; // number 0 stands for all characters that the model does not know
    this.numbers = new Map(this.letters.map((letter, number) => [letter, number]));
    this.states = session.inputMetadata.filter(({ name }) => name !== "x");
    this.reset();
  }

  reset() {
    this.state = {};
    for (const { name, shape } of this.states) {
      const sizes = shape.map((size) => (typeof size === "number" ? size : 1)); // the batch has a name for its size
      this.state[name] = new ort.Tensor("float32", new Float32Array(sizes.reduce((a, b) => a * b, 1)), sizes);
    }
  }

  /** Reads a character's number; gives a number for each character, the higher the likelier it is the next. */
  async step(number) {
    const x = new ort.Tensor("int64", BigInt64Array.of(BigInt(number)), [1]);
    const made = await this.session.run({ x, ...this.state });
    for (const { name } of this.states) this.state[name] = made[`${name}_next`];
    return made.y.data;
  }
}

/** Draws from softmax(y / temperature); at temperature 0 takes the likeliest. */
function draw(y, temperature) {
  const highest = y.reduce((a, b) => Math.max(a, b));
  if (temperature === 0) return y.indexOf(highest);
  const shares = Array.from(y, (value) => Math.exp((value - highest) / temperature));
  let aim = Math.random() * shares.reduce((a, b) => a + b);
  return Math.max(0, shares.findIndex((share) => (aim -= share) < 0));
}

/** The metadata of an ONNX file, which onnxruntime-web does not show: field 14, each a pair of key and value. */
function metadata(bytes) {
  const text = new TextDecoder();
  const found = {};
  for (const [field, bytesOfPair] of fields(bytes)) {
    if (field !== 14) continue;
    const pair = Object.fromEntries(fields(bytesOfPair));
    found[text.decode(pair[1])] = text.decode(pair[2]);
  }
  return found;
}

/** The fields of a protobuf message that hold bytes: their numbers and contents. */
function* fields(bytes) {
  let at = 0;
  const integer = () => {
    for (let value = 0, scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = integer();
    const kind = key & 7;
    if (kind === 0) integer();
    else if (kind !== 2) at += kind === 1 ? 8 : 4;
    else {
      const end = integer() + at;
      yield [key >> 3, bytes.subarray(at, end)];
      at = end;
    }
  }
}

let running = false;

async function write(model) {
  const beginning = element("beginning").value || "\n";
  element("begun").textContent = beginning;
  element("written").textContent = "";
  model.reset();
  let y;
  for (const letter of beginning) y = await model.step(model.numbers.get(letter) ?? 0);
  const began = performance.now();
  let shown = began;
  let waiting = "";
  for (let count = 1; running && count <= LENGTH; count++) {
    const number = draw(y, Number(element("temperature").value));
    waiting += model.letters[number];
    y = await model.step(number);
    const now = performance.now();
    if (now - shown > 30 || count === LENGTH) {
      show(waiting, count, (1000 * count) / (now - began));
      waiting = "";
      shown = now;
      await new Promise((resolve) => setTimeout(resolve)); // lets the browser draw, and hear the button
    }
  }
}

function show(text, count, speed) {
  const page = element("text");
  const atEnd = page.scrollHeight - page.scrollTop - page.clientHeight < 40; // else the reader has scrolled up
  element("written").append(text);
  if (atEnd) page.scrollTop = page.scrollHeight;
  element("count").textContent = `${count.toLocaleString("en")} characters`;
  element("speed").textContent = `${Math.round(speed).toLocaleString("en")} characters per second`;
}

function say(text, failed = false) {
  element("status").textContent = text;
  element("status").classList.toggle("failed", failed);
}

element("temperature").addEventListener("input", ({ target }) => {
  element("shown").textContent = Number(target.value).toFixed(2);
});

try {
  const model = await Model.load("model.onnx");
  say(
    `A model of ${model.letters.length - 1} characters, ${Math.ceil(model.size / 1e3).toLocaleString("en")} kB, ` +
      "runs in this page and nowhere else.",
  );
  element("write").disabled = false;
  element("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    running = !running;
    if (!running) return;
    element("write").textContent = "Stop";
    await write(model).catch((error) => say(error.message, true));
    running = false;
    element("write").textContent = "Write";
  });
} catch (error) {
  say(error.message, true);
}
