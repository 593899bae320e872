"""Which links are about to be congested, and which NVLink domains should be looked at first?

A classifier reads the counters of links (:mod:`tasks.forecasters.congestion_features`). It is taught by a flow-level
simulator (:mod:`data.generators.congestion`), since no public labelled set exists, anew for each forecast: a model is
never stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from data.generators.congestion import LinkHistory, link_history
from data.generators.fabric import HOPPER_NVLINK_GB_PER_S, NVLINK_GB_PER_S
from data.schemas.cluster import Link, Snapshot
from data.schemas.telemetry import LinkSeries
from tasks.forecasters.congestion_features import Counters, labelled, link_features
from tasks.forecasters.protocol import Floats, ForecastFailed

FEWEST_SAMPLES = 4
"""Samples of a series below which nothing is said of its link."""

LIKELY = 0.5
"""Score above which a link is flagged."""


class LinkClassifier(Protocol):
    """A way to learn which links will be congested; each is a frozen dataclass of its options, tagged by ``kind``."""

    @property
    def kind(self) -> str:
        """Name of the method, as it stands in reports."""
        ...

    @property
    def networks(self) -> int:
        """Networks that are simulated to learn from."""
        ...

    @property
    def most_links(self) -> int:
        """Links learned from at most."""
        ...

    def estimator(self, seed: int) -> Any:
        """Return an untrained two-class classifier with ``fit`` and ``predict_proba`` as in scikit-learn."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class CongestionModel:
    """A trained classifier with ``predict_proba``, and the name of its method."""

    estimator: Any
    kind: str

    def scores(self, features: Floats) -> Floats:
        """Return how likely each link is congested next, 0 to 1, ``(links, features) -> (links,)``.

        As good a probability as the simulator is a network.
        """
        if not len(features):
            return np.empty(0)
        with threadpool_limits(1):
            return np.asarray(self.estimator.predict_proba(features)[:, 1])


def learn(method: LinkClassifier, histories: Sequence[LinkHistory], rng: np.random.Generator) -> CongestionModel:
    """Return a classifier of the links of ``histories``.

    Raises:
        ForecastFailed: all of them are congested, or none.
    """
    features, labels = labelled(histories)
    chosen = np.sort(rng.permutation(len(labels))[: method.most_links])
    if len(set(labels[chosen].tolist())) < 2:
        raise ForecastFailed(f"{len(chosen)} simulated links, all of them with the same label")
    with threadpool_limits(1):
        estimator = method.estimator(int(rng.integers(2**31)))
        estimator.fit(features[chosen], labels[chosen].astype(np.int64))
    return CongestionModel(estimator, method.kind)


def taught(method: LinkClassifier, rng: np.random.Generator) -> CongestionModel:
    """Return a classifier of freshly simulated networks.

    Raises:
        ForecastFailed: the simulator made none or only congested links.
    """
    return learn(method, [link_history(rng) for _ in range(method.networks)], rng)


@dataclass(frozen=True, slots=True)
class Congestion:
    """Where trouble is expected.

    Args:
        scores: of each link with a usable series, by link id, in the snapshot's order.
        links: those whose score is above one half.
        domains: NVLink domains at their ends, the worst first; windows favour them.
        racks: racks at their ends, sorted.
        domain_scores: the highest score at each domain with a metered link, the worst first; of equal ones, first
            that whose jobs send most to other domains.
    """

    scores: tuple[tuple[str, float], ...]
    links: tuple[str, ...]
    domains: tuple[str, ...]
    racks: tuple[str, ...]
    domain_scores: tuple[tuple[str, float], ...] = ()


