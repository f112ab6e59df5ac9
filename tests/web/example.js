// Does on the example page what a person would: writes a beginning, sets the temperature to 0, and lets it write.

export async function exampleWrites({ beginning, expected }) {
  const frame = document.createElement("iframe");
  frame.src = "/examples/web/";
  document.body.append(frame);
  await new Promise((resolve) => frame.addEventListener("load", resolve, { once: true }));
  const page = frame.contentDocument;
  const element = (id) => page.getElementById(id);
  const status = () => element("status").textContent;
  const failed = () => element("status").classList.contains("failed");
  await until(() => !element("write").disabled || failed(), "the model is loaded");
  if (failed()) throw new Error(status());
  element("beginning").value = beginning;
  element("temperature").value = "0";
  element("temperature").dispatchEvent(new Event("input"));
  element("write").click();
  const text = () => element("text").textContent;
  const whole = beginning + expected;
  await until(() => text().length >= whole.length || failed(), "it has written");
  if (failed()) throw new Error(status());
  const got = text().slice(0, whole.length);
  if (got !== whole) throw new Error(`expected ${JSON.stringify(whole)}, got ${JSON.stringify(got)}`);
  const speed = Number.parseFloat(element("speed").textContent.replaceAll(/[^0-9.]/g, ""));
  if (!(speed > 0)) throw new Error(`expected characters per second, got ${element("speed").textContent}`);
  return { ok: true };
}

async function until(holds, what) {
  const end = performance.now() + 20000;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`waited 20 s until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
