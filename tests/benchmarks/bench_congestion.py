"""Who tells best which links of a network never seen will be congested?

Run ``python -m tests.benchmarks.bench_congestion``. Random gangs are simulated on twelve topologies: five that are
generated, and seven that were dumped from or drawn up for real clusters (in ``$QUANTUMFLOW_DATA``, else
``../shared/data`` beside the repository; left out where missing). Each topology in turn is held out, and every
classifier learns from the others, in equal parts. Then all learn as the product does, from generated networks only,
and are judged on the dumps. Scored is the area under the precision-recall curve (average precision); intervals are
95 % bootstraps over whole networks. All counters and labels are simulated: no public labelled set exists.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[2]))

from data.generators.congestion import LinkHistory, history_on, link_history
from data.generators.fabric import topology_fabric
from data.generators.topologies import dgx, fat_tree, nvl72, torus, two_tiers
from data.readers.topology.formats import read_topology
from data.schemas.fabric import Fabric
from tasks.forecasters.congestion import LinkClassifier
from tasks.forecasters.congestion_features import NAMES, labelled
from tasks.forecasters.congestion_methods import BoostedLinks, Logistic, QuantumKernel
from tasks.forecasters.svm import Svm

ROOT = Path(__file__).parents[2]
OUT = ROOT / "runs" / "bench-congestion"
NETWORKS = 30
"""Simulated on each topology."""

RESAMPLES = 200
KEYS = ("value", "low", "high")

DEFAULT = "logistic regression (default)"
QUANTUM = "quantum kernel, pairs entangled"
PRODUCT = "quantum kernel, no entanglement"
METHODS: Mapping[str, LinkClassifier] = {
    DEFAULT: Logistic(),
    "boosted trees": BoostedLinks(),
    "SVM, radial kernel": Svm(),
    QUANTUM: QuantumKernel(),
    PRODUCT: QuantumKernel(entanglement="none", bandwidth=0.1),
}
THRESHOLD = "threshold on the newest load"
CLASSICAL = (DEFAULT, "boosted trees", "SVM, radial kernel", THRESHOLD)

DUMPS = {
    "ibnetdiscover, 119 hosts": ("topograph_output_ibnetdiscover_example.out", 4),
    "two clusters, irregular": ("topograph_models_dual-xclr-irregular.yaml", 4),
    "12 racks, NVLink": ("topograph_models_large.yaml", 4),
    "4 NVL72 racks": ("topograph_models_nvl72.yaml", 4),
    "12 leaves, cloud": ("topograph_ci_expected.slinky-oci-sim-tree.conf", 4),
    "4 leaves": ("topograph_models_medium.yaml", 4),
    "2 leaves, NetQ": ("topograph_output_netq_topologyGraph.json", 8),
}


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """Links of one topology: features ``(links, features)``, labels and network number ``(links,)``."""

    features: np.ndarray[Any, Any]
    congested: np.ndarray[Any, Any]
    network: np.ndarray[Any, Any]


def main() -> None:
    """Print both tables and what the quantum kernel added, and save them."""
    started = time.time()
    folder = Path(os.environ.get("QUANTUMFLOW_DATA", ROOT.parent / "shared" / "data")) / "topologies"
    drawn = topologies(folder)
    links = {name: simulated(make, NETWORKS, seed) for seed, (name, make) in enumerate(drawn.items())}
    count = sum(len(one.congested) for one in links.values())
    print(f"{len(links)} topologies, {NETWORKS} networks each, {count} links")
    found = {}
    for seed, (name, one) in enumerate(links.items()):
        models = fitted([links[other] for other in links if other != name])
        found[name] = resampled(one, scores_of(one, models), seed)
    print("\neach topology held out, learned from all others: area under the precision-recall curve")
    table(links, found)
    verdict(found)
    dumps = {name: one for name, one in links.items() if name in DUMPS}
    shipped = {}
    if dumps:
        models = fitted([simulated_at_random(max(method.networks for method in METHODS.values()))])
        shipped = {name: resampled(one, scores_of(one, models), seed) for seed, (name, one) in enumerate(dumps.items())}
        print("\nas shipped, learned from generated networks only, judged on dumps")
        table(dumps, shipped)
        verdict(shipped)
    save(links, found, shipped)
    print(f"\n{time.time() - started:.0f} s; tables and plot in {OUT.relative_to(ROOT)}")


def topologies(folder: Path) -> dict[str, Callable[[np.random.Generator], Fabric]]:
    """Return how to draw a network of each topology; what a topology leaves open is drawn by chance."""

    def over(rng: np.random.Generator) -> float:
        return float(rng.uniform(1.0, 5.0))

    found: dict[str, Callable[[np.random.Generator], Fabric]] = {
        "NVL72": lambda rng: nvl72(int(rng.integers(2, 5)), oversubscription=over(rng)),
        "DGX on rails": lambda rng: dgx(
            int(rng.integers(8, 25)), unit=int(rng.integers(4, 9)), oversubscription=over(rng)
        ),
        "leaf and spine": lambda rng: two_tiers(int(rng.integers(8, 33)), oversubscription=over(rng)),
        "fat tree": lambda rng: fat_tree(4, oversubscription=over(rng)),
        "torus": lambda rng: torus((int(rng.integers(2, 5)), int(rng.integers(3, 5)), int(rng.integers(2, 4)))),
    }
    for name, (file, gpus) in DUMPS.items():
        if (folder / file).exists():
            found[name] = drawn_dump(folder / file, gpus, over)
        else:
            print(f"left out: no dump at {folder / file}")
    return found


def drawn_dump(
    path: Path, gpus: int, over: Callable[[np.random.Generator], float]
) -> Callable[[np.random.Generator], Fabric]:
    """Return what makes a fabric of a dump; its oversubscription is drawn where the dump knows no speeds."""
    topology = read_topology(path)
    return lambda rng: topology_fabric(topology, gpus_per_node=gpus, oversubscription=over(rng))


def simulated(make: Callable[[np.random.Generator], Fabric], networks: int, seed: int) -> Links:
    """Return the links of random networks of one topology."""
    rng = np.random.default_rng([7, seed])
    return together([history_on(make(rng), rng) for _ in range(networks)])


def simulated_at_random(networks: int) -> Links:
    """Return the links of what the product learns from."""
    rng = np.random.default_rng(11)
    return together([link_history(rng) for _ in range(networks)])


def together(histories: Sequence[LinkHistory]) -> Links:
    """Return the links of all histories."""
    features, congested = labelled(histories)
    return Links(features, congested, np.repeat(np.arange(len(histories)), [len(one.congested) for one in histories]))


def fitted(parts: Sequence[Links]) -> dict[str, Any]:
    """Return every classifier, taught with as many links of each part."""
    models = {}
    for name, method in METHODS.items():
        rng = np.random.default_rng(3)
        each = -(-method.most_links // len(parts))
        rows = [np.sort(rng.permutation(len(part.congested))[:each]) for part in parts]
        features = np.concatenate([part.features[row] for part, row in zip(parts, rows, strict=True)])
        labels = np.concatenate([part.congested[row] for part, row in zip(parts, rows, strict=True)])
        with threadpool_limits(1):
            models[name] = method.estimator(0).fit(features, labels.astype(np.int64))
    return models


def scores_of(links: Links, models: Mapping[str, Any]) -> dict[str, Any]:
    """Return what each classifier, and the threshold, says of each link."""
    with threadpool_limits(1):
        answers = {name: model.predict_proba(links.features)[:, 1] for name, model in models.items()}
    answers[THRESHOLD] = links.features[:, NAMES.index("load_now")]
    return answers


def resampled(links: Links, answers: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return average precisions of each method, of all networks and of networks drawn with replacement, ``(1 + n,)``.

    All methods see the same draws, so they can be compared draw by draw.
    """
    networks = int(links.network.max()) + 1
    draws = np.random.default_rng([13, seed]).multinomial(networks, np.full(networks, 1 / networks), size=RESAMPLES)
    weights = np.concatenate([np.ones((1, networks)), draws])
    return {name: average_precisions(answer, links, weights) for name, answer in answers.items()}


