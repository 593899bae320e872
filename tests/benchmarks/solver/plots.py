"""How do the tables look? Three figures, as PNG and SVG."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from tests.benchmarks.solver.quality import Row
from tests.benchmarks.solver.refining import Refinement, best_known
from tests.benchmarks.solver.speed import Cell

_LEAST = 1e-5
"""Where a probability of zero is drawn on a logarithmic axis."""


def plot_speed(cells: Sequence[Cell], folder: Path) -> None:
    """Draw the time of one energy by size, for the deepest circuit of each problem."""
    layers = max(cell.layers for cell in cells)
    problems = list(dict.fromkeys(cell.problem for cell in cells))
    figure, axes = plt.subplots(
        1, len(problems), figsize=(6 * len(problems), 6), sharey=True, squeeze=False, layout="constrained"
    )
    styles = [(line, mark) for line in ("-", "--", ":") for mark in "osv^Dx"]
    for axis, problem in zip(axes[0], problems, strict=True):
        chosen = [cell for cell in cells if cell.problem == problem and cell.layers == layers]
        for number, peer in enumerate(dict.fromkeys(name for cell in cells for name in cell.timings)):
            points = [(cell.spins, cell.ms(peer)) for cell in chosen if peer in cell.timings]
            if points:
                line, mark = styles[number % len(styles)]
                axis.plot(*zip(*points, strict=True), line, marker=mark, label=peer)
        axis.set(title=f"{problem}, p={layers}", xlabel="spins", ylabel="ms for one energy", yscale="log")
        axis.set_xticks(sorted({cell.spins for cell in chosen}))
        axis.grid(visible=True, which="both", alpha=0.2)
    axes[0][-1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _save(figure, folder, "speed")


def plot_quality(rows: Sequence[Row], folder: Path) -> None:
    """Draw the probability of the optimum per sample, by contestant and family."""
    names, families = (list(dict.fromkeys(getattr(row, key) for row in rows)) for key in ("contestant", "family"))
    figure, axis = plt.subplots(figsize=(10, 0.5 * len(names) + 1.5))
    for number, family in enumerate(families):
        chosen = [row for row in rows if row.family == family]
        at = np.array([names.index(row.contestant) for row in chosen]) + 0.14 * (number - (len(families) - 1) / 2)
        middle = np.array([max(row.success.middle, _LEAST) for row in chosen])
        low = middle - np.array([max(row.success.low, _LEAST) for row in chosen])
        high = np.array([max(row.success.high, _LEAST) for row in chosen]) - middle
        axis.errorbar(middle, at, xerr=(low, high), fmt="o", markersize=4, capsize=2, label=family)
    axis.set(xscale="log", xlabel="P(opt) of one sample, median and 95 % interval", yticks=range(len(names)))
    axis.set_yticklabels(names)
    axis.invert_yaxis()
    axis.grid(visible=True, axis="x", which="both", alpha=0.2)
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _save(figure, folder, "quality")


def plot_refinement(result: Refinement, folder: Path) -> None:
    """Draw the gap to the best known cost by seconds, by method and problem."""
    walks = result.walks
    problems, methods = (list(dict.fromkeys(getattr(walk, key) for walk in walks)) for key in ("problem", "method"))
    columns = min(3, len(problems))
    lines = -(-len(problems) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(4.5 * columns, 3.5 * lines), squeeze=False, layout="constrained"
    )
    for axis, problem in zip(axes.flat, problems, strict=False):
        for method in methods:
            runs = [walk for walk in walks if walk.problem == problem and walk.method == method]
            gaps = [
                median(100.0 * (cost / best_known(walks, problem, walk.seed) - 1.0) for walk, cost in points)
                for points in (
                    [(walk, (walk.start, *walk.reached)[at]) for walk in runs]
                    for at in range(len(result.budgets_s) + 1)
                )
            ]
            axis.plot((0.0, *result.budgets_s), gaps, marker="o", markersize=3, label=method)
        axis.set(title=problem, xlabel="processor seconds", ylabel="gap to best known, %")
        axis.set_yscale("symlog", linthresh=0.01)
        axis.set_ylim(bottom=0.0)
    for axis in list(axes.flat)[len(problems) :]:
        axis.set_visible(False)
    axes[0][-1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _save(figure, folder, "refine")


def _save(figure: Figure, folder: Path, name: str) -> None:
    for kind in ("png", "svg"):
        figure.savefig(folder / f"{name}.{kind}", bbox_inches="tight", dpi=120)
    plt.close(figure)