def expect_congestion(snapshot: Snapshot, model: CongestionModel) -> Congestion:
    """Return the places of ``snapshot`` that the windows should favour.

    An end that is a node, a rack or a domain flags the domains there; switches have nobody to move. NVLinks between a
    node and its switches are not judged themselves: what they carry is a feature of the node's adapters.
    """
    machines = {node.id for node in snapshot.nodes}
    links = {
        link.id: link
        for link in snapshot.links
        if link.bandwidth_gb_per_s > 0 and not (link.kind == "nvlink" and {link.source, link.target} & machines)
    }
    usable = [
        one for one in snapshot.link_series if one.link in links and len(one.throughput_gb_per_s) >= FEWEST_SAMPLES
    ]
    if not usable:
        return Congestion((), (), (), ())
    values = model.scores(link_features(_counters(snapshot, usable, links)))
    scores = tuple((one.link, float(score)) for one, score in zip(usable, values, strict=True))
    flagged = tuple(link for link, score in scores if score > LIKELY)
    worst: dict[str, float] = {}  # by place
    for link, score in scores:
        for end in (links[link].source, links[link].target):
            worst[end] = max(score, worst.get(end, 0.0))
    of_domain: dict[str, float] = {}
    racks = set()
    for node in snapshot.nodes:
        here = [worst[place] for place in (node.id, node.rack, node.nvlink_domain) if place in worst]
        if here:
            of_domain[node.nvlink_domain] = max(*here, of_domain.get(node.nvlink_domain, 0.0))
            racks |= {node.rack} if max(here) > LIKELY else set()
    abroad = _sent_abroad(snapshot)
    ranked = sorted(of_domain.items(), key=lambda one: (-one[1], -abroad.get(one[0], 0.0), one[0]))
    return Congestion(
        scores,
        flagged,
        tuple(domain for domain, score in ranked if score > LIKELY),
        tuple(sorted(racks)),
        tuple(ranked),
    )


def _counters(snapshot: Snapshot, usable: Sequence[LinkSeries], links: Mapping[str, Link]) -> Counters:
    """Return the counters over the time that all usable series share."""
    samples = min(len(one.throughput_gb_per_s) for one in usable)
    unknown = (np.nan,) * samples
    nvlink = _nvlink_loads(snapshot, samples)
    places: dict[str, int] = {}
    for one in usable:
        for end in (links[one.link].source, links[one.link].target):
            places.setdefault(end, len(places))
    ends = [(links[one.link].source, links[one.link].target) for one in usable]
    return Counters(
        bandwidth_gb_per_s=np.array([links[one.link].bandwidth_gb_per_s for one in usable]),
        throughput_gb_per_s=np.array([one.throughput_gb_per_s[-samples:] for one in usable]),
        waits_per_s=np.array(
            [one.waits_per_s[-samples:] if len(one.waits_per_s) >= samples else unknown for one in usable]
        ),
        nvlink_load=np.array([nvlink.get(source, nvlink.get(target, unknown)) for source, target in ends]),
        ends=np.array([(places[source], places[target]) for source, target in ends]),
    )


def _nvlink_loads(snapshot: Snapshot, samples: int) -> dict[str, tuple[float, ...]]:
    """Return the load of the NVLinks of each node that meters them, by node.

    The series ``<node>:nvlink`` is the sum of ``DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL`` over its GPUs, which counts both
    directions.
    """
    both_ways = {
        f"{node.id}:nvlink": (node.id, 2.0 * node.gpus * NVLINK_GB_PER_S.get(node.gpu_model, HOPPER_NVLINK_GB_PER_S))
        for node in snapshot.nodes
    }
    loads = {}
    for one in snapshot.link_series:
        if one.link in both_ways and len(one.throughput_gb_per_s) >= samples:
            node, capacity = both_ways[one.link]
            loads[node] = tuple(min(1.0, rate / capacity) for rate in one.throughput_gb_per_s[-samples:])
    return loads


def _sent_abroad(snapshot: Snapshot) -> dict[str, float]:
    """Return what the running jobs of each domain send to other domains at most, in GB/s."""
    domain_of = {node.id: node.nvlink_domain for node in snapshot.nodes}
    held: dict[str, dict[str, float]] = {}  # gang, domain: GB/s
    for job in snapshot.jobs:
        for worker in job.placement if job.state == "running" else ():
            sums = held.setdefault(job.gang_id, {})
            domain = domain_of.get(worker.node, "")
            sums[domain] = sums.get(domain, 0.0) + job.traffic_gb_per_s * len(worker.gpus)
    abroad: dict[str, float] = {}
    for sums in held.values():
        if len(sums) > 1:
            for domain, rate in sums.items():
                abroad[domain] = abroad.get(domain, 0.0) + rate
    return abroad
