"""Does the learned planner know better than a clock when to re-optimise? On days that it has not seen.

Days 1 to 5.7 of the Philly trace taught it and chose the best clock and the best pay-back rule for each price of a
restart; it is measured on the days after. Every episode is another draw of 95 % of the jobs, size of cluster and start.
The simulated cluster and its surrogate of achieved bandwidth are described in ``tasks/planner/world.py``; a further
table counts the bandwidth of the same runs by flow-level rates on a fabric, which nobody was taught or tuned on. On a
small cluster CP-SAT re-plans at each tick. The planner may be the default only if it beats the clock.

Run: ``python -m tests.benchmarks.bench_planner [--episodes 8] [--weights FILE] [--output runs/bench-planner]``.
"""

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from data.readers.traces.philly import read_arrivals
from tasks.planner.episode import Episode, Planner, episode, play, thinned
from tasks.planner.policy import SHIPPED, load_policy
from tasks.planner.rules import EVERY, PAY_BACKS, Every, best_of
from tasks.planner.train import DAY_S, DOMAINS, RESTARTS_H, TRAINING_DAYS, stretches
from tasks.planner.world import Jobs
from tasks.yardsticks.gangs import RollingCpSat, play_cp_sat
from tests.benchmarks.columns import Interval, interval
from tests.benchmarks.planner.bandwidth import Watched, built

ROOT = Path(__file__).resolve().parents[2]
CLOCK, LEARNED = "every k minutes, best k and budget", "learned"
SMALL_DOMAINS, SMALL_SHARE = 8, 0.13
"""Domains of the cluster on which CP-SAT plans, and the share of the trace's jobs that fill it."""

HOURS = (0.5, 1.0, 2.0, 4.0)

MIDDLE_H = 1.0
"""Price of a restart at which bandwidth is counted by flow-level rates."""


