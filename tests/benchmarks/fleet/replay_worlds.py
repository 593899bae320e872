"""Which worlds are replayed? Forty-five days of spot recordings in three regions, and users of North America.

Machines are single V100s, priced as an eighth of AWS's p3dn.24xlarge in SkyPilot's catalogue; us-east-2, which has no
such row, takes the dearer of the two others. Where the recordings are missing, generated ones stand in, and tables say
so. Nobody publishes who asks for how much from where, so demand is generated for eight metropolises by their people.
"""

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.generators.demand import generate_demand
from data.generators.fleet import CITIES
from data.generators.spot import generate_spot_traces
from data.readers.fleet.requests import read_alibaba_requests
from data.readers.fleet.spot_traces import SpotTrace, read_spot_traces
from tasks.fleet_replay.demand import Needed, needed_ahead, recorded_swings, with_swings
from tasks.fleet_replay.forecast import Forecaster, LastValue, Seasonal, SeasonalNaive
from tasks.fleet_replay.forecast_lstm import Lstm
from tasks.fleet_replay.world import World, rtt_by_distance, sites_of, there_of

Floats = npt.NDArray[np.float64]

DATA = Path(os.environ.get("QUANTUMFLOW_DATA") or Path(__file__).parents[4] / "shared" / "data")
RECORDED = "aws-02-15-2023"
WHERE = {"us-east-1": (38.95, -77.45), "us-east-2": (40.0, -83.0), "us-west-2": (45.84, -119.7)}
USERS = (
    "mexico-city",
    "new-york",
    "los-angeles",
    "chicago",
    "dallas",
    "toronto",
    "washington",
    "montreal",
)
MEAN_MACHINES = 60.0
DAYS_BEFORE = 28
FORECASTERS: tuple[Forecaster, ...] = (Lstm(), Seasonal(), SeasonalNaive(), LastValue())


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """A world, and where it comes from."""

    world: World
    needed: Needed
    traces: tuple[SpotTrace, ...]
    told: str


def traces_at_hand(days: int | None) -> tuple[tuple[SpotTrace, ...], str]:
    """Return the recordings, or generated ones like them, and a word on which they are."""
    path = DATA / "spot_traces" / "spot_traces_rle.csv"
    if path.is_file():
        traces = tuple(trace for trace in read_spot_traces(path)[0] if trace.recorded == RECORDED)
        return traces, f"{len(traces)} zones as recorded from 15 February 2023 on"
    regions = {"us-east-1": (0.17, 0.47, 0.45, 0.59), "us-east-2": (0.76, 0.68), "us-west-2": (0.88, 0.9, 0.89)}
    ticks = int((days or 45) * 86_400 / 195)
    traces = generate_spot_traces(np.random.default_rng(0), regions=regions, ticks=ticks)
    return traces, f"GENERATED zones, since {path} is missing"


def prices() -> dict[str, tuple[float, float]]:
    """Return USD per hour of one V100, on demand and spot, by region; what the catalogue says where it is at hand."""
    path = DATA / "skypilot_catalog" / "aws_gpu_region_prices_v8.csv"
    found = {"us-east-1": (3.9015, 0.7821), "us-west-2": (3.9015, 0.8997)}
    if path.is_file():
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                if row["accelerator"] == "V100-32GB" and row["region"] in WHERE:
                    found[row["region"]] = (float(row["ondemand_usd_h"]) / 8.0, float(row["min_spot_usd_h"]) / 8.0)
    found.setdefault("us-east-2", max(found.values(), key=lambda price: price[1]))
    return found


def setting(seed: int, *, days: int | None = None, swings: bool = False) -> Setting:
    """Return a world of all days, or the first ``days`` of them.

    Args:
        seed: of demand and of whatever learns.
        days: None takes all.
        swings: whether demand swings as Alibaba's recording of a generative service does, too.
    """
    traces, told = traces_at_hand(days)
    there = there_of(traces)
    tick_s = traces[0].tick_s
    if days is not None:
        there = there[:, : int(days * 86_400 / tick_s)]
    metros = {name: (latitude, longitude, people) for name, _, latitude, longitude, people in CITIES}
    users = [metros[name] for name in USERS]
    people = np.array([user[2] for user in users])
    before = int(DAYS_BEFORE * 86_400 / tick_s)
    demand_rng, swing_rng, learn_rng = np.random.default_rng(seed).spawn(3)
    demand = generate_demand(
        demand_rng,
        longitude_deg=np.array([user[1] for user in users]),
        mean=MEAN_MACHINES * people / people.sum(),
        ticks=before + there.shape[1],
        tick_s=tick_s,
    )
    if swings:
        recorded = read_alibaba_requests(DATA / "alibaba_genai_v2026" / "qps.first5000.csv")[0]
        demand = with_swings(demand, recorded_swings(recorded.at_s, recorded.amount, tick_s), swing_rng)
    sites = sites_of(traces, WHERE, prices())
    needed = needed_ahead(demand, tick_s, before, FORECASTERS, learn_rng)
    peak = float(demand[:, :before].sum(axis=0).max())
    rtt = rtt_by_distance([(user[0], user[1]) for user in users], sites)
    return Setting(World(sites, there, tick_s, demand[:, before:], rtt, needed.machines, peak), needed, traces, told)
