"""How evenly are the experts of a deployment loaded, before and after? Rank by layer, on one scale of colours."""

from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from data.schemas.routing import ExpertDeployment
from data.transition import even_shares
from tasks.report.plain import one_line
from tasks.report.svg import at, element, label, markup, picture, tile

Floats = npt.NDArray[np.float64]

SHADES = 12
MOST_COLUMNS = 256
MOST_ROWS = 96
"""Above these, neighbours share a square, which shows the highest of them."""

WIDTH = 620.0
_LEFT, _BOTTOM = 34.0, 16.0


@dataclass(frozen=True, slots=True)
class HeatMaps:
    """One deployment.

    Args:
        deployment: its id.
        before: a picture.
        after: likewise, on the same scale.
        fullest: the fullest rank of each layer, before and after.
        balance_before: mean over max rank load, summed over layers before dividing.
        balance_after: likewise.
        scale: lowest and highest load on the scale, as multiples of the layer's mean.
        moved: slots that hold another expert afterwards.
        note: what a square stands for.
    """

    deployment: str
    before: Markup
    after: Markup
    fullest: Markup
    balance_before: float
    balance_after: float
    scale: tuple[str, str]
    moved: int
    note: str


def heat_maps(before: ExpertDeployment, after: ExpertDeployment) -> HeatMaps:
    """Return the maps of one deployment in two states, both under the last load window of ``before``."""
    loads = np.array(before.loads[-1], dtype=np.float64)
    states = [rank_times(each, loads) for each in (before, after)]
    relative = [_relative(state) for state in states]
    highest = max(1.0, *(float(each.max(initial=0.0)) for each in relative))
    lowest = min(1.0, *(float(each.min(initial=1.0)) for each in relative))
    pictures = [
        _draw(each, lowest, highest, f"load of each rank and layer of {before.id}, {when} the plan")
        for each, when in zip(relative, ("before", "after"), strict=True)
    ]
    layers, ranks = states[0].shape
    wide, tall = -(-ranks // MOST_COLUMNS), -(-layers // MOST_ROWS)
    note = "One column is one rank, one row one layer" if wide == tall == 1 else (
        f"One square is {wide} rank(s) of {tall} layer(s), and shows the highest of them"
    )  # fmt: skip
    return HeatMaps(
        one_line(before.id),
        pictures[0],
        pictures[1],
        fullest_ranks(relative[0], relative[1], before.id),
        balancedness(states[0]),
        balancedness(states[1]),
        (f"{lowest:.2f}", f"{highest:.2f}"),
        int((np.array(before.placement) != np.array(after.placement)).sum()),
        note,
    )


def rank_times(deployment: ExpertDeployment, loads: Floats) -> Floats:
    """Return the tokens of each rank over its speed, 0 on a failed one, ``(layers, ranks)``.

    Args:
        deployment: its shares split an expert's tokens; evenly over replicas on live ranks where it has none.
        loads: tokens of each expert, ``(layers, experts)``.
    """
    layers, ranks = deployment.layers, deployment.ranks
    shares = np.array(deployment.shares or [even_shares(deployment, layer) for layer in range(layers)])
    taken = loads[np.arange(layers)[:, None], np.array(deployment.placement)] * shares
    speed = np.array(deployment.rank_speed or (1.0,) * ranks)
    tokens = taken.reshape(layers, ranks, -1).sum(axis=2)
    return np.asarray(np.divide(tokens, speed, out=np.zeros_like(tokens), where=speed > 0))


def fullest_ranks(before: Floats, after: Floats, deployment: str) -> Markup:
    """Return the load of the fullest rank of each layer as two lines; a layer waits for it.

    Args:
        before: of each rank, as multiples of the layer's mean, ``(layers, ranks)``.
        after: likewise.
        deployment: its id.
    """
    lines = [each.max(axis=1) for each in (before, after)]
    top = max(1.05, *(float(line.max(initial=1.0)) for line in lines))
    step = (2 * WIDTH - _LEFT) / max(1, lines[0].size)
    height = 120.0

    def y(value: float) -> float:
        return height - (value - 1.0) / (top - 1.0) * (height - 12.0)

    parts = []
    for value in (1.0, top):
        ends = {"x1": at(_LEFT), "x2": at(2 * WIDTH), "y1": at(y(value)), "y2": at(y(value))}
        parts.append(element("line", {"class": "grid", **ends}))
        parts.append(label(_LEFT - 4, y(value) + 3.5, f"{value:.2f}", "small", end="end"))
    for line, style, when in zip(lines, ("line-before", "line-after"), ("before", "after"), strict=True):
        path = "".join(
            f"{'L' if layer else 'M'}{at(_LEFT + (layer + 0.5) * step)} {at(y(value))}"
            for layer, value in enumerate(line.tolist())
        )
        title = element("title", {}, text=f"{when}: mean {line.mean():.3f}, highest {line.max():.3f}")
        parts.append(element("path", {"class": style, "d": path}, title))
    parts.append(label(_LEFT, height + 13, "layer 0", "small"))
    parts.append(label(2 * WIDTH, height + 13, str(lines[0].size - 1), "small", end="end"))
    said = f"fullest rank of each layer of {deployment} over its mean, before and after"
    return markup(picture(2 * WIDTH, height + _BOTTOM, said, *parts))


def balancedness(tokens: Floats) -> float:
    """Return mean over max rank load, both summed over layers first; 1 is even, and so is no load.

    Args:
        tokens: of each rank, ``(layers, ranks)``.
    """
    highest = float(tokens.max(axis=1).sum())
    return float(tokens.mean(axis=1).sum()) / highest if highest else 1.0


def _relative(tokens: Floats) -> Floats:
    mean = tokens.mean(axis=1, keepdims=True)
    return np.asarray(np.divide(tokens, mean, out=np.ones_like(tokens), where=mean > 0))


def _draw(relative: Floats, lowest: float, highest: float, description: str) -> Markup:
    coarse = _coarse(relative)
    rows, columns = coarse.shape
    share = (coarse - lowest) / max(highest - lowest, 1e-12)
    shade = np.clip((share * SHADES).astype(np.int64), 0, SHADES - 1)
    wide = (WIDTH - _LEFT) / columns
    tall = max(3.0, min(12.0, 300.0 / rows, wide * 1.5))
    paths: dict[int, list[str]] = {}
    for row, line in enumerate(shade.tolist()):
        column = 0
        for level, run in groupby(line):
            length = sum(1 for _ in run)
            # a little overlap hides the seams that renderers leave between neighbours
            square = tile(_LEFT + column * wide, row * tall, length * wide + 0.1, tall + 0.1)
            paths.setdefault(level, []).append(square)
            column += length
    parts = [element("path", {"class": f"h{level}", "d": "".join(squares)}) for level, squares in sorted(paths.items())]
    height = rows * tall
    layers, ranks = relative.shape
    parts += [
        label(_LEFT - 4, 8, "0", "small", end="end"),
        label(_LEFT - 4, max(16.0, height), str(layers - 1), "small", end="end"),
        label(_LEFT, height + 12, "rank 0", "small"),
        label(WIDTH, height + 12, str(ranks - 1), "small", end="end"),
    ]
    if height >= 40:
        parts.append(label(_LEFT - 4, height / 2 + 3, "layer", "small", end="end"))
    return markup(picture(WIDTH, height + _BOTTOM, description, *parts))


def _coarse(values: Floats) -> Floats:
    """Return the highest of each block of neighbours, so that at most the given rows and columns remain."""
    rows, columns = values.shape
    down = np.maximum.reduceat(values, np.arange(0, rows, -(-rows // MOST_ROWS)), axis=0)
    return np.asarray(np.maximum.reduceat(down, np.arange(0, columns, -(-columns // MOST_COLUMNS)), axis=1))
