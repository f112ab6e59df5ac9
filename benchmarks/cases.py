"""The table of cases: what is measured, against whom, and what is aimed at."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .problem import Problem


@dataclass(frozen=True)
class Case:
    """`ours` and `kind` name functions of the peers' files; `threads` 0 stands for all processors.

    `goals`: for peers, how many times as fast we want to be at least. `limit`: microseconds that a step of ours may
    take.
    """

    name: str
    about: str
    kind: str
    problem: Problem
    peers: tuple[str, ...]
    threads: tuple[int, ...] = (0,)
    ours: str | None = None
    goals: tuple[tuple[str, float], ...] = ()
    limit: float | None = None
    against: str | None = None
    """What the peer is called where it is rnnrs itself."""
    tolerance: float = 1e-3
    """Largest difference allowed between two results, relative in the Euclidean norm of each array. (A ReLU may fall to
    the other side of its corner by a rounding, and change single elements by more.)"""

    @property
    def our_kind(self) -> str:
        return self.ours or self.kind


# The shapes: (inputs, hidden, batch, steps).
_SHAPES = {
    "h128": (128, 128, 32, 100),
    "h512": (512, 512, 64, 100),
    "h256": (88, 256, 16, 160),
    "h64": (1, 64, 64, 1000),
    "h1024": (1024, 1024, 64, 50),
}
_LONE = (4, 32, 1, 1000)
_TRAINING = {
    "lstm": (1.25, 1.1, 1.4, 4.0, 1.05),
    "gru": (3.3, 1.5, 2.5, 6.0, 2.0),
    "rnn": (3.5, 1.4, 2.2, 6.0, 1.5),
}
_FORWARD = {"lstm": 1.0, "gru": 1.0, "rnn": 1.5}
_STREAMS = {16: 20.0, 32: 15.0, 64: 7.0, 128: 3.0}
_BLOCKS = {32: 0.24, 64: 1.28}


def _training() -> list[Case]:
    about = "training: forward and backward with the gradients of inputs and parameters"
    return [
        Case(
            f"train-{cell}-{shape}",
            about,
            "train",
            Problem(cell, *_SHAPES[shape]),
            ("torch",),
            goals=(("torch", goal),),
        )
        for cell, goals in _TRAINING.items()
        for shape, goal in zip(_SHAPES, goals, strict=True)
    ] + [
        Case(
            f"train-{cell}-lone",
            f"{about}, of a single sequence",
            "train",
            Problem(cell, *_LONE),
            ("torch", "jax"),
            goals=(("torch", goal), ("jax", 3.0)),
        )
        for cell, goal in (("lstm", 3.0), ("gru", 100.0))
    ]


def _forward() -> list[Case]:
    return [
        Case(
            f"forward-{cell}-{shape}",
            "forward only",
            "forward",
            Problem(cell, *sizes),
            ("onnxruntime",),
            goals=(("onnxruntime", goal),),
        )
        for cell, goal in _FORWARD.items()
        for shape, sizes in _SHAPES.items()
    ]


def _loops() -> list[Case]:
    return [
        Case(
            f"loop-{cell}-{shape}",
            "training a cell that nobody has built in, against loops over time written by hand",
            "train_loop",
            Problem(cell, *sizes),
            ("torch", "jax"),
            ours="train",
            goals=(("torch", 3.0), ("jax", 1.0)),
        )
        for cell in ("peephole", "mgu", "indrnn")
        for shape, sizes in _SHAPES.items()
    ]


def _ragged() -> list[Case]:
    ragged = Problem("lstm", *_SHAPES["h128"], ragged=True)
    return [
        Case(
            "ragged-torch",
            "training on sequences of lengths uniform in 1 to T, against packed sequences",
            "train",
            ragged,
            ("torch",),
            goals=(("torch", 3.0),),
        ),
        Case(
            "ragged-sum",
            "the same against sequences of equal lengths with as many steps in all",
            "train_full",
            ragged,
            ("rnnrs",),
            ours="train_ragged",
            goals=(("rnnrs", 1 / 1.25),),
            against="equal lengths",
        ),
    ]


def _streams() -> list[Case]:
    def problem(hidden: int) -> Problem:
        return Problem("lstm", hidden, hidden, 1, 1000)

    steps = "a thousand steps, one call from Python each; the time is for all of them"
    return [
        *(
            Case(f"stream-h{h}", steps, "stream", problem(h), ("onnxruntime",), (1,), goals=(("onnxruntime", goal),))
            for h, goal in _STREAMS.items()
        ),
        *(
            Case(
                f"block-h{h}",
                "a thousand steps in one call, against one call each",
                "stream",
                problem(h),
                ("rnnrs",),
                (1,),
                ours="stream_block",
                limit=limit,
                against="a step a call",
            )
            for h, limit in _BLOCKS.items()
        ),
        *(
            Case(
                f"{weights}{'-block' if block else ''}-h{h}",
                f"a thousand steps, {calls}, with {weights} weights, against float32",
                f"stream{block}_full",
                problem(h),
                ("rnnrs",),
                (1,),
                ours=f"stream{block}_{weights}",
                goals=(("rnnrs", 2.0),) if weights == "int8" else (),
                against="float32",
            )
            for weights in ("bfloat16", "int8")
            for block, calls in (("", "one call each"), ("_block", "all in one call"))
            for h in (256, 512, 1024)
        ),
        Case(
            "stream-h512",
            steps,
            "stream",
            problem(512),
            ("onnxruntime",),
            (1, 0),
            goals=(("onnxruntime", 1.1),),
        ),
    ]


def _rounded() -> list[Case]:
    """Products of bfloat16 numbers, with sums in float32."""
    return [
        Case(
            f"{kind}-bfloat16{'' if peer == 'torch' else '-float32'}-{shape}",
            f"{about}, operands of products in bfloat16, against {other}",
            f"{kind}_bfloat16" if peer == "torch" else kind,
            Problem("lstm", *_SHAPES[shape]),
            (peer,),
            ours=f"{kind}_bfloat16",
            goals=((peer, goal),),
            against=None if peer == "torch" else other,
            tolerance=0.05,
        )
        for kind, about in (("train", "training"), ("forward", "forward only"))
        for shape in ("h512", "h1024")
        for peer, goal, other in (("torch", 1.1, "PyTorch with everything in bfloat16"), ("rnnrs", 1.6, "float32"))
    ]


def _scaling() -> list[Case]:
    long = Problem("lstm", 4, 32, 1, 1000)
    return [
        *(
            Case(
                f"long-{steps}",
                "training with a checkpoint every thousand steps, against the time a step of a thousand",
                "train_short",
                replace(long, steps=steps),
                ("rnnrs",),
                ours="train_long",
                goals=(("rnnrs", 1 / 1.1),),
                against="T 1000",
            )
            for steps in (10_000, 100_000, 1_000_000)
        ),
        *(
            Case(
                f"threads-{cell}-{shape}",
                "training with all threads, against one",
                "train_alone",
                Problem(cell, *sizes),
                ("rnnrs",),
                ours="train",
                goals=(("rnnrs", 1.8),) if sizes[2] >= 32 else (),
                against="one thread",
            )
            for cell in ("lstm", "gru", "rnn")
            for shape, sizes in _SHAPES.items()
        ),
    ]


def _own() -> list[Case]:
    short = Problem("lstm", *_SHAPES["h128"])
    return [
        Case(
            "peephole",
            "training with peepholes, against rnnrs without them",
            "train",
            short,
            ("rnnrs",),
            (1, 0),
            ours="train_peephole",
            goals=(("rnnrs", 1 / 1.2),),
            against="without peepholes",
        ),
        Case(
            "own-cell",
            "training an LSTM written by a user in Python, against rnnrs's own",
            "train",
            short,
            ("rnnrs",),
            (1, 0),
            ours="train_own",
            goals=(("rnnrs", 1 / 1.05),),
            against="built in",
        ),
        Case(
            "indrnn",
            "training two layers of IndRNN over five thousand steps, against loops written by hand",
            "train_loop",
            Problem("indrnn", 2, 128, 32, 5000, layers=2),
            ("torch", "jax"),
            (1, 0),
            ours="train",
            goals=(("torch", 5.0), ("jax", 1.0)),
        ),
    ]


CASES = (*_training(), *_forward(), *_loops(), *_ragged(), *_streams(), *_rounded(), *_scaling(), *_own())
