// Runs every model that /models/cases.json lists in onnxruntime-web, compares with what the engine gave, and reports.
//
// A case is a list of calls: the inputs, which outputs of the call before are carried into this one, and the outputs
// that are expected. ?provider=webgpu takes the GPU, otherwise it is WebAssembly on one thread.

import { exampleWrites } from "./example.js";

const provider = new URLSearchParams(location.search).get("provider") ?? "wasm";

// onnxruntime takes the console's methods when it is loaded; what it logs is for us, not for the console.
const log = [];
for (const name of ["log", "debug", "info", "warn", "error"]) console[name] = (...parts) => log.push(parts.join(" "));

const arrays = {
  float32: Float32Array, float64: Float64Array, int32: Int32Array, int64: BigInt64Array, bool: Uint8Array,
};

function report(result) {
  return fetch("/report", { method: "POST", body: JSON.stringify(result) });
}

async function json(address) {
  return (await fetch(address)).json();
}

function tensor(ort, { type, dims, data }) {
  return new ort.Tensor(type, type === "int64" ? BigInt64Array.from(data, BigInt) : arrays[type].from(data), dims);
}

// The largest |a − b| / (1 + |b|), or an error where type or shape differ.
function difference(name, got, expected) {
  if (got.type !== expected.type || got.dims.join() !== expected.dims.join()) {
    throw new Error(`${name}: expected ${expected.type} [${expected.dims}], got ${got.type} [${got.dims}]`);
  }
  let worst = 0;
  expected.data.forEach((b, k) => {
    const d = Math.abs(Number(got.data[k]) - b) / (1 + Math.abs(b));
    worst = d <= worst ? worst : d; // NaN counts as worst
  });
  return worst;
}

async function run(ort, file, test) {
  const options = { executionProviders: [provider], logSeverityLevel: 0 };
  const made = ort.InferenceSession.create(`/models/${file}.onnx`, options);
  if (provider === "webgpu" && test.float64) return refused(test, made);
  const session = await made;
  const nodes = placements();
  let worst = 0;
  let before = {};
  for (const call of test.calls) {
    const feeds = {};
    for (const [name, value] of Object.entries(call.inputs)) feeds[name] = tensor(ort, value);
    for (const [name, output] of Object.entries(call.carry)) feeds[name] = before[output];
    const got = await session.run(feeds);
    for (const [name, expected] of Object.entries(call.outputs)) {
      if (!(name in got)) throw new Error(`expected an output ${name}, got ${Object.keys(got)}`);
      const d = difference(name, got[name], expected);
      worst = d <= worst ? worst : d;
    }
    before = got;
  }
  await session.release();
  return { form: test.form, worst, nodes, ok: worst <= test.tolerance };
}

// onnxruntime-web's build for WebGPU has no float64, not even in the part of it that runs on the CPU.
async function refused({ form }, made) {
  const error = await made.then(() => undefined, String);
  log.length = 0;
  if (!error) throw new Error("expected float64 to be refused; it works now, so documentation and tests are out of date");
  if (!/Provider type .* is not set/.test(error)) throw new Error(`expected float64 to be refused, got ${error}`);
  return { form, ok: true, note: "refused, as all float64" };
}

// How many nodes onnxruntime placed where, as its log says: a provider may leave some to another.
function placements() {
  const nodes = {};
  for (const line of log.splice(0)) {
    const [, name, count] = /placed on \[(\w+?)(?:ExecutionProvider)?\]\. Number of nodes: (\d+)/.exec(line) ?? [];
    if (name) nodes[name] = (nodes[name] ?? 0) + Number(count);
  }
  return nodes;
}

function described(nodes = {}) {
  return Object.entries(nodes).map(([name, count]) => `${count} ${name}`).join(", ");
}

function show(name, result) {
  const cells = [
    name, result.form ?? "", result.worst?.toExponential(1) ?? "", described(result.nodes), result.ms.toFixed(0),
    result.error ?? result.note ?? (result.ok ? "ok" : "too far"),
  ];
  const row = document.getElementById("rows").insertRow();
  for (const text of cells) row.insertCell().textContent = text;
  row.lastChild.className = result.ok ? "" : "failed";
}

async function main() {
  const summary = document.getElementById("summary");
  if (provider === "webgpu") {
    const adapter = await navigator.gpu?.requestAdapter();
    if (!adapter) {
      summary.textContent = "This browser has no WebGPU adapter.";
      return report({ done: true, absent: "this browser has no WebGPU adapter" });
    }
  }
  const ort = await import(`/ort/ort.${provider}.min.mjs`);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = "/ort/";
  const { files, example } = await json("/models/cases.json");
  const cases = await Promise.all(files.map((file) => json(`/models/${file}.json`)));
  const tests = cases.map((test, k) => [test.name, () => run(ort, files[k], test)]);
  if (provider === "wasm") tests.push([example.name, () => exampleWrites(example)]);
  let failed = 0;
  for (const [name, test] of tests) {
    summary.textContent = `${provider}: ${name} …`;
    const began = performance.now();
    const result = await test().catch((error) => ({ ok: false, error: String(error.message ?? error) }));
    result.ms = performance.now() - began;
    failed += !result.ok;
    show(name, result);
    await report({ name, ...result });
  }
  const counts = `${tests.length - failed} passed, ${failed} failed`;
  summary.textContent = `${provider}, onnxruntime-web ${ort.env.versions.web}: ${counts}`;
  return report({ done: true, version: ort.env.versions.web });
}

main().catch((error) => report({ done: true, error: String(error.stack ?? error) }));
