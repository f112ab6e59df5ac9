"""Runs exported models in onnxruntime-web in headless Chromium and compares with the engine: make web-test.

Where the browser or npm is missing and may not be installed, says so and ends well without a count of tests.
"""

import sys
import time
from pathlib import Path

import browser
import tools

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/web"
BUILT = ROOT / "target/web"
PROVIDERS = ["wasm", "webgpu"]
SILENCE = 60.0  # seconds without a report, after which the page counts as hung


def main() -> int:
    try:
        chromium = tools.chromium()
        modules = tools.packages(EXAMPLE, BUILT)
    except tools.Missing as missing:
        print(f"not run: {missing}")
        return 0
    import models  # needs the exporter, which the tools do not

    began = time.perf_counter()
    models.write(BUILT / "models")
    print(f"models and expectations written in {time.perf_counter() - began:.1f} s")
    places = {
        "/": ROOT / "tests/web",
        "/models/": BUILT / "models",
        "/ort/": modules / "onnxruntime-web/dist",
        "/examples/web/": EXAMPLE,
        "/examples/web/model.onnx": BUILT / "models/characters.onnx",
        "/examples/web/node_modules/": modules,
    }
    passed = failed = 0
    with browser.Site(places) as site:
        for provider in PROVIDERS:
            for report in browser.visit(chromium, site, f"/?provider={provider}", seconds=SILENCE):
                if "absent" in report:
                    print(f"{provider}: not run: {report['absent']}")
                elif "done" not in report:
                    passed, failed = passed + report["ok"], failed + (not report["ok"])
                    print(line(provider, report), flush=True)
                elif "error" in report:
                    raise browser.Failure(report["error"])
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def line(provider: str, report: dict) -> str:
    far = f"{report['worst']:.1e}" if report.get("worst") is not None else ""
    nodes = ", ".join(f"{count} {name}" for name, count in report.get("nodes", {}).items())
    what = report.get("error") or report.get("note") or ("ok" if report["ok"] else "FAILED")
    model = f"{report['name']:<28} {report.get('form', ''):<9}"
    return f"{provider:<7} {model} {far:<8} {nodes:<18} {report['ms']:5.0f} ms  {what}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (browser.Failure, RuntimeError) as error:
        sys.exit(f"web-test: error: {error}")
