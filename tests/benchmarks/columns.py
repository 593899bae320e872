"""What did each column reach? A yardstick, our loop with a classical solver, and our loop with QAOA, at equal seconds.

Each instance gets the same seconds from every method, one after another in an order that rotates from instance to
instance. Our loop spends half of them on the noun's classical search and the rest on windows, so the two columns of
ours differ in nothing but who answers the windows. Costs are those of the noun, recomputed from the decision; a method
that has no answer in time counts with what is in force, and is counted.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from qiskit_solvers.anneal import Anneal
from qiskit_solvers.ising import Ising
from qiskit_solvers.qaoa import Qaoa
from qiskit_solvers.solver import Solver
from tasks.problems.protocol import Problem
from tasks.refine import Effort, refine

CLASSICAL, QUANTUM = "ours, annealing on windows", "ours, QAOA on windows"
CALIBRATION = 20_000
"""Evaluations whose time tells how many fit into the seconds."""

TIE = 1e-6
"""Relative difference below which two costs are a tie."""

RESAMPLES = 10_000
SIGNIFICANT = 0.05

Yardstick = Callable[[Problem[Any], float], Any]
"""Given the problem and the seconds: a feasible decision of that problem, or None for no answer in time."""


@dataclass(frozen=True, slots=True)
class Reached:
    """What one method reached on one instance.

    Args:
        answered: False where it had no answer in time, and what is in force counts.
        accepted: improvements that the windows found after the classical search; 0 for yardsticks.
        figures: of the decision, by name.
    """

    instance: str
    method: str
    incumbent: float
    cost: float
    seconds: float
    answered: bool
    accepted: int
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


@dataclass(frozen=True, slots=True)
class Columns:
    """All columns of all instances."""

    seconds: float
    seed: int
    reached: tuple[Reached, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """Names, in the order in which they were given."""
        return tuple(dict.fromkeys(row.method for row in self.reached))

    def costs(self, method: str) -> np.ndarray:
        """Return the cost on each instance, ``(instances,)``."""
        chosen = {row.instance: row.cost for row in self.reached if row.method == method}
        return np.array([chosen[name] for name in sorted(chosen)])

    def saved(self, method: str) -> Interval:
        """Return the cost saved against what is in force, in percent of it."""
        chosen = [row for row in self.reached if row.method == method]
        return interval([100.0 * (1.0 - row.cost / row.incumbent) if row.incumbent else 0.0 for row in chosen])

    def against(self, method: str, other: str) -> Interval:
        """Return how much dearer ``method`` is than ``other``, in percent of what is in force; below 0 is cheaper."""
        names = sorted({row.instance for row in self.reached})
        scale = {row.instance: abs(row.incumbent) or 1.0 for row in self.reached}
        whole = np.array([scale[name] for name in names])
        return interval(100.0 * (self.costs(method) - self.costs(other)) / whole)

    def record(self, method: str, other: str) -> tuple[int, int, int]:
        """Return on how many instances ``method`` is cheaper than ``other``, as good, and dearer."""
        one, two = self.costs(method), self.costs(other)
        tied = np.abs(one - two) <= TIE * np.maximum(1.0, np.abs(two))
        return int((~tied & (one < two)).sum()), int(tied.sum()), int((~tied & (one > two)).sum())

    def show(self, title: str) -> str:
        """Return the table and the sentence on what the quantum step added, and print both."""
        instances = len({row.instance for row in self.reached})
        lines = [
            f"\n{title}: {instances} instances, {self.seconds:g} s each; means with 95 % bootstrap intervals",
            f"{'method':34}{'cost saved, %':>28}{'better/tied/worse than ours':>30}{'seconds':>9}{'no answer':>11}",
        ]
        for method in self.methods:
            rows = [row for row in self.reached if row.method == method]
            beside = "" if method == CLASSICAL else "{} / {} / {}".format(*self.record(method, CLASSICAL))
            spent = float(np.median([row.seconds for row in rows]))
            silent = sum(not row.answered for row in rows)
            lines.append(f"{method:34}{self.saved(method)!s:>28}{beside:>30}{spent:9.2f}{silent:11d}")
        lines.append(self.quantum())
        text = "\n".join(lines)
        print(text, flush=True)
        return text

    def quantum(self) -> str:
        """Return the sentence that says what the quantum step added to the classical loop."""
        better, tied, worse = self.record(QUANTUM, CLASSICAL)
        difference = self.against(QUANTUM, CLASSICAL)
        found = sum(row.accepted for row in self.reached if row.method == QUANTUM)
        account = (
            f"{better} better, {tied} tied, {worse} worse; cost {difference} % of what is in force; "
            f"{found} changes accepted from its windows"
        )
        # a mean that a few instances carry is no finding: the signs must agree too (exact sign test, ties left out)
        told_apart = better + worse > 0 and float(binomtest(better, better + worse).pvalue) <= SIGNIFICANT
        if told_apart and difference.high < 0.0:
            return f"The quantum step gained on annealing at equal seconds: {account}."
        if told_apart and difference.low > 0.0:
            return f"The quantum step lost to annealing at equal seconds: {account}."
        return f"The quantum step added nothing that can be told from annealing at equal seconds: {account}."

    def save(self, folder: Path, name: str) -> None:
        """Write ``<name>.json`` and ``<name>.png`` into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        told = {
            "seconds": self.seconds,
            "seed": self.seed,
            "quantum": self.quantum(),
            "methods": {method: {"saved_percent": asdict(self.saved(method))} for method in self.methods},
            "instances": [asdict(row) for row in self.reached],
        }
        (folder / f"{name}.json").write_text(json.dumps(told, indent=1) + "\n")
        self._plot(folder / f"{name}.png")

    def _plot(self, path: Path) -> None:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt

        figure, axes = plt.subplots(figsize=(8, 0.6 * len(self.methods) + 1.5), layout="constrained")
        for place, method in enumerate(reversed(self.methods)):
            rows = [row for row in self.reached if row.method == method]
            saved = [100.0 * (1.0 - row.cost / row.incumbent) if row.incumbent else 0.0 for row in rows]
            jitter = np.linspace(-0.2, 0.2, len(saved))
            axes.plot(saved, place + jitter, ".", color="0.6", markersize=5)
            mean = interval(saved)
            spread = [[mean.mean - mean.low], [mean.high - mean.mean]]
            axes.errorbar([mean.mean], [place], xerr=spread, fmt="o", color="C0", capsize=4)
        axes.set_yticks(range(len(self.methods)), list(reversed(self.methods)))
        axes.set_xlabel("cost saved against what is in force, %")
        axes.set_title(f"equal seconds: {self.seconds:g} s for each method and instance")
        figure.savefig(path, dpi=130)
        plt.close(figure)


