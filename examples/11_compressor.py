"""The compressor: files without loss, by nets that learn while they read; and what a net trained before saves.

The files are the Calgary corpus (Bell, Cleary and Witten 1990) and the first million bytes of Wikipedia (enwik6). A
small file is over before a net has learned what its kind looks like; a net that has read others of the kind, and is
given to both sides, begins where it left off.

Shows: the compressor from Python, its presets, a model trained before, beside the packers that Python brings along.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import lzma
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from data import find

import rnnrs
from rnnrs import Embedding, Linear, Recurrent, Sequential, codec

TEXTS = ["bib", "book1", "book2", "news", "paper1", "paper2", "paper3", "paper4", "paper5", "paper6"]
OTHERS = ["geo", "obj1", "obj2", "pic", "progc", "progl", "progp", "trans"]
FILES = ["enwik6", *TEXTS, *OTHERS]
BEFORE = ["paper1", "paper2", "paper3", "paper4", "paper5"]  # what the net reads before paper6


def content(name: str) -> bytes:
    """The bytes of enwik6 or of a file of the Calgary corpus."""
    if name == "enwik6":
        return gzip.decompress(find("enwik/enwik6.gz", "http://prize.hutter1.net").read_bytes())
    return find(f"calgary/{name}", "http://corpus.canterbury.ac.nz").read_bytes()


def train(name: str, *, preset: codec.Preset = "default", path: Path | None = None) -> dict[str, Any]:
    """Compresses a file and takes it back; returns the bytes of it, of our archive and of others'.

    It learns while it reads, so there is nothing to take up again at `path`.
    """
    del path
    data = content(name)
    began = time.perf_counter()
    archive = codec.compress(data, preset)
    packed = time.perf_counter()
    same = codec.decompress(archive) == data
    return {
        "bytes": len(data),
        "archive": len(archive),
        "bzip2": len(bz2.compress(data, 9)),
        "xz": len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)),
        "zstd": zstd(data),
        "same": same,
        "seconds": packed - began,
        "back": time.perf_counter() - packed,
    }


def zstd(data: bytes) -> int | None:
    """Bytes of zstd's archive at level 22, where its package is installed."""
    try:
        import zstandard
    except ImportError:
        return None
    return len(zstandard.ZstdCompressor(level=22).compress(data))


def reader(names: list[str], epochs: int, hidden: int = 128, bptt: int = 64, rows: int = 16) -> Sequential:
    """A net that has learned to predict the next byte of these files."""
    text = np.frombuffer(b"".join(content(name) for name in names), np.uint8).astype(np.int64)
    steps = (len(text) - 1) // rows
    x, y = (text[first : first + rows * steps].reshape(rows, steps) for first in (0, 1))
    model = Sequential(
        Embedding(256, 64), Recurrent(rnnrs.cells.LSTM(64, hidden, forget_bias=1.0)), Linear(hidden, 256)
    )
    model.fit(
        x,
        y,
        loss="cross_entropy",
        optimizer=rnnrs.optim.Adam(4e-3),
        epochs=epochs,
        batch_size=rows,
        bptt=bptt,
        clip_norm=1.0,
        shuffle=False,
        seed=1,
    )
    return model


def main(epochs: int, files: list[str]) -> None:
    print("| file | bytes | bzip2 | xz | rnnrs fast | seconds |")
    for name in files:
        found = train(name, preset="fast")
        print("|", " | ".join(f"{found[key]:,}" for key in ("bytes", "bzip2", "xz", "archive")), end=" | ")
        print(f"{found['seconds']:.1f} |" if found["same"] else "DOES NOT COME BACK |")
    data = content("paper6")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "papers.safetensors"
        reader(BEFORE, epochs).save(path)
        archive = codec.compress(data, "fast", model=path)
        same = codec.decompress(archive, model=path) == data
    alone = len(codec.compress(data, "fast"))
    taught = f"{len(archive):,} bytes" if same else "DOES NOT COME BACK"
    print(f"paper6 by itself: {alone:,} bytes; with a net that has read paper1 to paper5: {taught}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15, help="passes of the net over paper1 to paper5")
    parser.add_argument("--files", nargs="+", choices=FILES, default=["paper6", "progc", "obj1"])
    options = parser.parse_args()
    main(options.epochs, options.files)
