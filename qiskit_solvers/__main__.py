"""How is the library tried out from a terminal? ``python -m qiskit_solvers demo``."""

import argparse
import sys
from pathlib import Path

import numpy as np

from qiskit_solvers.errors import TooLarge
from qiskit_solvers.explain import explain, solved
from qiskit_solvers.ising import Ising, energies
from qiskit_solvers.recommend import recommend
from qiskit_solvers.simulation.spaces import space_of

_STEPS = """\
ising = from_quadratic_program(program)
solver = recommend(ising, budget_s=1.0, among="quantum")
print(explain(solved(ising, solver, np.random.default_rng(0))))
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one of the commands; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m qiskit_solvers", description="QAOA and its companions")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="solve a small QuadraticProgram, and say how good the answer is")
    demo.add_argument("--items", type=int, default=6, help="things to place (default 6)")
    demo.add_argument("--places", type=int, default=3, help="places for each (default 3)")
    demo.add_argument("--seed", type=int, default=0)
    commands.add_parser("compile", help="compile the simulators ahead of the first use, into numba's cache")
    measure = commands.add_parser("measure", help="time the solvers on this machine, for recommend()")
    measure.add_argument("--out", type=Path, default=Path("costs.json"))
    measure.add_argument("--repeats", type=int, default=5)
    measure.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.command == "demo":
        return _demo(options.items, options.places, options.seed)
    if options.command == "compile":
        compile_simulators()
        return 0
    from qiskit_solvers.measure import write

    write(options.out, repeats=options.repeats, seed=options.seed)
    print(f"wrote {options.out}")
    return 0


def compile_simulators() -> None:
    """Run each simulator once in each precision, so that numba compiles it and keeps the machine code."""
    angles = np.full(2, 0.1)
    free = Ising(np.ones(3), np.triu(np.ones((3, 3)), 1))
    grouped = Ising(free.h, free.J, 0.0, ((0, 1),))
    for ising in (free, grouped):
        for precision in ("double", "single"):
            space = space_of(ising, precision=precision)
            space.state(angles, angles)
            space.probabilities(angles, angles)
            space.energy(angles, angles)
            space.slope(angles, angles)


def _demo(items: int, places: int, seed: int) -> int:
    if items < 1 or places < 1:
        print(f"items, places: expected at least 1 of each, got {items} and {places}", file=sys.stderr)
        return 2
    from qiskit_optimization import QuadraticProgram

    from qiskit_solvers.convert import from_quadratic_program

    rng = np.random.default_rng(seed)
    program = QuadraticProgram("placement")
    for item in range(items):
        for place in range(places):
            program.binary_var(f"item{item}_at{place}")
        program.linear_constraint({f"item{item}_at{place}": 1 for place in range(places)}, "==", 1)
    weights = {}
    for first in range(items):
        for second in range(first + 1, items):
            traffic = round(float(rng.gamma(1.0)), 3)
            for one in range(places):
                for other in range(places):
                    # apart, the traffic crosses; together, the load piles up
                    weights[f"item{first}_at{one}", f"item{second}_at{other}"] = traffic if one != other else 1.5
    program.minimize(quadratic=weights)

    print(f"{items} items, {places} places each: a QuadraticProgram with {program.get_num_vars()} binaries\n")
    print(_STEPS)
    ising = from_quadratic_program(program)
    try:
        solver = recommend(ising, budget_s=1.0, among="quantum")
    except TooLarge as error:
        print(f"{items} items, {places} places: {error}", file=sys.stderr)
        return 2
    compile_simulators()  # what is compiled or loaded here would count as the solver's time
    result = solved(ising, solver, np.random.default_rng(seed))
    print(f"solver: {solver}")
    print(explain(result))
    best = result.strings[0]
    chosen = [str(name) for name, spin in zip(ising.names, best, strict=True) if spin < 0]
    print(f"best: {' '.join(chosen)} (energy {energies(ising, best[None])[0]:.6g})")
    faster = recommend(ising, budget_s=1.0)
    print(f"\nfor the answer alone, recommend(ising, budget_s=1.0) is {faster.kind!r}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