def main() -> None:
    """Print the table for each price, and the small cluster with CP-SAT."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=8, help="held-out ones for each price and size")
    parser.add_argument("--weights", type=Path, default=SHIPPED)
    parser.add_argument("--output", type=Path, default=Path("runs/bench-planner"))
    options = parser.parse_args()
    folder = Path(os.environ.get("QUANTUMFLOW_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        sys.exit(f"no real data: {folder} is missing (set QUANTUMFLOW_DATA)")
    jobs = Jobs(*read_arrivals(folder / "philly_sia" / "philly_sorted_rows20000_40000.csv"))
    learned = load_policy(options.weights)
    seen = stretches(jobs, np.arange(1.0, TRAINING_DAYS - 0.5, 1.0).tolist(), 0.7 * DAY_S, 0)
    told: dict[str, object] = {}
    for price in RESTARTS_H:
        training = [given for given in seen if given.restart_h == price]
        planners: dict[str, Planner] = {
            "never": Every(0),
            "always, largest budget": Every(1),
            CLOCK: best_of(EVERY, training),
            "pays back, best hours": best_of(PAY_BACKS, training),
            LEARNED: learned,
        }
        episodes = held_out(jobs, options.episodes, DOMAINS, price, 0.95)
        told[f"restart {price:g} h"] = compared(planners, episodes, price)
        if price == MIDDLE_H:
            told["flow level"] = on_fabric(planners, episodes, price)
    told["small cluster"] = small(jobs, learned, options.episodes)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "planner.json").write_text(json.dumps(told, indent=1) + "\n")
    plot(told, options.output / "planner.png")


def held_out(jobs: Jobs, count: int, sizes: tuple[int, ...], price: float, share: float) -> list[Episode]:
    """Return episodes of a day and a half that begin after the training days, at different times."""
    rng = np.random.default_rng(77)
    made = []
    for number in range(count):
        for domains in sizes:
            begin = float(jobs.arrival_s[0]) + (TRAINING_DAYS + 0.5 + 3.2 * number / max(1, count - 1)) * DAY_S
            kept = thinned(jobs, share, rng)
            tidy = 6 * (number % 2)
            made.append(episode(kept, domains, begin, begin + 1.5 * DAY_S, restart_h=price, tidy_every=tidy))
    return made


def compared(planners: dict[str, Planner], episodes: list[Episode], price: float) -> dict[str, object]:
    """Print what each planner reaches over never, and the learned one over the clock; return it for JSON."""
    totals: dict[str, list[float]] = defaultdict(list)
    lost: dict[str, list[float]] = defaultdict(list)
    spent: dict[str, float] = defaultdict(float)
    for given in episodes:
        for name, planner in planners.items():
            started = time.perf_counter()
            outcome = play(given, planner)
            spent[name] += time.perf_counter() - started
            totals[name].append(outcome.total)
            lost[name].append(outcome.lost_h)
    ticks = sum(int((given.end_s - given.begin_s) // 600) for given in episodes)
    print(
        f"\nrestart costs {price:g} h of each GPU: {len(episodes)} held-out episodes; means, 95 % bootstrap intervals"
    )
    print(f"{'planner':36}{'reward, GPU-h':>15}{'over never, %':>30}{'lost, GPU-h':>13}{'ms per tick':>13}  options")
    rows: dict[str, object] = {}
    for name, planner in planners.items():
        over = gain(totals[name], totals["never"])
        options = "" if name == LEARNED else str(planner)
        print(
            f"{name:36}{np.mean(totals[name]):15.1f}{over!s:>30}{np.mean(lost[name]):13.1f}"
            f"{1e3 * spent[name] / ticks:13.2f}  {options}"
        )
        rows[name] = {"reward": totals[name], "lost_h": lost[name], "options": options}
    rows["learned over clock, %"] = verdict(totals)
    return rows


def verdict(totals: dict[str, list[float]]) -> dict[str, object]:
    """Print and return whether the learned planner beats the clock, by the interval of the paired differences."""
    over = gain(totals[LEARNED], totals[CLOCK])
    better = sum(one > other for one, other in zip(totals[LEARNED], totals[CLOCK], strict=True))
    says = "beats" if over.low > 0 else "loses to" if over.high < 0 else "cannot be told from"
    print(f"The learned planner {says} the best clock: {over} %, better on {better} of {len(totals[CLOCK])} episodes.")
    return {"mean": over.mean, "low": over.low, "high": over.high, "better": better, "says": says}


def gain(one: list[float], other: list[float]) -> Interval:
    """Return by how much the rewards of one exceed those of the other, in percent."""
    return interval([100.0 * (a / b - 1.0) for a, b in zip(one, other, strict=True)])


def on_fabric(planners: dict[str, Planner], episodes: list[Episode], price: float) -> dict[str, object]:
    """Print and return the GPUs at full NVLink speed that gangs are worth by flow-level rates, less what moves cost."""
    net: dict[str, dict[str, list[float]]] = {"ring": defaultdict(list), "all-to-all": defaultdict(list)}
    fabrics = {domains: built(domains) for domains in sorted({given.start.free.size for given in episodes})}
    for given in episodes:
        hours = (given.end_s - given.begin_s) / 3600.0
        for name, planner in planners.items():
            watched = Watched(planner, fabrics[given.start.free.size])
            lost = play(given, watched).lost_h / hours
            for traffic, values in watched.got.items():
                net[traffic][name].append(float(np.mean(values)) - lost)
    told: dict[str, object] = {}
    for kind, totals in net.items():
        print(f"\nflow-level rates, {kind}, restart {price:g} h: GPUs at full NVLink speed, lost GPU-hours taken off")
        for name, values in totals.items():
            print(f"{name:36}{np.mean(values):15.1f}{gain(values, totals['never'])!s:>30} % over never")
        told[kind] = {**totals, "learned over clock, %": verdict(totals)}
    return told


def small(jobs: Jobs, learned: Planner, count: int) -> dict[str, object]:
    """Print the small cluster, with CP-SAT; its hours and the clock are chosen on training days."""
    price = 1.0
    begins = [float(jobs.arrival_s[0]) + day * DAY_S for day in (1.5, 3.0, 4.5)]
    rng = np.random.default_rng(5)
    training = [
        episode(thinned(jobs, SMALL_SHARE, rng), SMALL_DOMAINS, begin, begin + DAY_S, restart_h=price)
        for begin in begins
    ]
    hours = max(HOURS, key=lambda h: sum(play_cp_sat(given, RollingCpSat(h)) for given in training))
    clock = best_of(EVERY, training)
    totals: dict[str, list[float]] = defaultdict(list)
    for given in held_out(jobs, count, (SMALL_DOMAINS,), price, SMALL_SHARE):
        for name, planner in {"never": Every(0), CLOCK: clock, LEARNED: learned}.items():
            totals[name].append(play(given, planner).total)
        totals["rolling CP-SAT"].append(play_cp_sat(given, RollingCpSat(hours)))
    print(f"\nsmall cluster of {8 * SMALL_DOMAINS} GPUs, restart {price:g} h, CP-SAT looks {hours:g} h ahead")
    for name, values in totals.items():
        print(f"{name:36}{np.mean(values):15.1f} GPU-h{gain(values, totals['never'])!s:>30} % over never")
    return {**totals, "learned over clock, %": verdict(totals)}


def plot(told: dict[str, object], path: Path) -> None:
    """Draw the learned planner over the clock at each price."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
    shown = {name: rows for name, rows in told.items() if name != "flow level"}
    shown |= {f"flow level, {name}": rows for name, rows in told["flow level"].items()}  # type: ignore[attr-defined]
    for place, (name, rows) in enumerate(shown.items()):
        found = rows["learned over clock, %"]  # type: ignore[index]
        spread = [[found["mean"] - found["low"]], [found["high"] - found["mean"]]]
        axes.errorbar([found["mean"]], [place], xerr=spread, fmt="o", color="C0", capsize=4)
        axes.text(found["high"], place + 0.1, f"  {name}")
    axes.axvline(0.0, color="0.6")
    axes.set_yticks([])
    axes.set_xlabel("reward of the learned planner over the best clock, %, held-out days")
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
