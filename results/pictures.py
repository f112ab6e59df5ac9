"""The pictures of docs/results.md, drawn from the figures alone, on a white ground so that they show in any theme."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from .cases import Row
from .store import Figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Found = Sequence[tuple[Row, list[Figures]]]  # the rows of which there are figures


def _figure(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Figure, Any]:
    """A figure of its own, without matplotlib's global state, and its axes in an array."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=90, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def counting(found: Found) -> Figure:
    """The ten units of one network of each row while it reads a long word."""
    columns = -(-len(found) // 2)
    figure, axes = _figure(2, columns, (1.9 * columns, 3.7))
    for place, (row, runs) in zip(axes.flat, found, strict=False):
        trace = _best(runs)["trace"]
        for unit in trace["units"]:
            place.plot(trace["steps"], unit, linewidth=1)
        place.set_title(row.what, fontsize="x-small")
        place.tick_params(labelsize="x-small")
        place.locator_params(nbins=4)
    for place in axes.flat[len(found) :]:
        place.set_visible(False)
    for place in axes[:, 0]:
        place.set_ylabel("units (LSTM: c)", fontsize="small")
    for place in axes[1]:
        place.set_xlabel("symbols read", fontsize="small")
    return figure


def _best(found: Sequence[Figures]) -> Figures:
    """The run that counts furthest."""
    return max(found, key=lambda figures: figures["greatest"])


def reber(found: Found) -> Figure:
    """Each run as a point: after how many strings it ended, and how many other strings are right then."""
    figure, axes = _figure(1, 1, (7, 3))
    place = axes[0, 0]
    for row, runs in found:
        place.plot(
            [run["strings"] for run in runs], [100 * run["unknown"] for run in runs], "o", alpha=0.7, label=row.what
        )
    place.set_xscale("log")
    place.set_xlabel("strings trained until learned, or until the end")
    place.set_ylabel("other strings right, %")
    place.legend(loc="lower left", fontsize="small")
    return figure


def curves(label: str) -> Callable[[Found], Figure]:
    """The loss of each run over training."""

    def draw(found: Found) -> Figure:
        figure, axes = _figure(1, 1, (7, 3.2))
        place = axes[0, 0]
        for index, (row, runs) in enumerate(found):
            for number, run in enumerate(runs):
                seen = [(epoch + 1) * run["sequences"] / len(run["curve"]) for epoch in range(len(run["curve"]))]
                place.plot(seen, run["curve"], color=f"C{index}", linewidth=1, label=None if number else row.what)
        place.set_yscale("log")
        place.set_xlabel("sequences trained")
        place.set_ylabel(label)
        place.legend(loc="upper right", fontsize="small")
        return figure

    return draw


def music(found: Found) -> Figure:
    """Published and measured figures side by side."""
    figure, axes = _figure(1, 1, (7, 4))
    place = axes[0, 0]
    bars = range(len(found))
    published = [float(row.published) for row, _ in found]
    ours = [median(run["test"] for run in runs) for _, runs in found]
    place.barh([bar - 0.2 for bar in bars], published, 0.4, color="0.7", label="published")
    place.barh([bar + 0.2 for bar in bars], ours, 0.4, color="C0", label="rnnrs")
    place.set_yticks(bars, [row.what for row, _ in found], fontsize="small")
    place.invert_yaxis()
    place.set_xlabel("nats a step, test pieces")
    figure.legend(loc="outside upper center", ncols=2, fontsize="small")
    return figure


def chunker(found: Found) -> Figure:
    """How much of each string the chunker was told, in the first run of each row."""
    figure, axes = _figure(1, 1, (7, 3.2))
    place = axes[0, 0]
    for row, runs in found:
        work, every = runs[0]["work"], runs[0]["every"]
        place.plot([(index + 1) * every for index in range(len(work))], work, linewidth=1, label=row.what)
    place.set_xscale("log")
    place.set_yscale("log")
    place.set_xlabel("strings of the stream")
    place.set_ylabel("symbols told, of a string")
    place.legend(loc="upper right", fontsize="small")
    return figure


def history(found: Found) -> Figure:
    """What came to which level, how surprising it was, and how the description fell."""
    run = found[0][1][0]
    times, levels, predicted, surprise = run["work"]
    figure, axes = _figure(3, 1, (7, 5.4), height_ratios=[1.5, 1, 1.5])
    raster, surprises, curve = axes[:, 0]
    for time, level, right in zip(times, levels, predicted, strict=True):
        raster.plot(time, level, "|", color="0.7", markersize=8)
        if not right:
            raster.plot(time, level + 1, "|", color="C3", markersize=8, markeredgewidth=2)
    top = max(levels)
    raster.set_yticks(range(top + 2), [*(f"level {level}" for level in range(top + 1)), "beyond"], fontsize="small")
    raster.set_ylim(-0.5, top + 1.5)
    lowest = [(t, s) for t, level, s in zip(times, levels, surprise, strict=True) if level == 0]
    surprises.plot(*zip(*lowest, strict=True), linewidth=1)
    surprises.set_ylabel("bits", fontsize="small")
    surprises.set_xlabel("letters read", fontsize="small")
    for level in range(1 + max(level for level, _ in run["curve"])):
        part = [(k + 1, bits) for k, (learns, bits) in enumerate(run["curve"]) if learns == level]
        curve.plot(*zip(*part, strict=True), color=f"C{level}", label=f"level {level} learns")
    curve.set_yscale("log")
    curve.set_ylabel("bits of four texts", fontsize="small")
    curve.set_xlabel("passes", fontsize="small")
    curve.legend(loc="upper right", fontsize="small")
    return figure


def compressor(found: Found) -> Figure:
    """Bits a byte of every file, of each packer."""
    packers = {"archive": "rnnrs", "xz": "xz -9e", "bzip2": "bzip2 -9", "zstd": "zstd -22"}
    figure, axes = _figure(1, 1, (7, 5))
    place = axes[0, 0]
    for number, (name, title) in enumerate(packers.items()):
        bits = [8 * runs[0][name] / runs[0]["bytes"] if runs[0][name] else float("nan") for _, runs in found]
        place.plot(bits, range(len(found)), "o|x+"[number], color=f"C{number}", label=title)
    place.set_yticks(range(len(found)), [row.what for row, _ in found], fontsize="small")
    place.invert_yaxis()
    place.grid(axis="y", linewidth=0.4)
    place.set_xlim(left=0)
    place.set_xlabel("bits a byte")
    figure.legend(loc="outside upper center", ncols=4, fontsize="small")
    return figure


PICTURES: dict[str, Callable[[Found], Figure]] = {
    "counting": counting,
    "reber": reber,
    "order": curves("cross-entropy in training, nats"),
    "adding": curves("mean squared error in training"),
    "music": music,
    "chunker": chunker,
    "history": history,
    "compressor": compressor,
}
