"""How long does one energy take? Ours beside Aer, qiskit-optimization and QOKit, taking turns in one run.

Processor time of this process on one thread, medians; the models, their diagonals and the circuits are made
before the clock starts, for everyone. A peer that needs longer than the patience is read once, and marked ``*``;
one that needs more than a second is read three times.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qiskit_solvers.ising import Ising
from qiskit_solvers.simulation.full import FullSpace
from tests.benchmarks.solver.aer_peers import Energy, aer_energies, stock_energies
from tests.benchmarks.solver.families import dense_qubo, regular_maxcut
from tests.benchmarks.solver.floor import passes
from tests.benchmarks.solver.intervals import Floats
from tests.benchmarks.solver.printing import brief, show
from tests.benchmarks.solver.qokit import Qokit, compiled_energy, fallback_energy, qokit
from tests.benchmarks.solver.stopwatch import Call, Timing, interleaved

OURS, OURS_SINGLE = "ours", "ours, single precision"
SLOPE, SLOPE_SINGLE = "ours, all derivatives", "ours, all derivatives, single"
FLOOR, FLOOR_SINGLE = "floor", "floor, single precision"
QOKIT = {"makefile": "QOKit C, its makefile", "o3": "QOKit C, -O3 -march=native", "wheel": "QOKit C, wheel's binary"}
FALLBACK = "QOKit, Python fallback"
AER_BOUND = ("Aer, assign_parameters", "Aer, parameter_binds")
"""The two ways to bind; the goal counts from the faster one of each size."""

_FALLBACK_SPINS = 14  # seconds a layer above
_SAMPLER_SPINS = 18  # half a minute and more for one energy above
_ANGLES = 8


@dataclass(frozen=True, slots=True)
class Cell:
    """One model size and depth.

    Args:
        problem: kind of model.
        spins: its size.
        layers: depth.
        timings: by peer.
        disagreement: largest difference of an exact peer's energy from ours, in standard deviations of the energy.
    """

    problem: str
    spins: int
    layers: int
    timings: Mapping[str, Timing]
    disagreement: float

    def ms(self, peer: str) -> float:
        """Return a peer's median, NaN if it was not measured."""
        return self.timings[peer].ms if peer in self.timings else float("nan")

    def aer_bound_ms(self) -> float:
        """Return the faster of the two ways to bind parameters on Aer."""
        return min(self.ms(name) for name in AER_BOUND)


def energies(folder: Path, sizes: tuple[int, ...], *, rounds: int, patience_s: float, slow: bool) -> list[Cell]:
    """Measure one energy for each problem, size and depth, and print the table.

    Args:
        folder: where QOKit is kept.
        sizes: spins.
        rounds: readings at the largest size; twice as many below 16 spins.
        patience_s: a peer that needs longer is read once.
        slow: also call the samplers of the stock QAOA above 14 spins.
    """
    peer = qokit(folder)
    for reason in peer.missing:
        print(f"skipped: {reason}")
    least = "the stock QAOA above 14 spins" if not slow else f"StatevectorSampler above {_SAMPLER_SPINS} spins"
    print(f"left out, for its time: {least}; QOKit's Python fallback above {_FALLBACK_SPINS} spins")
    cells = []
    for spins in sizes:
        for problem, model in (("3-regular MaxCut", regular_maxcut), ("dense QUBO", dense_qubo)):
            ising = model(spins, np.random.default_rng(spins))
            for layers in (1, 3):
                count = rounds if spins >= 16 else 2 * rounds
                cells.append(_cell(problem, ising, layers, peer, count, patience_s, slow=slow or spins <= 14))
    _print(cells)
    return cells


def _cell(problem: str, ising: Ising, layers: int, peer: Qokit, rounds: int, patience_s: float, *, slow: bool) -> Cell:
    space, single = FullSpace(ising), FullSpace(ising, precision="single")
    costs = space.costs
    exact: dict[str, Energy] = {OURS: space.energy, **aer_energies(ising, costs, layers)}
    for name, library in peer.libraries.items():
        exact[QOKIT[name]] = compiled_energy(library, costs, ising.spins)
    if peer.fallback is not None and ising.spins <= _FALLBACK_SPINS:
        exact[FALLBACK] = fallback_energy(peer.fallback, costs, ising.spins)
    rng = np.random.default_rng(layers)
    unit = float(costs.std())
    angles = [(rng.uniform(0.2, 1.5, layers) / unit, rng.uniform(0.1, 0.8, layers)) for _ in range(_ANGLES)]
    truth = space.energy(*angles[0])
    apart = max(abs(energy(*angles[0]) - truth) / unit for energy in exact.values())
    if apart > 1e-8:
        raise ArithmeticError(f"{problem}, {ising.spins} spins: peers differ by {apart:.1e} standard deviations")
    calls: dict[str, Call] = {name: _turning(energy, angles) for name, energy in exact.items()}
    calls[OURS_SINGLE] = _turning(single.energy, angles)
    calls[SLOPE] = _turning(space.slope, angles)
    calls[SLOPE_SINGLE] = _turning(single.slope, angles)
    if slow:
        stock = stock_energies(ising, layers, 1, statevector=ising.spins <= _SAMPLER_SPINS)
        calls |= {name: _turning(energy, angles) for name, energy in stock.items()}
    floor, floor_single = (passes(ising.spins, layers, dtype) for dtype in (np.complex128, np.complex64))
    calls[FLOOR] = lambda _round: floor()
    calls[FLOOR_SINGLE] = lambda _round: floor_single()
    timings = interleaved(calls, rounds=rounds, patience_s=patience_s)
    return Cell(problem, ising.spins, layers, timings, apart)


def _turning(energy: object, angles: list[tuple[Floats, Floats]]) -> Call:
    return lambda number: energy(*angles[number % len(angles)])  # type: ignore[operator]


def _print(cells: list[Cell]) -> None:
    peers = list(dict.fromkeys(name for cell in cells for name in cell.timings))
    peers.sort(key=lambda name: max((cell.ms(name) for cell in cells if name in cell.timings), default=0.0))
    head = [f"n={cell.spins} p={cell.layers}" for cell in cells]
    for problem in dict.fromkeys(cell.problem for cell in cells):
        chosen = [at for at, cell in enumerate(cells) if cell.problem == problem]
        for title, figure in (("ms of one energy", _ms), ("times ours (double precision)", _times)):
            rows = [[name, *(figure(cells[at], name) for at in chosen)] for name in peers]
            show(f"{problem}: {title}", ["", *(head[at] for at in chosen)], rows)
    worst = max(cell.disagreement for cell in cells)
    print(f"\nexact peers agree with ours to {worst:.1e} standard deviations of the energy; * = read once")


def _ms(cell: Cell, name: str) -> str:
    if name not in cell.timings:
        return ""
    timing = cell.timings[name]
    return brief(timing.ms) + ("*" if timing.readings == 1 else "")


def _times(cell: Cell, name: str) -> str:
    return brief(cell.ms(name) / cell.ms(OURS)) if name in cell.timings else ""
