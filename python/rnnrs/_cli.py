"""The command line: rnnrs demo | train | sample | export | compress | decompress | info."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import _core

if TYPE_CHECKING:
    from . import _charmodel

_ABOUT = """\
Recurrent neural networks, trained and streamed on the CPU.

  rnnrs demo                          train on Python's own manual, about a minute and a half
  rnnrs train book.txt --out m.safetensors
                                      learn the characters of a text of yours
  rnnrs sample m.safetensors --start "Once"
                                      let the model go on writing
  rnnrs export m.safetensors m.onnx   write it for onnxruntime: CPUs, CUDA, browsers
  rnnrs compress FILE                 to FILE.rnz, by nets that learn as they go
  rnnrs info m.safetensors            what is in a model's file
"""

_TRAIN = """\
Trains a model of the characters of FILE: what comes next, given all before. The last part of the text (--held-out) is
not trained on; at the end the model is measured on it in bits per character, beside the compressors xz and bzip2 on the
same part. Ctrl-C ends training early and keeps what was learned.

What the figures mean: a pass over the text is cut into --rows streams that are read side by side, --bptt characters an
update; gradients do not reach further back, the state does. More --hidden units learn more and take longer.
"""

_EXPORT = """\
Writes MODEL as a graph of ONNX, tells which operators were chosen and why, and compares its results with the engine's
on random inputs: where they differ by more than rounding no file is written. Needs rnnrs-onnx (pip install
"rnnrs[onnx]").