def average_precisions(answer: Any, links: Links, weights: Any) -> Any:
    """Return the average precision under each row of network weights, as in scikit-learn; ties count at once."""
    order = np.argsort(-answer, kind="stable")
    last = np.append(np.flatnonzero(np.diff(answer[order])), len(order) - 1)  # where each group of ties ends
    hits, network = links.congested[order], links.network[order]
    found = np.empty(len(weights))
    for row, weight in enumerate(weights):
        each = weight[network]
        right, flagged = np.cumsum(each * hits)[last], np.cumsum(each)[last]
        gained = np.diff(right, prepend=0.0)
        precision = np.divide(right, flagged, out=np.zeros_like(right), where=flagged > 0)
        found[row] = (gained * precision).sum() / right[-1] if right[-1] else np.nan
    return found


def interval(values: Any) -> tuple[float, float, float]:
    """Return the value on all networks and its 95 % interval."""
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return float(values[0]), float(low), float(high)


def table(links: Mapping[str, Links], found: Mapping[str, Mapping[str, Any]]) -> None:
    """Print one row for each topology, and their mean."""
    methods = list(next(iter(found.values())))
    numbers = "".join(f"{f'({number})':>21}" for number in range(1, len(methods) + 1))
    print(f"{'':27}{'congested':>10}  {numbers}")
    for name, columns in found.items():
        cells = (interval(columns[method]) for method in methods)
        row = "".join(f"{value:>8.3f} {low:.3f}-{high:.3f}" for value, low, high in cells)
        print(f"{name:27}{links[name].congested.mean():>10.1%}  {row}")
    cells = (interval(mean_of(found, method)) for method in methods)
    print(f"{'mean':27}{'':>10}  " + "".join(f"{value:>8.3f} {low:.3f}-{high:.3f}" for value, low, high in cells))
    print("; ".join(f"({number}) {method}" for number, method in enumerate(methods, 1)))


