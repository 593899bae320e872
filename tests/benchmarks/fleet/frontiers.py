"""How good are frontiers: of regions by price and carbon, of served models by latency and throughput, of a budget?

Each beside its exact one: points, hypervolume, and the ratio to the exact frontier's.
"""

import csv
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.optimize import LinearConstraint

from tasks.pareto import Frontier, of_points, of_programme, of_subsets, of_sums
from tasks.pareto_evolved import evolved, levels_of, subsets_of
from tasks.problems.budget_dimensions import Floats
from tests.benchmarks.fleet.budget_instances import lawful
from tests.benchmarks.fleet.budget_tables import Told, timed

REGIONS = (3.3, 700.0)
"""Reference of price, USD an hour, and carbon, g CO2eq per kWh."""


def frontier_table(seed: int) -> Told:
    """Return points, hypervolume, ratio to the exact frontier and seconds of each way to a frontier."""
    rows: list[dict[str, object]] = []

    def add(of: str, reference: tuple[float, float], makers: dict[str, Callable[[], Frontier]]) -> None:
        whole: Frontier | None = None
        for name, make in makers.items():
            found, spent = timed(make)
            whole = found if whole is None else whole
            rows.append(
                {
                    "of": of,
                    "method": name,
                    "points": len(found.values),
                    "hypervolume": found.hypervolume(reference),
                    "ratio": found.ratio(whole, reference),
                    "seconds": spent,
                }
            )

    values = regions()
    served = configurations()
    if served is not None:
        worst = (float(served[:, 0].max()), 0.0)
        name = "served configurations, ITL and -token/s/GPU"
        add(name, worst, {f"{len(served)} configurations listed": lambda: of_points(served)})
    if values is None:
        print("no frontier of regions: no real data (set QUANTUMFLOW_DATA)")
    else:
        four = LinearConstraint(np.ones((1, len(values))), 4.0, 4.0)
        add(
            "4 of 39 regions, price and carbon",
            REGIONS,
            {
                "82,251 subsets listed": lambda: of_subsets(values, 4),
                "epsilon-constraint, HiGHS": lambda: of_programme(values.T / 4.0, [four], np.ones(len(values))),
                "NSGA-II, 100 x 200": lambda: evolved(
                    lambda keys: values[subsets_of(keys, 4)].mean(axis=1), len(values), np.random.default_rng(seed)
                ),
                "NSGA-II, 50 x 40": lambda: evolved(
                    lambda keys: values[subsets_of(keys, 4)].mean(axis=1),
                    len(values),
                    np.random.default_rng(seed),
                    population=50,
                    generations=40,
                ),
            },
        )
    problem = lawful(np.random.default_rng([seed, 3]), 4)
    groups = [np.column_stack([each.spend, -np.log(each.performance)]) for each in problem.levels]

    def summed(keys: Floats) -> Floats:
        level_of = levels_of(keys, problem.counts)
        return np.asarray(sum(group[level_of[:, k]] for k, group in enumerate(groups)))

    reference = (float(sum(group[:, 0].max() for group in groups)), 1.0)
    add(
        "10 x 4 levels, spend and -log performance",
        reference,
        {
            "sums of what nothing dominates": lambda: of_sums(groups),
            "4**10 choices listed": lambda: of_points(summed_all(groups)),
            "NSGA-II, 100 x 200": lambda: evolved(summed, len(groups), np.random.default_rng(seed)),
        },
    )
    lines = [f"\n{'frontier':44}{'method':32}{'points':>7}{'hypervolume':>14}{'ratio to exact':>16}{'seconds':>9}"]
    lines += [
        f"{row['of']:44}{row['method']:32}{row['points']:7}{row['hypervolume']:14.4f}{row['ratio']:16.6f}"
        f"{row['seconds']:9.3f}"
        for row in rows
    ]
    return "\n".join(lines), rows


def regions() -> Floats | None:
    """Return price and carbon of the regions of Google Cloud, ``(39, 2)``; None where the data are missing."""
    folder = data_folder()
    prices = folder / "skypilot_catalog" / "gcp_t2d_standard_48_region_prices_v8.csv"
    carbon = folder / "gcp_carbon" / "2024.csv"
    if not (prices.is_file() and carbon.is_file()):
        return None
    with prices.open(encoding="utf-8") as file:
        price = {row["region"]: float(row["ondemand_usd_h"]) for row in csv.DictReader(file)}
    with carbon.open(encoding="utf-8") as file:
        grams = {row[0]: float(row[3]) for row in list(csv.reader(file))[1:] if row[3]}
    return np.array([[price[name], grams[name]] for name in sorted(set(price) & set(grams))])


def configurations() -> Floats | None:
    """Return median inter-token latency, ms, and minus tokens/s of a GPU, of configurations that served GPQA.

    Of all models in the ML.ENERGY benchmark: the frontier is the fastest and the thriftiest, whatever the model.
    """
    path = data_folder() / "mlenergy_v3" / "configurations.csv"
    if not path.is_file():
        return None
    with path.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["task"] == "gpqa" and row["median_itl_ms"]]
    return np.array(
        [
            [float(row["median_itl_ms"]), -float(row["output_throughput_tokens_per_sec"]) / float(row["num_gpus"])]
            for row in rows
        ]
    )


def data_folder() -> Path:
    """Return where the real data are."""
    return Path(os.environ.get("QUANTUMFLOW_DATA", "../shared/data"))


def summed_all(groups: list[Floats]) -> Floats:
    """Return the objectives of every choice, ``(choices, 2)``."""
    values = np.zeros((1, 2))
    for group in groups:
        values = (values[:, None, :] + group).reshape(-1, 2)
    return values
