"""A headless Chromium that opens a page of ours and tells what the page reports: folders served, reports by POST."""

import json
import os
import queue
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FLAGS = [
    "--headless=new",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-sync",
    "--enable-unsafe-webgpu",  # WebGPU in software where there is no GPU
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing comes from elsewhere
]


class Failure(Exception):
    """The page ended without saying that it was done."""


class Site:
    """Serves folders and files by the beginning of their address; the longest that fits is taken."""

    def __init__(self, places: Mapping[str, Path]) -> None:
        self.reports: queue.Queue[dict[str, Any]] = queue.Queue()
        site = self

        class Handler(SimpleHTTPRequestHandler):
            extensions_map = SimpleHTTPRequestHandler.extensions_map | {
                ".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm",
            }  # fmt: skip

            def translate_path(self, path: str) -> str:
                path = path.partition("?")[0]
                start = max((start for start in places if path.startswith(start)), key=len)
                self.directory = os.fspath(places[start])
                rest = path.removeprefix(start)
                return super().translate_path(f"/{rest}") if rest or path.endswith("/") else self.directory

            def do_POST(self) -> None:
                site.reports.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass  # The page says what matters.

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> "Site":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def visit(chromium: str, site: Site, path: str, *, seconds: float) -> Iterator[dict[str, Any]]:
    """Opens a page and gives its reports as they come, until the one that has ``done``.

    Raises:
        Failure: the browser ended, or no report came for so many seconds.
    """
    sandbox = [] if not hasattr(os, "geteuid") or os.geteuid() else ["--no-sandbox"]  # Chromium's is not for root.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, tempfile.TemporaryFile() as said:
        command = [chromium, *FLAGS, *sandbox, f"--user-data-dir={profile}", site.address + path]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            while True:
                try:
                    report = site.reports.get(timeout=seconds)
                except queue.Empty:
                    said.seek(0)
                    how = "is silent" if process.poll() is None else f"ended with status {process.returncode}"
                    log = said.read().decode(errors="replace")[-2000:]
                    raise Failure(f"Chromium {how}, {seconds:g} s after its last report:\n{log}") from None
                yield report
                if report.get("done"):
                    return
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
