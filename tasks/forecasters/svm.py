"""Which links are about to be congested? A support-vector classifier on their counters, taught by a simulator.

Soft-margin SVM with a radial kernel (Cortes and Vapnik 1995, doi 10.1007/BF00994018). It is taught by
:mod:`data.generators.congestion`, since no public labelled set exists, and trained again for each forecast (a second).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from data.generators.congestion import LinkHistory, link_history
from data.schemas.cluster import Snapshot
from tasks.forecasters.protocol import Floats, ForecastFailed

NAMES = (
    "load_mean",
    "load_std",
    "load_max",
    "load_now",
    "load_trend",
    "waits",
    "waits_known",
    "tight_mean",
    "tight_now",
    "full_share",
    "full_share_now",
)

FULL = 0.9
"""Load from which a link counts as full at a moment."""

FEWEST_SAMPLES = 4
"""Samples of a series below which nothing is said of its link."""


def link_features(bandwidth_gb_per_s: Floats, throughput_gb_per_s: Floats, waits_per_s: Floats) -> Floats:
    """Return what the counters of one network say, ``(links, features)``, see ``NAMES``.

    Loads are shares of the bandwidth; the trend is the change over the whole series; "now" is its last sixth; tight is
    the logarithm of what is left of the link, since 0.98 is not 0.9 with a little more. How many waits a counter shows
    depends on the hardware, so what counts is the logarithm of waits per gigabyte against the network's median.

    Args:
        bandwidth_gb_per_s: ``(links,)``.
        throughput_gb_per_s: oldest first, ``(links, samples)``.
        waits_per_s: the same; NaN in the rows of links that do not count them, ``(links, samples)``.
    """
    load = np.clip(throughput_gb_per_s / np.maximum(bandwidth_gb_per_s, 1e-9)[:, None], 0.0, 1.0)
    samples = load.shape[1]
    time = np.linspace(-0.5, 0.5, samples)
    trend = (load - load.mean(axis=1, keepdims=True)) @ time / float(time @ time)
    waits = waits_per_s.sum(axis=1)  # NaN where not counted
    known = np.isfinite(waits)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.log10((waits + 1.0) / np.maximum(throughput_gb_per_s.sum(axis=1), 1e-3))
    busy = known & (load.mean(axis=1) > 0.01)
    middle = float(np.median(each[busy])) if busy.any() else 0.0
    now = load[:, -max(1, samples // 6) :]
    return np.column_stack(
        [
            load.mean(axis=1),
            load.std(axis=1),
            load.max(axis=1),
            now.mean(axis=1),
            trend,
            np.where(busy, np.clip(each - middle, -2.0, 3.0), 0.0),
            known,
            -np.log10(1.05 - load.mean(axis=1)),
            -np.log10(1.05 - now.mean(axis=1)),
            (load > FULL).mean(axis=1),
            (now > FULL).mean(axis=1),
        ]
    )


@dataclass(frozen=True, slots=True, eq=False)
class CongestionModel:
    """A trained classifier, and the curve that turns its distances into probabilities."""

    pipeline: Pipeline
    curve: LogisticRegression
    kind: Literal["svm"] = "svm"

    def scores(self, features: Floats) -> Floats:
        """Return how likely each link is congested next, 0 to 1, ``(links, features) -> (links,)``.

        The signed distance from the margin through a fitted logistic curve (Platt 1999), as good a probability as the
        simulator is a network.
        """
        if not len(features):
            return np.empty(0)
        distances = self.pipeline.decision_function(features)[:, None]
        return np.asarray(self.curve.predict_proba(distances)[:, 1])


@dataclass(frozen=True, slots=True)
class Svm:
    """Options of the classifier.

    Args:
        penalty: of a violated margin.
        gamma: inverse square of the kernel's width, in standardised features. Wide and soft was best on networks held
            out; a narrow kernel forgets beyond its support that a link fuller than all others is in trouble too.
        networks: simulated to learn from.
        most_links: learned from at most; training takes the square of it.
    """

    penalty: float = 0.1
    gamma: float = 0.003
    networks: int = 100
    most_links: int = 4_000
    kind: Literal["svm"] = "svm"

    def train(self, histories: Sequence[LinkHistory], rng: np.random.Generator) -> CongestionModel:
        """Return a classifier of the links of ``histories``.

        Raises:
            ForecastFailed: all of them are congested, or none.
        """
        features, labels = labelled(histories)
        chosen = np.sort(rng.permutation(len(labels))[: self.most_links])
        if len(set(labels[chosen].tolist())) < 2:
            raise ForecastFailed(f"{len(chosen)} simulated links, all of them with the same label")
        pipeline = make_pipeline(StandardScaler(), SVC(C=self.penalty, gamma=self.gamma))
        pipeline.fit(features[chosen], labels[chosen])
        distances = pipeline.decision_function(features[chosen])[:, None]
        return CongestionModel(pipeline, LogisticRegression().fit(distances, labels[chosen]))

    def taught(self, rng: np.random.Generator) -> CongestionModel:
        """Return a classifier of freshly simulated networks.

        Raises:
            ForecastFailed: the simulator made none or only congested links.
        """
        return self.train([link_history(rng) for _ in range(self.networks)], rng)


def labelled(histories: Sequence[LinkHistory]) -> tuple[Floats, NDArray[np.bool_]]:
    """Return features ``(links, features)`` and labels ``(links,)`` of all networks."""
    features = [link_features(one.bandwidth_gb_per_s, one.throughput_gb_per_s, one.waits_per_s) for one in histories]
    return np.concatenate(features), np.concatenate([one.congested for one in histories])


@dataclass(frozen=True, slots=True)
class Congestion:
    """Where trouble is expected.

    Args:
        scores: of each link with a usable series, by link id, in the snapshot's order.
        links: those whose score is above one half.
        domains: NVLink domains at their ends, sorted; windows favour them.
        racks: racks at their ends, sorted.
    """

    scores: tuple[tuple[str, float], ...]
    links: tuple[str, ...]
    domains: tuple[str, ...]
    racks: tuple[str, ...]


def expect_congestion(snapshot: Snapshot, model: CongestionModel) -> Congestion:
    """Return the places of ``snapshot`` that the windows should favour.

    An end that is a node, a rack or a domain flags the domains there; switches have nobody to move.
    """
    bandwidth = {link.id: link.bandwidth_gb_per_s for link in snapshot.links if link.bandwidth_gb_per_s > 0}
    usable = [
        one for one in snapshot.link_series if one.link in bandwidth and len(one.throughput_gb_per_s) >= FEWEST_SAMPLES
    ]
    samples = min((len(one.throughput_gb_per_s) for one in usable), default=0)
    if not usable:
        return Congestion((), (), (), ())
    uncounted = (np.nan,) * samples
    waits = [one.waits_per_s[-samples:] if len(one.waits_per_s) >= samples else uncounted for one in usable]
    features = link_features(
        np.array([bandwidth[one.link] for one in usable]),
        np.array([one.throughput_gb_per_s[-samples:] for one in usable]),
        np.array(waits),
    )
    scores = tuple((one.link, float(score)) for one, score in zip(usable, model.scores(features), strict=True))
    flagged = tuple(link for link, score in scores if score > 0.5)
    ends = {end for link in snapshot.links if link.id in set(flagged) for end in (link.source, link.target)}
    touched = [node for node in snapshot.nodes if {node.id, node.rack, node.nvlink_domain} & ends]
    return Congestion(
        scores,
        flagged,
        tuple(sorted({node.nvlink_domain for node in touched})),
        tuple(sorted({node.rack for node in touched})),
    )
