"""What the browser tests need besides Python: Chromium and onnxruntime-web, found, or installed where that may be."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
# What makes npm refuse packages that it could reach: the lists in the repository are wrong, and no machine would do.
WRONG_LISTS = r"code (EINTEGRITY|EUSAGE|ETARGET|E404)"


class Missing(Exception):
    """Something is not there and cannot be installed here."""


def chromium() -> str:
    """The browser's command."""
    named = os.environ.get("CHROMIUM")
    if named:
        found = shutil.which(named)
        if not found:
            raise RuntimeError(f"CHROMIUM: expected the browser's command, got {named!r}, which is none")
        return found
    return _command("Chromium", BROWSERS, ["chromium"], "install it, or name its command in CHROMIUM")


def packages(lists: Path, folder: Path) -> Path:
    """``node_modules`` in a folder, as package.json and package-lock.json in ``lists`` say; nothing is run of them."""
    modules, stamp = folder / "node_modules", folder / ".installed"
    texts = {name: (lists / name).read_text() for name in ("package.json", "package-lock.json")}
    wanted = hashlib.sha256("".join(texts.values()).encode()).hexdigest()
    if modules.is_dir() and stamp.is_file() and stamp.read_text() == wanted:
        return modules
    npm = _command("npm", ["npm"], ["npm"], "install Node.js with npm")
    folder.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
    print("npm installs onnxruntime-web", flush=True)
    done = _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
    if done.returncode:
        message = f"npm ci failed:\n{_end(done.stdout)}"
        raise RuntimeError(message) if re.search(WRONG_LISTS, done.stdout) else Missing(f"onnxruntime-web: {message}")
    stamp.write_text(wanted)
    return modules


def _command(what: str, names: list[str], debian: list[str], advice: str) -> str:
    """The first of the commands that is there, after installing Debian's packages if none is."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found:
        return found
    missing = f"{what}: none of the commands {', '.join(names)}"
    apt = shutil.which("apt-get")
    if not apt or not hasattr(os, "geteuid") or os.geteuid() != 0:
        why = "this is not root" if apt else "there is no apt-get"
        raise Missing(f"{missing}, and it may not be installed here ({why}); {advice}")
    print(f"apt-get installs {' '.join(debian)}", flush=True)
    install = [apt, "install", "--yes", "--quiet", "--no-install-recommends", *debian]
    done = _run(install)
    if done.returncode:  # The list of packages may be old, or never read.
        _run([apt, "update", "--quiet"])
        done = _run(install)
    found = next(filter(None, map(shutil.which, names)), None)
    if not found:
        raise Missing(f"{missing}, and apt-get could not install it; {advice}:\n{_end(done.stdout)}")
    return found


def _run(command: list[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(
        command, cwd=folder, env=quiet, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip


def _end(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-12:])
