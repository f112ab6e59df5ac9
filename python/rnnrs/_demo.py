"""The demonstration: a character LSTM on real English text, trained, measured, saved, loaded, streamed and exported."""

from __future__ import annotations

import bz2
import lzma
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from . import _arrays, _charmodel, _demo_onnx, _files, _history
from ._sequential import Sequential
from ._text import Vocabulary

Array = _arrays.Array


def text() -> str:
    """The reference manual that every CPython carries: about half a million characters of English."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def run(settings: _charmodel.Settings, out: Path, *, progress: bool, say: Callable[[str], None]) -> int:
    """The whole demonstration; returns the exit status."""
    out.mkdir(parents=True, exist_ok=True)
    words = text()
    parts = _charmodel.Parts.of(words, settings.held_out, settings.rows * 2)
    say(
        f"Text: Python's reference manual, {len(words):,} characters, the last {len(parts.held_out):,} held out\n"
        f"Model: Embedding({len(parts.vocabulary)}, {settings.embedding}), {settings.cell.upper()} of "
        f"{settings.hidden} units, Linear"
    )
    trained = _charmodel.train(parts, settings, progress=progress, say=say)
    say(f"Trained in {trained.seconds:.1f} s: {trained.characters / trained.seconds:,.0f} characters/s")
    model = trained.model
    bits = _charmodel.bits_per_character(model, parts.vocabulary, parts.held_out)
    rivals = compressors(parts.held_out)
    say("\nBits per character on the held-out text:")
    for name, value in [("rnnrs", bits), *rivals.items()]:
        say(f"  {name:<9} {value:.3f}")
    say("\nA sample, at temperature 0.7:\n")
    written = _charmodel.sample(model, parts.vocabulary, "The ", 500, 0.7, settings.seed)
    say("  | " + written.replace("\n", "\n  | "))
    picture = out / "demo.png"
    say("")
    try:
        curve(trained, settings, bits, rivals, picture)
        say(f"Learning curve: {picture}")
    except ImportError as error:
        say(f"No picture of the learning curve: {error}")
    file = out / "demo.safetensors"
    model.save(file)
    same = streams_alike(model, _files.load(file), parts)
    say(f"Model: {file} ({file.stat().st_size / 1e6:.1f} MB)")
    say(f"Loaded again and streamed a character a call: {'the same bits' if same else 'DIFFERENT BITS'}")
    _demo_onnx.run(model, parts, out, say=say)
    return 130 if trained.interrupted else 0 if same else 1


def compressors(held_out: str) -> dict[str, float]:
    """Bits per character of general compressors at their best on the same text."""
    data = held_out.encode()
    sizes = {"xz -9e": len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)), "bzip2 -9": len(bz2.compress(data, 9))}
    return {name: 8 * size / len(held_out) for name, size in sizes.items()}


def streams_alike(model: Sequential, loaded: Sequential, parts: _charmodel.Parts, steps: int = 2000) -> bool:
    """Whether the loaded model, a character a call, gives the bits that the trained one gives in one call."""
    tokens = parts.vocabulary.encode(parts.held_out[:steps])
    whole = model(tokens[None])[0]
    stream = loaded.stream()
    return (
        all(stream.step(int(token)).tobytes() == row.tobytes() for token, row in zip(tokens, whole, strict=True))
        and Vocabulary.kept(loaded, "the model").characters == parts.vocabulary.characters
    )


def curve(
    trained: _charmodel.Trained,
    settings: _charmodel.Settings,
    bits: float,
    rivals: dict[str, float],
    path: Path,
) -> None:
    """The picture: bits per character over training, with the compressors as lines."""
    figure, axes = _history.canvas()
    losses = np.array(trained.history.updates) / math.log(2)
    characters = np.arange(1, len(losses) + 1) / len(losses) * trained.characters / 1e6
    window = max(1, len(losses) // 50)
    axes.plot(characters, losses, color="0.85", label="each update")
    smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
    axes.plot(characters[window - 1 :], smooth, color="tab:blue", label="training")
    axes.plot(characters[-1:], [bits], "o", color="tab:red", label=f"held out: {bits:.2f}")
    for (name, value), style in zip(rivals.items(), ("--", ":"), strict=True):
        axes.axhline(value, linestyle=style, color="0.3", label=f"{name}: {value:.2f}")
    axes.set_xlabel("characters seen, millions")
    axes.set_ylabel("bits per character")
    axes.set_ylim(0.9 * min(bits, float(smooth.min())), 4.5)
    axes.set_title(f"{settings.cell.upper()} of {settings.hidden} units on Python's manual, {trained.seconds:.0f} s")
    axes.legend(loc="upper right")
    figure.savefig(path)
