"""How near to the best is a fleet's plan, how fast, and how much cheaper than plans made as platform teams make them?

Three tables: gap and seconds on the goal's two sizes; the cost of the greedy planner over ours on seeded instances of a
middle size, both keeping the same limits; and the cheapest fleet in any single cloud, whose quotas are raised as many
times as there are clouds, since with its own none could serve. Prices, quotas and demand are made up
(:mod:`tests.benchmarks.fleet.instances`), so the ratios say how the methods compare on such instances, not what anybody
would save. Plans of the goal's sizes are made whole, with their waves, and judged by the independent validator.

Run: ``python -m tests.benchmarks.fleet.placement [--instances 10] [--no-large] [--output runs/bench-fleet]``.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from data.schemas.fleet import Fleet, FleetLimits
from data.schemas.plan import Bound, SolverRow
from tasks.fleet.elastic import NoFleet
from tasks.fleet.feasible import broken_limits
from tasks.fleet.model import FleetModel, fleet_model
from tasks.fleet.plan import Account, assemble_fleet_plan
from tasks.fleet.programme import Placed, place_fleet
from tasks.fleet.waves import rollout
from tasks.validation.fleet import verify_fleet_plan
from tasks.yardsticks.fleet import greedy_fleet, single_clouds
from tests.benchmarks.fleet.instances import instance

FIRST_SEED = 1_000
"""Seeds from here on; those below were used while the planner was written."""

SIZES = {
    "goal": {"regions": 164, "skus": 10, "zones": 60, "nodes": 847_000},
    "large": {"regions": 1_000, "skus": 30, "zones": 500, "nodes": 847_000},
    "middle": {"regions": 60, "skus": 6, "zones": 24, "nodes": 20_000},
}
VARIANTS = {
    "one region lost": FleetLimits(latency_ms=90.0),
    "and half without a cloud, outages": FleetLimits(latency_ms=90.0, lost_cloud_share=0.6, availability=0.9995),
}
"""Limits of the middle size; the goal's sizes have the first."""


@dataclass(frozen=True, slots=True)
class Solved:
    """What came out on one instance."""

    size: str
    limits: str
    seed: int
    offers: int
    nodes: int
    cost_usd_per_h: float
    bound_usd_per_h: float
    gap: float
    seconds: float
    rounding_share: float
    greedy_over_ours: float | None = None
    single_cloud_over_ours: float | None = None
    waves: int | None = None
    checks: int | None = None
    waves_seconds: float | None = None
    verify_seconds: float | None = None


def judged(fleet: Fleet, model: FleetModel, placed: Placed) -> dict[str, float]:
    """Return how many waves the whole plan has and how many checks of the validator it passes, with the seconds.

    Raises:
        ValueError: the validator refuses the plan.
    """
    start = time.monotonic()
    order = rollout(model, placed.nodes, placed.flows)
    planned = time.monotonic()
    held = model.cost_usd_per_h(model.held)
    rows = (
        SolverRow("fleet", "incumbent", held, 0, 0, 0, chosen=False),
        SolverRow("fleet", "programme (HiGHS)", placed.cost_usd_per_h, 0, 0, 0, chosen=True),
    )
    bound = Bound("fleet", placed.bound_usd_per_h, placed.gap, "relaxed programme")
    plan = assemble_fleet_plan(
        model,
        placed.nodes,
        flows=placed.flows,
        waves=order.waves,
        account=Account(solvers=rows, bounds=(bound,), binding=placed.binds, notes=(*placed.notes, *order.notes)),
        code_version="bench",
        options="{}",
        seed=0,
    )
    assembled = time.monotonic()
    verdict = verify_fleet_plan(plan, fleet)
    if not verdict.passed:
        wrong = next(check for check in verdict.checks if not check.passed)
        raise ValueError(f"the validator refuses the plan: {wrong.name}: {wrong.detail}")
    return {
        "waves": len(order.waves),
        "checks": len(verdict.checks),
        "waves_seconds": planned - start,
        "verify_seconds": time.monotonic() - assembled,
    }


def solved(size: str, limits: str, seed: int, *, gap: float, seconds: float) -> tuple[FleetModel, Solved]:
    """Solve one instance, and refuse a plan that breaks a limit."""
    fleet = instance(np.random.default_rng(seed), limits=VARIANTS[limits], outages=40, **SIZES[size])
    model = fleet_model(fleet)
    placed = place_fleet(model, gap=gap, seconds=seconds)
    if broken := broken_limits(model, placed.nodes):
        raise ValueError(f"{size}, seed {seed}: the plan breaks {broken[0]}")
    row = Solved(
        size=size,
        limits=limits,
        seed=seed,
        offers=len(fleet.offers),
        nodes=int(placed.nodes.sum()),
        cost_usd_per_h=placed.cost_usd_per_h,
        bound_usd_per_h=placed.bound_usd_per_h,
        gap=placed.gap,
        seconds=placed.seconds,
        rounding_share=placed.rounding_usd_per_h / placed.cost_usd_per_h,
    )
    if size != "middle":
        row = replace(row, **judged(fleet, model, placed))  # type: ignore[arg-type]  # numbers of these fields
    return model, row


