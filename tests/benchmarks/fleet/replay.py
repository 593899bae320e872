"""What would our policy have come to over 45 recorded days of spot capacity, beside others and the least possible cost?

Policies see the past only. Those that follow demand are given the same forecast, made before each block of 26 minutes,
so what differs is where and how machines are bought. The options of ours were chosen on the first 15 days; the table
is told for all days but the first, and for the last 15 days by themselves, on which no option was chosen. (That zones
keep machines the longer the longer they have had them, which ours relies on, was noticed on all days.)

Limits of what can be measured: recordings say of each zone only whether one machine was to be had, so a zone has room
for all or for none; machines on demand are always to be had; all zones are one cloud's; demand is generated.

Run: ``python -m tests.benchmarks.fleet.replay [--days 45] [--seed 1] [--output runs/bench-fleet]``.
"""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

from tasks.fleet_replay.bound import Bound, bound
from tasks.fleet_replay.hedge import Hedge
from tasks.fleet_replay.outages import (
    held_out_shares,
    outages_from_traces,
    share_up,
    share_up_if_independent,
)
from tasks.fleet_replay.outcome import Outcome, judge
from tasks.fleet_replay.policies import GreedyFailover, OneRegion, SpreadFailover, StaticRegions
from tasks.fleet_replay.replay import Policy, replay
from tasks.fleet_replay.world import World, there_of
from tests.benchmarks.fleet.replay_worlds import Setting, setting, traces_at_hand
from tests.benchmarks.solver.printing import brief, show

SEED = 1
DAY_TICKS = 443
LAST_DAYS = 15
OURS, ONE_REGION, ONE_REGION_STATIC = "ours", "one region, on demand, follows", "one region, on demand, static"

POLICIES: dict[str, Policy] = {
    OURS: Hedge(),
    "ours, frugal: a chance in 50": Hedge(unserved=50.0),
    "static N-1, on demand": StaticRegions(),
    "static N-1, spot": StaticRegions("spot"),
    ONE_REGION_STATIC: OneRegion(),
    ONE_REGION: OneRegion(follows=True),
    "one region, follows, a zone lost": OneRegion(follows=True, lost_zones=1),
    "greedy failover (SkyPilot-like)": GreedyFailover(),
    "spread + 20 % (SkyServe-like)": SpreadFailover(),
    "spread + 100 % (SkyServe-like)": SpreadFailover(more=1.0),
}

CLAIMS = (
    ("cheaper than a single cloud", "23 %"),
    ("availability", "99.99 %"),
    ("utilisation", "91.7 %"),
    ("latency, P95", "89 ms"),
    ("predictive scaling accuracy", "94.2 %"),
    ("self-healing", "98.7 %"),
)
"""What the document that the project began with says of a deployment that nobody can look at."""


