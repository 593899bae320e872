"""How fast and how good is the quantum engine? Beside Aer, qiskit-optimization, QOKit, annealing and enumeration.

Four parts, all of them unless some are asked for; ``tests/benchmarks/solver`` says how each is measured:

- *speed*: one energy, one-hot groups, windows of 16 moves, and the goals that were set for them;
- *quality*: samples of every solver on seeded families and on windows of real refine runs, with intervals;
- *hard*: a search for models where QAOA loses most to annealing;
- *refine*: solvers of windows in equal seconds from where the classical search stopped.

Figures are of one thread, and the folder gets them as JSON and plots. A full run takes 20 to 25 minutes, a quick one
three; quick leaves out what needs seconds for a call.

Run: ``python -m tests.benchmarks.bench_solver [--speed] [--quality] [--hard] [--refine] [--quick] [--out DIR]``.
"""

import argparse
import dataclasses
import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PARTS = ("speed", "quality", "hard", "refine")


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for part in PARTS:
        parser.add_argument(f"--{part}", action="store_true")
    parser.add_argument("--quick", action="store_true", help="small sizes, few models, no peer that needs seconds")
    parser.add_argument("--out", type=Path, default=Path("runs/bench-solver"), help="folder of the JSON and the plots")
    parser.add_argument(
        "--qokit", type=Path, default=Path.home() / ".cache/quantumflow/qokit", help="QOKit is kept here"
    )
    parser.add_argument("--models", type=int, default=0, help="models per family; 0: 50, or 6 if quick")
    parser.add_argument("--seconds", type=float, nargs="+", default=[], help="budgets of refine; empty: 0.5 and 1.5")
    options = parser.parse_args()
    one_thread()
    sys.stdout.reconfigure(line_buffering=True)  # a long run is read while it goes on
    from flows.environment import prepare

    prepare()
    from tests.benchmarks.solver.machine import machine

    options.out.mkdir(parents=True, exist_ok=True)
    wanted = [part for part in PARTS if getattr(options, part)] or list(PARTS)
    facts = machine()
    print("\n".join(f"{name}: {value}" for name, value in facts.items()))
    result: dict[str, Any] = {"machine": facts, "quick": options.quick}
    parts: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
        "speed": speed,
        "quality": quality,
        "hard": hard,
        "refine": refine,
    }
    for part in wanted:
        began, worked = time.perf_counter(), time.process_time()
        result |= parts[part](options)
        took = {"wall": time.perf_counter() - began, "processor": time.process_time() - worked}
        result.setdefault("seconds", {})[part] = took
        print(f"\n== {part} took {took['wall']:.0f} s, {took['processor']:.0f} s of them on the processor")
        (options.out / "bench-solver.json").write_text(json.dumps(plain(result), indent=1, allow_nan=False) + "\n")
    print(f"\nwritten: {options.out}")


def one_thread() -> None:
    """Hold every library to one thread; each reads this when it is first loaded."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"


def speed(options: argparse.Namespace) -> dict[str, Any]:
    """Print the speed tables and the goals."""
    from tests.benchmarks.solver.goals import energy_goals, one_hot_goals, show_goals, window_goals
    from tests.benchmarks.solver.one_hot_speed import one_hot_rows
    from tests.benchmarks.solver.plots import plot_speed
    from tests.benchmarks.solver.speed import energies
    from tests.benchmarks.solver.window_speed import window_rows

    quick = options.quick
    sizes, rounds = ((10, 14), 3) if quick else ((10, 14, 18, 20), 5)
    cells = energies(options.qokit, sizes, rounds=rounds, patience_s=6.0, slow=not quick)
    groups = one_hot_rows(models=8 if quick else 20, penalties=1 if quick else 5, largest=not quick)
    windows = window_rows(windows=5 if quick else 20, deep=not quick)
    goals = [*energy_goals(cells), *one_hot_goals(groups), *window_goals(windows)]
    show_goals(goals)
    plot_speed(cells, options.out)
    judged = [dataclasses.asdict(goal) | {"met": goal.met} for goal in goals]
    return {"energies": cells, "one_hot": groups, "windows": windows, "goals": judged}


def quality(options: argparse.Namespace) -> dict[str, Any]:
    """Print the quality tables."""
    from tests.benchmarks.solver.contestants import contestants
    from tests.benchmarks.solver.plots import plot_quality
    from tests.benchmarks.solver.quality import quality as measured
    from tests.benchmarks.solver.recorded import problems, windows

    models = options.models or (6 if options.quick else 50)
    cut = windows(list(problems().values()), models, spins=14, evaluations=100_000)
    rows = measured(cut, contestants(slow=not options.quick), models=models)
    plot_quality(rows, options.out)
    return {"quality": rows}


def hard(options: argparse.Namespace) -> dict[str, Any]:
    """Print where QAOA loses most."""
    from tests.benchmarks.solver.hard import hard_models

    starts, steps = (10, 40) if options.quick else (50, 400)
    return {"hard": hard_models(starts=starts, steps=steps)}


def refine(options: argparse.Namespace) -> dict[str, Any]:
    """Print the refine tables."""
    from tests.benchmarks.solver.plots import plot_refinement
    from tests.benchmarks.solver.refining import refinement

    budgets = tuple(sorted(options.seconds)) or ((0.1, 0.3) if options.quick else (0.5, 1.5))
    seeds, evaluations = (1, 100_000) if options.quick else (5, 1_000_000)  # the latter as the standard effort has it
    result = refinement(seeds=seeds, budgets_s=budgets, evaluations=evaluations)
    plot_refinement(result, options.out)
    return {"refine": result}


def plain(value: Any) -> Any:
    """Return the value as JSON has it: dataclasses as objects, what is not a finite number as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    main()
