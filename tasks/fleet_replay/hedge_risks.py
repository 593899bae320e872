"""Which zones may be lost together within the next few ticks, going by the past?

Two things tell in recordings: a zone that has had machines for long keeps them for longer, and zones are lost together,
most of all within a region. So each zone has a hazard by how long it has had machines, counted over the past and drawn
to that of all zones where little was seen; and losses are tied by a Gaussian factor of all zones and one of each region
(as Vasicek 1987 ties the loans of a portfolio), whose strengths make the pairs of losses of the past likeliest.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

AGES = np.array([1, 4, 8, 16, 32, 64, 128, 256])
"""Ticks that a zone has had machines for, from which on it counts as older."""

AT_FIRST = 0.2
"""Hazard while nothing was seen, which weighs as much as ``DOUBT`` examples."""

DOUBT = 20.0
TIES = np.array([0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
"""Correlations of the factors to choose from."""

TIED_AT_FIRST = (0.1, 0.5)
"""Correlation between and within regions while nothing was seen."""

LEARN_TICKS = 64
"""New ticks below which nothing new is learned."""

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(11)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


@dataclass(frozen=True, slots=True, eq=False)
class Risks:
    """What may be lost within the look-ahead.

    Args:
        lost: zones of each set, ``(sets, zones)``.
        chance: of exactly that set, ``(sets,)``.
    """

    lost: Flags
    chance: Floats


class Memory:
    """What was seen so far, as counts.

    Args:
        region: of each zone, a number, ``(zones,)``.
        ahead: ticks within which a loss counts.
    """

    def __init__(self, region: Integers, ahead: int) -> None:
        self.region, self.ahead = region, ahead
        zones, ages = len(region), len(AGES)
        self.counted = 0
        self.age = np.zeros(zones, np.int64)
        self.times, self.losses = np.zeros((zones, ages)), np.zeros((zones, ages))
        self.pairs = np.zeros((2, 2, 2, ages, ages))
        """Pairs between and within regions, by whether one and the other were lost, and their ages."""
        self.between, self.within = TIED_AT_FIRST

    def see(self, seen: Flags) -> None:
        """Count the moments of ``seen``, ``(zones, ticks)``, of which the look-ahead is over by now."""
        last = seen.shape[1] - self.ahead
        if last < self.counted + LEARN_TICKS:
            return
        part = seen[:, self.counted : last + self.ahead]
        width = last - self.counted
        lost = ~np.all([part[:, step : step + width] for step in range(1, self.ahead + 1)], axis=0)
        ages = np.zeros((len(seen), width), np.int64)
        for tick in range(width):
            self.age = np.where(part[:, tick], self.age + 1, 0)
            ages[:, tick] = self.age
        kind = np.searchsorted(AGES, ages, side="right") - 1
        for zone in range(len(seen)):
            up = kind[zone] >= 0
            self.times[zone] += np.bincount(kind[zone, up], minlength=len(AGES))
            self.losses[zone] += np.bincount(kind[zone, up & lost[zone]], minlength=len(AGES))
        apart = np.arange(0, width, self.ahead)
        """Moments whose look-aheads do not overlap."""
        for one in range(len(seen)):
            for other in range(one):
                both = apart[(kind[one, apart] >= 0) & (kind[other, apart] >= 0)]
                alike = int(self.region[one] == self.region[other])
                at = (lost[one, both].astype(int), lost[other, both].astype(int), kind[one, both], kind[other, both])
                np.add.at(self.pairs[alike], at, 1.0)
        self.counted = last
        self._tie()

    def hazards(self, age: Integers) -> Floats:
        """Return the chance of each zone to be lost, by the ticks that it has had machines for, ``(zones,)``."""
        pooled = (self.losses.sum(axis=0) + DOUBT * AT_FIRST) / (self.times.sum(axis=0) + DOUBT)
        own = (self.losses + DOUBT * pooled) / (self.times + DOUBT)
        kind = np.clip(np.searchsorted(AGES, age, side="right") - 1, 0, None)
        return np.asarray(own[np.arange(len(age)), kind])

    def risks(self, age: Integers, usable: Flags, least: float = 1e-5, most: int = 120) -> Risks:
        """Return the sets of ``usable`` zones that may be lost; those with less than the ``least`` chance are left out.

        Args:
            age: ticks that each zone has had machines for, ``(zones,)``.
            usable: zones that machines may be in, ``(zones,)``.
            least: chance of a set that is kept.
            most: sets at most, the likeliest.
        """
        zones = len(age)
        score = _normal_quantile(self.hazards(age))
        among = np.sqrt(self.between)
        of_region = np.sqrt(max(0.0, self.within - self.between))
        alone = np.sqrt(1.0 - max(self.within, self.between))
        sets, chances = np.zeros((1, zones), np.bool_), np.ones((1, len(_NODES)))
        for region in np.unique(self.region[usable]):
            of = np.flatnonzero(usable & (self.region == region))
            chosen = (np.arange(2 ** len(of))[:, None] >> np.arange(len(of))) & 1 == 1
            shift = among * _NODES[:, None] + of_region * _NODES[None, :]
            chance = _normal((score[of][:, None, None] - shift) / alone)
            # of each set of the region's zones, by the factor of all: the region's own is summed over
            each = np.where(chosen[:, :, None, None], chance, 1.0 - chance).prod(axis=1) @ _WEIGHTS
            wide = np.zeros((len(chosen), zones), np.bool_)
            wide[:, of] = chosen
            sets = (sets[:, None, :] | wide[None, :, :]).reshape(-1, zones)
            chances = (chances[:, None, :] * each[None, :, :]).reshape(-1, len(_NODES))
        chance = chances @ _WEIGHTS
        kept = np.argsort(-chance, kind="stable")[:most]
        kept = kept[(chance[kept] >= least) | ~sets[kept].any(axis=1)]
        return Risks(sets[kept], chance[kept])

    def _tie(self) -> None:
        """Choose the correlations that make the pairs of losses likeliest."""
        pooled = (self.losses.sum(axis=0) + DOUBT * AT_FIRST) / (self.times.sum(axis=0) + DOUBT)
        score = _normal_quantile(pooled)
        best = []
        for pairs in self.pairs:
            likelihoods = []
            for tie in TIES:
                by_factor = _normal((score[:, None] - np.sqrt(tie) * _NODES) / np.sqrt(1.0 - tie))
                both = (by_factor[:, None, :] * by_factor[None, :, :]) @ _WEIGHTS
                one, other = pooled[:, None] - both, pooled[None, :] - both
                table = np.array([[1.0 - both - one - other, other], [one, both]])
                likelihoods.append(float((pairs * np.log(np.maximum(table, 1e-12))).sum()))
            best.append(float(TIES[int(np.argmax(likelihoods))]))
        self.between, self.within = best[0], max(best)


def _normal(values: Floats) -> Floats:
    from scipy.special import ndtr

    return np.asarray(ndtr(values))


def _normal_quantile(chances: Floats) -> Floats:
    from scipy.special import ndtri

    return np.asarray(ndtri(chances))