def mean_of(found: Mapping[str, Mapping[str, Any]], method: str) -> Any:
    """Return the mean over topologies, draw by draw."""
    return np.nanmean([columns[method] for columns in found.values()], axis=0)


def verdict(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Print what the default adds to a threshold, the quantum kernel to the best of others, and entanglement to it."""
    best = max(CLASSICAL, key=lambda method: mean_of(found, method)[0])
    said = []
    for one, other in ((DEFAULT, THRESHOLD), (QUANTUM, best), (QUANTUM, PRODUCT)):
        value, low, high = interval(mean_of(found, one) - mean_of(found, other))
        sense = "better than" if low > 0 else "worse than" if high < 0 else "not told apart from"
        said.append(f"{one}: {sense} {other} ({value:+.3f}, 95 % interval {low:+.3f} to {high:+.3f})")
    print("\n".join(said))
    return "; ".join(said)


def save(
    links: Mapping[str, Links], found: Mapping[str, Mapping[str, Any]], shipped: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write both tables as JSON and the first as a plot."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    OUT.mkdir(parents=True, exist_ok=True)
    document = {}
    for part, rows in (("held_out", found), ("as_shipped", shipped)):
        document[part] = {
            name: {method: dict(zip(KEYS, interval(values), strict=True)) for method, values in row.items()}
            for name, row in rows.items()
        }
    shares = {name: float(one.congested.mean()) for name, one in links.items()}
    text = json.dumps({"congested": shares, "networks": NETWORKS, **document}, indent=1)
    (OUT / "congestion.json").write_text(text, encoding="utf-8")
    figure, axes = plt.subplots(figsize=(9, 0.62 * len(found) + 1.5), layout="constrained")
    shown = [DEFAULT, "boosted trees", "SVM, radial kernel", QUANTUM, THRESHOLD]
    for number, method in enumerate(shown):
        values = np.array([interval(row[method]) for row in found.values()])
        place = np.arange(len(found)) + 0.14 * (number - len(shown) / 2)
        spread = [values[:, 0] - values[:, 1], values[:, 2] - values[:, 0]]
        axes.errorbar(values[:, 0], place, xerr=np.maximum(spread, 0.0), fmt="o", markersize=4, capsize=2, label=method)
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.set_xlabel("area under the precision-recall curve, topology held out")
    axes.legend(fontsize=8)
    figure.savefig(OUT / "congestion.png", dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