Modes: 'sequence' takes whole sequences, 'step' one step with the states as inputs and outputs, for streaming, 'loop'
generates, its outputs fed back.
"""


_COMPRESS = """\
Compresses FILE, of any kind, to FILE.rnz: recurrent nets predict each byte from those before, and learn as they go; the
decoder's learn the same, so that no model is sent. It takes as long to decompress. '-' stands for standard input and
output. An existing file is kept unless --force is given.
"""

_DECOMPRESS = """\
Restores what was compressed to FILE.rnz. A damaged or cut archive gives an error that says where, and no file, unless
--salvage is given: then all whole blocks before the damage are written, and the exit status is 1 all the same. To a
pipe ('-') whole blocks are written as they come.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, 1 on an error, 2 for wrong usage, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        if options.threads is not None:
            _core.set_num_threads(options.threads)
        status: int = options.run(options)
    except BrokenPipeError:
        # Who reads our output has had enough. Python flushes once more at its end, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (_core.Error, OSError) as error:
        print(f"rnnrs: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("rnnrs: interrupted", file=sys.stderr)
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rnnrs", description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"rnnrs {_core.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = _command(commands, "demo", "train an LSTM on Python's own manual and show what it learned", run=_demo)
    demo.add_argument(
        "--out", type=Path, default=Path("rnnrs-demo"), metavar="DIR", help="folder for model and picture"
    )
    _training(demo)

    train = _command(commands, "train", "train a model of the characters of a text", _TRAIN, run=_train)
    train.add_argument("file", type=Path, metavar="FILE", help="the text")
    train.add_argument("--out", type=Path, metavar="MODEL", help="the model's file (default: FILE with .safetensors)")
    train.add_argument("--plot", type=Path, metavar="PNG", help="also save a picture of the learning curve")
    train.add_argument("--encoding", default="utf-8", help="of FILE (default: utf-8)")
    _training(train)

    sample = _command(commands, "sample", "let a model of characters go on writing", run=_sample)
    sample.add_argument("model", type=Path, metavar="MODEL", help="written by 'rnnrs train'")
    sample.add_argument("--start", default="\n", metavar="TEXT", help="what to go on from (default: a new line)")
    sample.add_argument("--length", type=_count, default=500, metavar="N", help="characters to write (default: 500)")
    sample.add_argument(
        "--temperature", type=float, default=0.7, metavar="T", help="0: the likeliest; 1: as learned (default: 0.7)"
    )
    sample.add_argument("--seed", type=int, help="the same seed writes the same text")

    export = _command(commands, "export", "write a model as ONNX", _EXPORT, run=_export)
    export.add_argument("model", type=Path, metavar="MODEL", help="a model's file")
    export.add_argument("out", type=Path, metavar="OUT.onnx", help="the file to write")
    export.add_argument("--mode", choices=["sequence", "step", "loop"], default="sequence", help="default: sequence")
    export.add_argument("--target", choices=["cpu", "cuda", "web"], default="cpu", help="default: cpu")
    export.add_argument(
        "--dtype", choices=["float32", "float64", "float16", "int8"], help="of the weights (default: the model's)"
    )
    export.add_argument("--lengths", action="store_true", help="with an input for the valid steps of each row")
    export.add_argument("--zero-state", action="store_true", help="begin with zero states, which are then no inputs")
    export.add_argument(
        "--sample", choices=["random", "argmax"], default="random", help="of mode loop: how a token is chosen"
    )
    export.add_argument("--no-verify", action="store_true", help="write without comparing with the engine")
    export.add_argument("--quiet", action="store_true", help="do not tell which operators were chosen, and why")

    compress = _command(commands, "compress", "make a file of any kind shorter", _COMPRESS, run=_compress)
    compress.add_argument("file", metavar="FILE", help="what to compress; - for standard input")
    compress.add_argument("-o", "--out", metavar="OUT", help="the archive; - for standard output (default: FILE.rnz)")
    preset = compress.add_mutually_exclusive_group()
    preset.add_argument(
        "--fast", dest="preset", action="store_const", const="fast", default="default", help="smaller nets"
    )
    preset.add_argument("--best", dest="preset", action="store_const", const="best", help="the smallest archives")
    _archives(compress)

    decompress = _command(commands, "decompress", "restore what was compressed", _DECOMPRESS, run=_decompress)
    decompress.add_argument("file", metavar="FILE.rnz", help="the archive; - for standard input")
    decompress.add_argument(
        "-o", "--out", metavar="OUT", help="the file; - for standard output (default: FILE without .rnz)"
    )
    decompress.add_argument("--salvage", action="store_true", help="keep the whole blocks before the first damage")
    _archives(decompress)

    info = _command(commands, "info", "what is in a model's file, and how it is computed", run=_info)
    info.add_argument(
        "model", type=Path, nargs="?", metavar="MODEL", help="leave out for facts about this installation"
    )
    info.add_argument("--plan", action="store_true", help="also print the engine's plan")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    title: str,
    description: str | None = None,
    *,
    run: object,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=title,
        description=description or f"{title[0].upper()}{title[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--threads", type=_count, metavar="N", help="threads to compute with (default: all cores)")
    return parser


def _training(parser: argparse.ArgumentParser) -> None:
    from ._charmodel import CELLS, Settings

    default = Settings()
    group = parser.add_argument_group("model and training")
    group.add_argument("--cell", choices=sorted(CELLS), default=default.cell, help=f"default: {default.cell}")
    group.add_argument(
        "--hidden", type=_count, default=default.hidden, help=f"units a layer (default: {default.hidden})"
    )
    group.add_argument("--layers", type=_count, default=default.layers, help=f"default: {default.layers}")
    group.add_argument("--embedding", type=_count, default=default.embedding, help=f"default: {default.embedding}")
    group.add_argument("--dropout", type=float, default=default.dropout, help=f"default: {default.dropout}")
    group.add_argument(
        "--rows", type=_count, default=default.rows, help=f"streams side by side (default: {default.rows})"
    )
    group.add_argument(
        "--bptt", type=_count, default=default.bptt, help=f"characters an update (default: {default.bptt})"
    )
    group.add_argument(
        "--lr", type=float, default=default.lr, help=f"the highest learning rate (default: {default.lr})"
    )
    group.add_argument(
        "--seconds",
        type=float,
        default=default.seconds,
        help=f"how long to train at most; a small text takes less (default: {default.seconds:g})",
    )
    group.add_argument("--updates", type=_count, help="how many updates to make, in place of --seconds")
    group.add_argument(
        "--held-out", type=float, default=default.held_out, metavar="SHARE", help="of the text (default: 0.1)"
    )
    group.add_argument("--seed", type=int, help="the same seed and --updates give the same model")
    group.add_argument("--quiet", action="store_true", help="no progress bar")


def _archives(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", type=Path, metavar="M", help="a model of bytes to begin with, the same file on both sides"
    )
    parser.add_argument("--force", action="store_true", help="replace a file that exists")
    parser.add_argument("--quiet", action="store_true", help="no progress and no figures")


def _settings(options: argparse.Namespace) -> _charmodel.Settings:
    from dataclasses import fields

    from ._charmodel import Settings

    values = {field.name: getattr(options, field.name) for field in fields(Settings) if hasattr(options, field.name)}
    return Settings(**values)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {value}")
    return value


def _say(line: str) -> None:
    print(line, flush=True)


def _demo(options: argparse.Namespace) -> int:
    from . import _demo

    return _demo.run(_settings(options), options.out, progress=not options.quiet, say=_say)


def _train(options: argparse.Namespace) -> int:
    from . import _charmodel, _demo, _text

    settings = _settings(options)
    text = _text.read(options.file, options.encoding)
    parts = _charmodel.Parts.of(text, settings.held_out, settings.rows * 2)
    _say(
        f"{options.file}: {len(text):,} characters, {len(parts.vocabulary) - 1} different, "
        f"{len(parts.held_out):,} held out"
    )
    trained = _charmodel.train(parts, settings, progress=not options.quiet, say=_say)
    _say(f"Trained in {trained.seconds:.1f} s: {trained.characters / trained.seconds:,.0f} characters/s")
    out = options.out or options.file.with_suffix(".safetensors")
    trained.model.save(out)
    _say(f"Model: {out}")
    if options.plot:
        trained.history.plot(options.plot)
        _say(f"Learning curve: {options.plot}")
    if parts.held_out:
        bits = _charmodel.bits_per_character(trained.model, parts.vocabulary, parts.held_out)
        figures = {"rnnrs": bits, **_demo.compressors(parts.held_out)}
        _say(
            "Bits per character on the held-out part: "
            + ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        )
    return 130 if trained.interrupted else 0


def _sample(options: argparse.Namespace) -> int:
    from . import _charmodel, _files, _text

    model = _files.load(options.model)
    vocabulary = _text.Vocabulary.kept(model, options.model)
    _say(_charmodel.sample(model, vocabulary, options.start, options.length, options.temperature, options.seed))
    return 0


def _export(options: argparse.Namespace) -> int:
    from . import _files

    report = _files.load(options.model).to_onnx(
        options.out,
        mode=options.mode,
        target=options.target,
        dtype=options.dtype,
        lengths=options.lengths,
        zero_state=options.zero_state,
        sample=options.sample,
        verify=not options.no_verify,
    )
    if not options.quiet:
        _say(str(report))
    _say(f"ONNX: {options.out}")
    return 0


def _compress(options: argparse.Namespace) -> int:
    from . import _archive

    return _archive.compress(
        options.file, options.out, options.preset, options.model, force=options.force, quiet=options.quiet
    )


def _decompress(options: argparse.Namespace) -> int:
    from . import _archive

    return _archive.decompress(
        options.file,
        options.out,
        options.model,
        force=options.force,
        salvage=options.salvage,
        quiet=options.quiet,
    )


def _info(options: argparse.Namespace) -> int:
    from . import _files

    if options.model is None:
        cells = ", ".join(_core.cells())
        _say(f"rnnrs {_core.__version__}: {_core.simd()}, {_core.get_num_threads()} threads\ncells: {cells}")
        return 0
    model = _files.load(options.model)
    _say(f"{options.model}: {type(model).__name__}, {options.model.stat().st_size:,} bytes")
    model.summary()
    for name, value in model.metadata.items():
        shown = value if len(value) <= 60 else f"{value[:60]}..."
        _say(f"{name}: {shown!r} ({len(value)} characters)")
    if options.plan:
        _say(f"\n{model.explain()}")
    return 0
