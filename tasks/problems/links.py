"""In which round is each transfer sent, where ports, NICs, rails or planes are few?

With nothing shared but the ports of a crossbar this is edge colouring of a bipartite graph and polynomial
(:mod:`tasks.communication.edge_colouring`, :mod:`tasks.communication.birkhoff`): use those. With rails or planes that
several transfers hold, or ports that cannot send and receive at once, it is colouring of a general graph whose
colours cost as much as their longest member (Guan and Zhu 1997, Information Processing Letters 61(2), 77-81): NP-hard.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.schemas.plan import Action
from data.schemas.transfers import Transfer
from tasks.communication.conflict_graph import Conflicts, Duplex, conflicts_of
from tasks.communication.dsatur import dsatur, first_fit
from tasks.problems.links_anneal import Floats, Ints, anneal
from tasks.problems.links_window import Change, promising
from tasks.problems.moves import fusion_window
from tasks.problems.protocol import Figure, Found, Window

CONGESTION = 2.0
"""Price of a second during which two transfers share something: above 1, so that an empty round is always better."""

HOT, COLD = 0.1, 0.001
"""First and last temperature, in mean seconds of a transfer."""

MANY = 200
"""Transfers above which it begins colder, in proportion: first fit, where it begins, is closer to the bound there."""


@dataclass(frozen=True, slots=True, eq=False)
class Assigned:
    """The round of each transfer, ``(transfers,)``.

    Raises:
        ValueError: the shape is another.
    """

    round_of: Ints

    def __post_init__(self) -> None:
        if self.round_of.ndim != 1:
            raise ValueError(f"round_of: expected shape (transfers,), got {self.round_of.shape}")
        self.round_of.setflags(write=False)


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """The links noun: the unit of its cost is one second.

    ``cost = sum over rounds of the longest transfer + congestion * sum over conflicting pairs in one round of the
    shorter transfer``. Every assignment to rounds that exist is feasible, for where rounds are too few transfers must
    share; the price of sharing is above that of a round of one's own. A decision is no action on the cluster: it is
    written as rounds (:mod:`tasks.schedule_transfers`), so a plan holds none of it.

    Args:
        seconds: of each transfer alone, ``(transfers,)``.
        conflicts: who cannot share a round.
        rounds: that there are.
        congestion: price of a second of conflict, at least 1.
        in_force: the rounds to start from.
        notes: what was assumed.

    Raises:
        ValueError: a transfer takes no time, there is no round, or the price is below 1.
    """

    seconds: Floats
    conflicts: Conflicts
    rounds: int
    congestion: float
    in_force: Assigned
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.seconds > 0).all() or not np.isfinite(self.seconds).all():
            raise ValueError(f"seconds: expected finite numbers above 0, got {self.seconds.min(initial=0.0)}")
        if self.rounds < 1 or self.congestion < 1:
            raise ValueError(f"expected rounds and congestion of at least 1, got {self.rounds} and {self.congestion}")

    @classmethod
    def from_transfers(
        cls,
        transfers: Sequence[Transfer],
        *,
        rounds: int | None = None,
        duplex: Duplex = "full",
        congestion: float = CONGESTION,
    ) -> "Links":
        """Return the problem of ``transfers``.

        In force are the rounds that they name; where one names none, first fit in their order, which is what a runtime
        does that sends a message as soon as everything it needs is free.

        Args:
            transfers: at least one.
            rounds: most rounds; None gives as many as could ever help, the largest degree of the graph plus one.
            duplex: whether a port can send and receive at once.
            congestion: price of a second of conflict.

        Raises:
            ValueError: there is no transfer, or a number is out of range.
        """
        if not transfers:
            raise ValueError("transfers: expected at least one, got none")
        if rounds is not None and rounds < 1:
            raise ValueError(f"rounds: expected at least 1, got {rounds}")
        conflicts = conflicts_of(transfers, duplex)
        seconds = np.array([transfer.seconds for transfer in transfers])
        notes = []
        useful = int(conflicts.degrees.max()) + 1
        named = [transfer.given_round for transfer in transfers if transfer.given_round is not None]
        given, place = np.unique(
            np.array(named, np.int64), return_inverse=True
        )  # numbers that nobody has are no rounds
        if len(named) == len(transfers) and (rounds is None or given.size <= rounds):
            limit = max(useful, given.size) if rounds is None else rounds
            start = place.astype(np.int64)
        else:
            limit = useful if rounds is None else rounds
            start = within(first_fit(conflicts, np.arange(len(transfers))), limit, seconds, conflicts)
            if named:
                what = f"{len(named)} of {len(transfers)} transfers name one, {given.size} rounds in all"
                notes.append(f"the given rounds are not used ({what}): first fit instead")
        return cls(seconds, conflicts, limit, congestion, Assigned(start), tuple(notes))

    @property
    def name(self) -> str:
        """How reports call it."""
        return "links"

    def incumbent(self) -> Assigned:
        """Return the rounds in force."""
        return self.in_force

    def cost(self, decision: Assigned) -> float:
        """Return the seconds that all rounds take, with the price of congestion."""
        return self.makespan_s(decision) + self.congestion_s(decision)

    def bound(self) -> float:
        """Return the sum of :meth:`least_lengths`."""
        return float(self.least_lengths().sum())

    def least_lengths(self) -> Floats:
        """Return what rounds last at least, by cliques of the conflict graph, descending, ``(transfers,)``.

        Of any clique no two share a round unless they pay at least a round of their own, so the j-th longest round is
        no shorter than the j-th longest member; of all cliques the longest counts.
        """
        longest = np.zeros(self.seconds.size)
        longest[0] = self.seconds.max()
        for clique in self._cliques():
            ranked = -np.sort(-self.seconds[clique])
            longest[: ranked.size] = np.maximum(longest[: ranked.size], ranked)
        return longest * (1.0 - 1e-12)  # what rounding may have added

    def search(self, decision: Assigned, evaluations: int, rng: np.random.Generator) -> Found[Assigned]:
        """Anneal from ``decision``, DSATUR or longest-first first fit, whichever is cheapest."""
        best, lowest, accepted = decision, self.cost(decision), 0
        longest_first = np.argsort(-self.seconds, kind="stable")
        for colours in (first_fit(self.conflicts, longest_first), dsatur(self.conflicts, self.seconds)):
            candidate = Assigned(within(colours, self.rounds, self.seconds, self.conflicts))
            if self.cost(candidate) < lowest:
                best, lowest, accepted = candidate, self.cost(candidate), accepted + 1
        if evaluations < 1:
            return Found(best, 2, accepted)
        unit = float(self.seconds.mean())
        found, done, improved = anneal(
            best.round_of,
            self.rounds,
            self.seconds,
            self.conflicts.first,
            self.conflicts.neighbour,
            self.congestion,
            evaluations,
            max(COLD, HOT * min(1.0, MANY / self.seconds.size)) * unit,
            COLD * unit,
            int(rng.integers(1, 1 << 62)),
        )
        candidate = Assigned(found)
        if self.cost(candidate) < lowest:
            best, accepted = candidate, accepted + improved
        return Found(best, 2 + done, accepted)

    def window(self, decision: Assigned, size: int, rng: np.random.Generator) -> Window[Assigned]:
        """Return a window of single moves and Kempe chains that would shorten a round or end a conflict."""
        changes = promising(
            decision.round_of, self.rounds, self.seconds, self.conflicts, self.congestion, self.cost_of, size, rng
        )
        return fusion_window(decision, changes, _changed, self.cost)

    def actions(self, decision: Assigned) -> tuple[Action, ...]:  # noqa: ARG002 -- rounds are a file, not a plan
        """Return nothing: rounds are handed to the communication library, the cluster's plan does not hold them."""
        return ()

    def figures(self, decision: Assigned) -> tuple[Figure, ...]:
        """Return what an operator reads."""
        return (
            Figure("links.makespan_s", "s", self.makespan_s(decision), "lower"),
            Figure("links.congestion_s", "s", self.congestion_s(decision), "lower"),
            Figure("links.conflicts", "pairs", float(self.clashes(decision)), "lower"),
            Figure("links.rounds", "rounds", float(np.unique(decision.round_of).size), "lower"),
        )

    def cost_of(self, round_of: Ints) -> float:
        """Return the cost of rounds that are still an array."""
        return self.cost(Assigned(round_of))

    def makespan_s(self, decision: Assigned) -> float:
        """Return the sum over rounds of the longest transfer."""
        return float(self.lengths(decision).sum())

    def lengths(self, decision: Assigned) -> Floats:
        """Return the longest transfer of each round, ``(rounds,)``."""
        longest = np.zeros(self.rounds)
        np.maximum.at(longest, decision.round_of, self.seconds)
        return longest

    def congestion_s(self, decision: Assigned) -> float:
        """Return the price of conflicts."""
        one, other = self._together(decision)
        return self.congestion * float(np.minimum(self.seconds[one], self.seconds[other]).sum())

    def clashes(self, decision: Assigned) -> int:
        """Return the pairs that share something in one round."""
        return int(self._together(decision)[0].size)

    def _together(self, decision: Assigned) -> tuple[Ints, Ints]:
        one = np.repeat(np.arange(self.seconds.size), self.conflicts.degrees)
        other = self.conflicts.neighbour
        same = (one < other) & (decision.round_of[one] == decision.round_of[other])
        return one[same], other[same]

    def _cliques(self) -> list[Ints]:
        """Return the holders of each shared thing, and cliques grown greedily from them and from each transfer."""
        adjacent = [set(self.conflicts.of(v).tolist()) for v in range(self.seconds.size)]
        heaviest = np.argsort(-self.seconds, kind="stable").tolist()
        rank = {v: place for place, v in enumerate(heaviest)}
        cliques = []
        for begin in [*(who.tolist() for who in self.conflicts.held), *([v] for v in heaviest)]:
            clique = list(begin)
            open_to = set.intersection(*(adjacent[v] for v in clique))
            while open_to:
                chosen = min(open_to, key=rank.__getitem__)
                clique.append(chosen)
                open_to &= adjacent[chosen]
            cliques.append(np.array(clique, np.int64))
        return cliques


def _changed(decision: Assigned, change: Change) -> Assigned:
    round_of = decision.round_of.copy()
    round_of[list(change.transfers)] = change.rounds
    return Assigned(round_of)


def within(colours: Ints, rounds: int, seconds: Floats, conflicts: Conflicts) -> Ints:
    """Return ``colours`` with those beyond ``rounds`` put, longest first, where they clash for the shortest time.

    Colours are numbered anew before, those with the longest members first, so that short ones share.
    """
    longest = np.zeros(int(colours.max()) + 1)
    np.maximum.at(longest, colours, seconds)
    place = np.empty(longest.size, np.int64)
    place[np.argsort(-longest, kind="stable")] = np.arange(longest.size)
    round_of = place[colours]
    beyond = np.flatnonzero(round_of >= rounds)
    for v in beyond[np.argsort(-seconds[beyond], kind="stable")].tolist():
        near = conflicts.of(v)
        clash: npt.NDArray[np.float64] = np.zeros(rounds)
        inside = near[round_of[near] < rounds]
        np.add.at(clash, round_of[inside], np.minimum(seconds[inside], seconds[v]))
        round_of[v] = int(np.argmin(clash))
    return round_of