def compared(limits: str, *, instances: int, gap: float) -> list[Solved]:
    """Return instances of the middle size beside yardsticks; a seed without any plan is skipped and said."""
    rows: list[Solved] = []
    seed = FIRST_SEED
    while len(rows) < instances:
        try:
            model, row = solved("middle", limits, seed, gap=gap, seconds=60.0)
        except NoFleet as error:
            print(f"seed {seed} has no plan: {error.shortages[0].detail}", flush=True)
            seed += 1
            continue
        seed += 1
        greedy = greedy_fleet(model)
        single = single_clouds(model, quota_times=len(model.clouds))
        alone = [each.placed.cost_usd_per_h for each in single if each.placed]
        told = asdict(row)
        told["greedy_over_ours"] = None if greedy is None else model.cost_usd_per_h(greedy) / row.cost_usd_per_h
        told["single_cloud_over_ours"] = min(alone) / row.cost_usd_per_h if alone else None
        rows.append(Solved(**told))
    return rows


def table(rows: Sequence[Solved]) -> str:
    """Return the rows as text."""
    lines = [
        f"{'size':8}{'limits':36}{'seed':>6}{'offers':>8}{'nodes':>10}{'USD/h':>14}{'gap, %':>9}{'seconds':>9}"
        f"{'greedy/ours':>13}{'one cloud/ours':>16}{'waves':>7}{'checks':>8}{'seconds of both':>17}"
    ]
    for row in rows:
        greedy = "" if row.greedy_over_ours is None else f"{row.greedy_over_ours:.4f}"
        alone = "" if row.single_cloud_over_ours is None else f"{row.single_cloud_over_ours:.4f}"
        waves, checks, spent = ("", "", "") if row.waves is None else (
            f"{row.waves}", f"{row.checks}", f"{row.waves_seconds:.1f}, {row.verify_seconds:.1f}"
        )  # fmt: skip
        lines.append(
            f"{row.size:8}{row.limits:36}{row.seed:6d}{row.offers:8d}{row.nodes:10d}{row.cost_usd_per_h:14,.0f}"
            f"{100 * row.gap:9.4f}{row.seconds:9.2f}{greedy:>13}{alone:>16}{waves:>7}{checks:>8}{spent:>17}"
        )
    return "\n".join(lines)


def summary(rows: Sequence[Solved]) -> str:
    """Return the means over instances of the middle size."""
    lines = []
    for name, told in (("greedy_over_ours", "greedy planner"), ("single_cloud_over_ours", "best single cloud")):
        for limits in VARIANTS:
            mine = [getattr(row, name) for row in rows if row.size == "middle" and row.limits == limits]
            values = [value for value in mine if value is not None]
            if mine:
                mean = f"{100 * (float(np.mean(values)) - 1):+.2f} %" if values else "-"
                spread = f"{100 * (min(values) - 1):+.2f} to {100 * (max(values) - 1):+.2f} %" if values else "-"
                answered = f"{len(values)} of {len(mine)} instances answered"
                lines.append(f"{told}, {limits}: cost {mean} over ours ({spread}); {answered}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables, and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=10, help="of the middle size, for each set of limits")
    parser.add_argument("--goals", type=int, default=3, help="instances of the goal's size")
    parser.add_argument(
        "--large", action=argparse.BooleanOptionalAction, default=True, help="1,000 regions x 30 SKUs x 500 zones too"
    )
    parser.add_argument("--gap", type=float, default=1e-3)
    parser.add_argument("--output", type=Path, default=Path("runs/bench-fleet"))
    options = parser.parse_args(argv)
    plain = next(iter(VARIANTS))
    rows = [
        solved("goal", plain, FIRST_SEED + number, gap=options.gap, seconds=60.0)[1] for number in range(options.goals)
    ]
    if options.large:
        rows.append(solved("large", plain, FIRST_SEED, gap=options.gap, seconds=600.0)[1])
    for limits in VARIANTS:
        rows.extend(compared(limits, instances=options.instances, gap=options.gap))
    print(table(rows), flush=True)
    print(summary(rows), flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "placement.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