def interval(values: Sequence[float] | np.ndarray) -> Interval:
    """Return the mean of ``values`` and its percentile bootstrap interval (Efron 1979, doi 10.1214/aos/1176344552)."""
    array = np.asarray(values, dtype=np.float64)
    draws = np.random.default_rng(0).integers(array.size, size=(RESAMPLES, array.size))
    means = array[draws].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(array.mean()), float(low), float(high))


def compared(
    problems: Sequence[tuple[str, Problem[Any]]],
    yardsticks: Mapping[str, Yardstick],
    *,
    seconds: float,
    seed: int,
) -> Columns:
    """Return what each method reaches on each instance in the same seconds.

    Args:
        problems: instances, by name.
        yardsticks: by name.
        seconds: for each method on each instance.
        seed: of our loop.
    """
    methods: dict[str, Callable[[Problem[Any]], tuple[Any, int]]] = {
        name: lambda problem, ask=ask: (ask(problem, seconds), 0) for name, ask in yardsticks.items()
    }
    for name, solver in ((CLASSICAL, Anneal()), (QUANTUM, Qaoa())):
        methods[name] = lambda problem, solver=solver: ours(problem, solver, seconds, seed)
    _warm()
    reached: dict[tuple[int, str], Reached] = {}
    names = list(methods)
    for number, (instance, problem) in enumerate(problems):
        incumbent = problem.cost(problem.incumbent())
        ours(problem, Anneal(), 0.05, seed)  # compiles what is compiled for this noun, once
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            started = time.perf_counter()
            decision, accepted = methods[name](problem)
            spent = time.perf_counter() - started
            held = problem.incumbent() if decision is None else decision
            reached[number, name] = Reached(
                instance=instance,
                method=name,
                incumbent=incumbent,
                cost=problem.cost(held),
                seconds=spent,
                answered=decision is not None,
                accepted=accepted,
                figures={figure.name: figure.value for figure in problem.figures(held)},
            )
    return Columns(seconds, seed, tuple(reached[number, name] for name in names for number in range(len(problems))))


def ours(problem: Problem[Any], solver: Solver, seconds: float, seed: int) -> tuple[Any, int]:
    """Return what our loop makes of ``problem`` in ``seconds``, and how often the windows improved it."""
    started = time.perf_counter()
    problem.search(problem.incumbent(), CALIBRATION, np.random.default_rng(seed))
    rate = CALIBRATION / max(1e-6, time.perf_counter() - started)
    effort = Effort(
        evaluations=int(rate * max(0.0, 0.5 * seconds - (time.perf_counter() - started))),
        rounds=1_000_000,
        patience=1_000_000,
    )
    until = started + seconds
    refined = refine(
        problem,
        solver,
        np.random.default_rng(seed),
        effort=effort,
        expired=lambda: time.perf_counter() >= until,
    )
    accepted = sum(row.accepted for row in refined.rows if row.method == f"{solver.kind} on windows")
    return refined.decision, accepted


def _warm() -> None:
    """Start the child that runs Aer and compile what the solvers compile, so that no instance pays for it."""
    ising = Ising(np.array([0.3, -0.2, 0.1]), np.triu(np.ones((3, 3)), 1))
    for solver in (Anneal(), Qaoa()):
        solver(ising, np.random.default_rng(0))