def main(argv: list[str] | None = None) -> None:
    """Print the tables, and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=None, help="of the recordings, from the first; all by default")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--quick", action="store_true", help="leave out demand that swings as recorded")
    parser.add_argument("--output", type=Path, default=Path("runs/bench-fleet"))
    options = parser.parse_args(argv)
    made = setting(options.seed, days=options.days)
    print(f"{made.told}; {made.world.ticks * made.world.tick_s / 86_400.0:.1f} days, seed {options.seed}")
    told: dict[str, object] = {"told": made.told, "seed": options.seed, "outages": outage_table()}
    told["forecast"] = forecast_table("demand as generated", made)
    outcomes, least = replays(made.world)
    told["replay"] = replay_table("all days but the first", outcomes[0], least[0])
    told["replay_last_days"] = replay_table(f"the last {LAST_DAYS} days only", outcomes[1], least[1])
    told["claims"] = claims_table(made, outcomes[0])
    if not options.quick:
        swinging = setting(options.seed, days=options.days, swings=True)
        told["forecast_swinging"] = forecast_table("demand that also swings as recorded by Alibaba", swinging)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "replay.json").write_text(json.dumps(told, indent=1) + "\n")
    plot(outcomes[0], least[0], options.output / "replay.png")


def replays(world: World) -> tuple[tuple[dict[str, Outcome], dict[str, Outcome]], tuple[Bound, Bound]]:
    """Return what each policy came to after the first day and in the last days, and the bounds of both."""
    first = min(DAY_TICKS, world.ticks // 2)
    last = max(first, world.ticks - LAST_DAYS * DAY_TICKS)
    whole: dict[str, Outcome] = {}
    late: dict[str, Outcome] = {}
    for name, policy in POLICIES.items():
        happened = replay(world, policy)
        whole[name] = replace(judge(world, happened, first), kind=name)
        late[name] = replace(judge(world, happened, last), kind=name)
        one = whole[name]
        print(f"  {name}: {one.ticks_served:.5f} of ticks, {one.usd_per_h:.2f} USD/h", flush=True)
    return (whole, late), (bound(world, first), bound(world, last))


def replay_table(when: str, outcomes: dict[str, Outcome], least: Bound) -> dict[str, object]:
    """Print and return what policies came to."""
    head = (
        "policy", "ticks served %", "demand served %", "USD/h", "x bound", "moves/day", "losses", "healed %",
        "shortages", "recovery s: median", "P95", "use %", "of paid %", "P95 ms", "on demand %",
    )  # fmt: skip
    rows = [
        (
            name,
            f"{100 * one.ticks_served:.3f}",
            f"{100 * one.demand_served:.3f}",
            f"{one.usd_per_h:.2f}",
            f"{one.usd_per_h / least.usd_per_h:.2f}",
            brief(one.moves),
            str(one.losses),
            f"{100 * one.healed:.2f}",
            str(one.shortages),
            brief(one.recovery_median_s),
            brief(one.recovery_p95_s),
            f"{100 * one.utilisation:.1f}",
            f"{100 * one.paid_utilisation:.1f}",
            brief(one.latency_p95_ms),
            f"{100 * one.on_demand_share:.1f}",
        )
        for name, one in outcomes.items()
    ]
    show(f"replay, {when}", head, rows)
    print(
        f"who knows the recording and serves everything pays {least.usd_per_h:.2f} USD/h or more (linear programmes of "
        f"{least.windows} days; {least.free_start_usd_per_h:.2f} if machines started for nothing)"
    )
    return {"bound": asdict(least), "policies": {name: asdict(one) for name, one in outcomes.items()}}


def forecast_table(what: str, made: Setting) -> list[dict[str, object]]:
    """Print and return how wrong forecasts of the sum of all users were, a block ahead."""
    scores = made.needed.forecast.scores
    rows = [
        (
            score.kind,
            f"{100 * score.held_out:.2f}",
            f"{100 * score.afterwards:.2f}",
            f"{100 * score.covered:.2f}",
            f"{100 * score.above:.1f}",
        )
        for score in scores
    ]
    head = ("method", "error held out %", "error in the replay %", "covered %", "upper above demand by %")
    show(f"forecast of the next block's peak, {what}", head, rows)
    print(f"{made.needed.forecast.kind} did best on the held-out blocks and answers")
    return [asdict(score) for score in scores]


def claims_table(made: Setting, outcomes: dict[str, Outcome]) -> list[dict[str, str]]:
    """Print and return what the seed document claims beside what the replay measured."""
    ours = outcomes[OURS]
    by_kind = {score.kind: score for score in made.needed.forecast.scores}
    accuracy = 1.0 - by_kind[made.needed.forecast.kind].afterwards
    cheaper = 1.0 - ours.usd_per_h / outcomes[ONE_REGION].usd_per_h
    than_static = 1.0 - ours.usd_per_h / outcomes[ONE_REGION_STATIC].usd_per_h
    measured = (
        f"{100 * cheaper:.1f} % than one region on demand that follows the same forecast, "
        f"{100 * than_static:.1f} % than one sized once (one cloud's zones only)",
        f"{100 * ours.ticks_served:.3f} % of ticks, {100 * ours.demand_served:.3f} % of demand",
        f"{100 * ours.utilisation:.1f} % of machines in service, {100 * ours.paid_utilisation:.1f} % of those paid for",
        f"{ours.latency_p95_ms:.0f} ms round trip by distance, North America only, no queues",
        f"{100 * accuracy:.1f} % (100 less the error of the next 26 minutes' peak), of generated demand",
        f"{100 * ours.healed:.2f} % of {ours.losses} losses with all served ten minutes later",
    )
    rows = [(name, claim, found) for (name, claim), found in zip(CLAIMS, measured, strict=True)]
    show("what was claimed, and what the replay measured", ("claim", "claimed", "measured"), rows)
    return [{"claim": name, "claimed": claim, "measured": found} for name, claim, found in rows]


def outage_table() -> dict[str, object]:
    """Print and return how far independence is from what was recorded, and whether the past tells the days to come."""
    traces, told = traces_at_hand(None)
    there = there_of(traces)
    west = there[[number for number, trace in enumerate(traces) if trace.region == "us-west-2"]]
    rows = [
        (f"us-west-2, {least} of 3 up", f"{share_up(west, least):.5f}", f"{share_up_if_independent(west, least):.5f}")
        for least in (1, 2)
    ]
    rows.append(("any of nine up", f"{share_up(there):.5f}", f"{share_up_if_independent(there):.5f}"))
    show(f"share of time, {told}", ("zones", "measured", "if independent"), rows)
    learned = int(there.shape[1] * 30 / 45.5)
    ahead = {size: held_out_shares(there, learned, size) for size in (2, 3, 4)}
    show(
        f"share of time with any of some zones up, told from 30 days for the next 15 "
        f"({len(outages_from_traces(traces))} patterns)",
        ("zones", "error as seen", "error independent", "too much %: as seen", "independent", "factor", "independent"),
        [
            (
                str(size),
                f"{one.seen:.4f}",
                f"{one.independent:.4f}",
                f"{100 * one.seen_too_much:.0f}",
                f"{100 * one.independent_too_much:.0f}",
                f"{one.factor:.4f}",
                f"{one.known_independent:.4f}",
            )
            for size, one in ahead.items()
        ],
    )
    print("last two columns: errors where the shares of single zones are known, and only how they fail together is not")
    return {"measured": rows, "ahead": {str(size): asdict(one) for size, one in ahead.items()}}


def plot(outcomes: dict[str, Outcome], least: Bound, path: Path) -> None:
    """Draw cost against the demand that was not served."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(9, 5.5), layout="constrained")
    for name, one in outcomes.items():
        missed = max(1e-6, 1.0 - one.demand_served)
        axis.plot(one.usd_per_h, missed, "o" if name.startswith("ours") else "x", label=name)
        axis.annotate(name, (one.usd_per_h, missed), fontsize=7, xytext=(4, 4), textcoords="offset points")
    axis.axvline(least.usd_per_h, linestyle=":", color="grey")
    axis.set(xlabel="USD per hour (dotted: least that serving everything costs)", ylabel="share of demand not served")
    axis.set_xlim(0.0, 1.3 * max(one.usd_per_h for one in outcomes.values()))
    axis.set_yscale("log")
    axis.set_title("Spot recordings replayed; what served everything stands at one in a million")
    axis.grid(visible=True, alpha=0.2)
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
