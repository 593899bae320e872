"""Which expert shall each physical slot of a mixture-of-experts model hold?

The decision is the expert in each slot of each layer, and optionally how an expert's tokens are split over its
replicas; otherwise they are split evenly. The cost is counted in layers' worth of time lost, one being what a perfectly
balanced layer takes:

- *imbalance*: the sum over layers of (longest time of a rank / time of a perfectly balanced layer - 1), where a rank's
  time is its load / its speed; over several scenarios of the loads, layer by layer, ``risk`` times that of the worst
  scenario and 1 - ``risk`` times the expectation; to which comes what an error of the forecast adds that no scenario
  shows, by :class:`tasks.problems.routing_state.Prices`;
- *crossings*: ``traffic_weight * layers *`` the share of tokens that go to another NVLink domain between two layers;
  a token in a domain with a replica of its next expert stays there;
- *strays*, where experts come in groups (device-limited routing): ``traffic_weight *`` the share of a layer's replicas
  outside the domain that holds most of their group. It is a price, not a constraint: a map in force may break it;
- *moves*: ``move_weight *`` the replicas that a rank must load (a rank that reorders its own slots loads none).

Every expert keeps a replica in every layer, and a migration budget bounds the replicas that are moved. A rank of speed
0 has failed: its slots stay as they are and serve nothing. An expert without a slot elsewhere costs more than anything
else could gain, so getting it one is always an improvement.
"""

from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from data.schemas.cluster import Snapshot
from data.schemas.plan import Action
from tasks.problems.protocol import Figure, Found, Window
from tasks.problems.routing_actions import Side, expert_actions
from tasks.problems.routing_balance import balancedness
from tasks.problems.routing_bound import lower_bound
from tasks.problems.routing_carried import carried_map, moved_replicas, nearest_rows
from tasks.problems.routing_costs import layer_costs
from tasks.problems.routing_live import served
from tasks.problems.routing_search import search_map, summed
from tasks.problems.routing_snapshot import domains_of_ranks, part_of_budget, said_of, transitions_of
from tasks.problems.routing_split import split
from tasks.problems.routing_start import canonical, carried, repaired, unserved
from tasks.problems.routing_state import Flags, Floats, Integers, Layout, Prices, Transitions, layout_of
from tasks.problems.routing_window import draft_window

Spins = npt.NDArray[np.int8]
Values = TypeVar("Values", Floats, Integers)


@dataclass(frozen=True, slots=True)
class RoutingWeights:
    """What crossings, moves and the worst case weigh against imbalance.

    Args:
        traffic: share of a layer's time lost if every token crosses a domain; an expert-parallel group that spans
            two domains was measured to cost about 16 % of a step, with half or more of its tokens crossing.
        move: share of one balanced layer's time, summed over the window, that moving a replica must save. About
            70 us of stop per replica against a window of 600 s of which a layer takes one percent.
        risk: share of the worst scenario in the imbalance of a layer; the rest is the expectation.
        uneven: an expert's tokens may be split unevenly over its replicas, by a linear programme after the search.
    """

    traffic: float = 0.2
    move: float = 1e-5
    risk: float = 0.25
    uneven: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.risk <= 1.0 or min(self.traffic, self.move) < 0.0:
            raise ValueError(f"expected a risk from 0 to 1 and weights of at least 0, got {self}")


@dataclass(frozen=True, slots=True, eq=False)
class ExpertMap:
    """The expert in each slot, ``(layers, slots)``; read-only, experts in the slots that they had where possible.

    Args:
        expert_of: the experts.
        shares: share of its expert's tokens that each slot takes, ``(layers, slots)``, 0 on a failed rank; None
            where they are split evenly over the replicas on live ranks.
    """

    expert_of: Integers
    shares: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Routing:
    """The routing noun of one deployment; see the module for what it costs.

    Args:
        deployment: its id.
        loads: tokens per expert that are expected, ``(layers, experts)``.
        last_loads: tokens per expert in the last window, for the figures, ``(layers, experts)``.
        in_force: expert in each slot, ``(layers, slots)``.
        domain: NVLink domain of each rank, numbered from 0, ``(ranks,)``.
        transitions: token flow between adjacent layers.
        budget: replicas that may be moved.
        weights: of crossings, moves, and the worst case.
        notes: what had to be assumed.
        scenarios: futures that the map is made for, ``(scenarios, layers, experts)``; None for ``loads`` alone.
        likelihood: of each scenario, adding up to 1, ``(scenarios,)``; None where they are equally likely.
        rank_speed: relative to a healthy rank, 0 for a failed one, ``(ranks,)``; None where all are healthy.
        expert_groups: groups of experts that should each stay in one domain, numbered group by group.
        shares: in force, ``(layers, slots)``, as in :class:`ExpertMap`.
        load_error: relative standard error of an expert's load that the scenarios do not show.

    Raises:
        ValueError: shapes do not agree, a transition leads beyond the last layer, an expert has no slot, or no rank
            is alive.
    """

    deployment: str
    loads: Floats
    last_loads: Floats
    in_force: Integers
    domain: Integers
    transitions: Transitions
    budget: int
    weights: RoutingWeights = RoutingWeights()
    notes: tuple[str, ...] = ()
    scenarios: Floats | None = None
    likelihood: Floats | None = None
    rank_speed: Floats | None = None
    expert_groups: int = 1
    shares: Floats | None = None
    load_error: float = 0.0
    layout: Layout = field(init=False, repr=False)  # all of the above as the kernel takes it, failed ranks left out
    live: Flags = field(init=False, repr=False)  # which slots are on a live rank, (slots,)

    def __post_init__(self) -> None:
        layers, slots = self.in_force.shape
        if self.loads.shape[0] != layers or self.last_loads.shape != self.loads.shape:
            raise ValueError(f"loads: expected ({layers}, experts), got {self.loads.shape}, {self.last_loads.shape}")
        scenarios = self.loads[None] if self.scenarios is None else self.scenarios
        if scenarios.ndim != 3 or not len(scenarios) or scenarios.shape[1:] != self.loads.shape:
            raise ValueError(f"scenarios: expected (scenarios, *{self.loads.shape}), got {scenarios.shape}")
        for name, tokens in (("loads", self.loads), ("scenarios", scenarios)):
            if not np.isfinite(tokens).all() or tokens.min(initial=0.0) < 0.0:
                raise ValueError(f"{name}: expected finite numbers of at least 0")
        likelihood = np.full(len(scenarios), 1.0 / len(scenarios)) if self.likelihood is None else self.likelihood
        if likelihood.shape != (len(scenarios),) or likelihood.min() < 0.0 or abs(likelihood.sum() - 1.0) > 1e-9:
            raise ValueError(f"likelihood: expected {len(scenarios)} shares that add up to 1, got {likelihood}")
        if self.domain.size == 0 or slots % self.domain.size:
            raise ValueError(f"in_force: expected slots that divide among {self.domain.size} ranks, got {slots}")
        if self.transitions.layer.size and self.transitions.layer.max() >= layers - 1:
            raise ValueError(f"transitions: expected layers below {layers - 1}, got {self.transitions.layer.max()}")
        experts = self.loads.shape[1]
        if any(set(row.tolist()) != set(range(experts)) for row in self.in_force):
            raise ValueError(f"in_force: expected each of {experts} experts in at least one slot of every layer")
        if experts % self.expert_groups:
            raise ValueError(f"expert_groups: expected a divisor of {experts} experts, got {self.expert_groups}")
        speed = np.ones(self.domain.size) if self.rank_speed is None else self.rank_speed
        if speed.shape != self.domain.shape or speed.min() < 0.0 or speed.max() <= 0.0:
            raise ValueError(f"rank_speed: expected {self.domain.size} of at least 0, one above 0, got {speed}")
        if self.shares is not None and self.shares.shape != self.in_force.shape:
            raise ValueError(f"shares: expected {self.in_force.shape}, got {self.shares.shape}")
        object.__setattr__(self, "live", np.repeat(speed > 0.0, slots // self.domain.size))
        if not 0.0 <= self.load_error < np.inf:
            raise ValueError(f"load_error: expected a finite share of at least 0, got {self.load_error}")
        prices = Prices(self.weights.move, self.weights.traffic, self.weights.risk, self.load_error)
        object.__setattr__(self, "layout", self._laid_out(scenarios, likelihood, prices, self.expert_groups))

    @classmethod
    def from_snapshot(
        cls,
        snapshot: Snapshot,
        deployment_id: str,
        loads: Floats | None = None,
        weights: RoutingWeights | None = None,
        scenarios: Floats | None = None,
        likelihood: Floats | None = None,
        load_error: float = 0.0,
    ) -> "Routing":
        """Return the problem that one deployment of ``snapshot`` poses.

        Args:
            snapshot: the cluster's state.
            deployment_id: which deployment.
            loads: forecast tokens per expert, ``(layers, experts)``; None takes the last window.
            weights: of crossings, moves, and the worst case; shares that are in force are always kept up, since they
                would not fit another map.
            scenarios: futures to be made for, ``(scenarios, layers, experts)``; None takes ``loads`` alone.
            likelihood: of each scenario, ``(scenarios,)``; None where they are equally likely.
            load_error: relative standard error of an expert's load that the scenarios do not show.

        Raises:
            ValueError: the snapshot has no such deployment, or the forecast has another shape.
        """
        deployment = next((each for each in snapshot.deployments if each.id == deployment_id), None)
        if deployment is None:
            raise ValueError(f"expected a deployment of the snapshot, got {deployment_id}")
        last = np.array(deployment.loads[-1], dtype=np.float64)
        domain, notes = domains_of_ranks(snapshot, deployment)
        budget, shared = part_of_budget(snapshot, deployment)
        weights = weights or RoutingWeights()
        posed = cls(
            deployment=deployment_id,
            loads=last if loads is None else np.array(loads, dtype=np.float64),
            last_loads=last,
            in_force=_frozen(np.array(deployment.placement, dtype=np.int64)),
            domain=domain,
            transitions=transitions_of(deployment),
            budget=budget,
            weights=replace(weights, uneven=weights.uneven or bool(deployment.shares)),
            scenarios=scenarios,
            likelihood=likelihood,
            load_error=load_error,
            rank_speed=np.array(deployment.rank_speed, dtype=np.float64) if deployment.rank_speed else None,
            expert_groups=deployment.expert_groups,
            shares=_frozen(np.array(deployment.shares, dtype=np.float64)) if deployment.shares else None,
        )
        return replace(posed, notes=(*notes, *shared, *said_of(deployment, posed.layout, domain, budget)))

    @property
    def name(self) -> str:
        """How reports call it."""
        return f"routing:{self.deployment}"

    def incumbent(self) -> ExpertMap:
        """Return the map in force."""
        return ExpertMap(_frozen(self.in_force.copy()), self.shares)

    def cost(self, decision: ExpertMap) -> float:
        """Return the exact cost; see the module."""
        placement, shares = self._served(decision)
        terms = layer_costs(self.layout, placement, shares)
        return summed(self.layout, terms) + self._penalty * len(unserved(placement, self.loads.shape[1]))

    def bound(self) -> float:
        """Return a proven lower bound; see :mod:`tasks.problems.routing_bound`."""
        return lower_bound(self.layout, self.budget, self.weights.uneven)

    def search(self, decision: ExpertMap, evaluations: int, rng: np.random.Generator) -> Found[ExpertMap]:
        """Serve every expert, descend, deal out the budget, anneal, split; see ``tasks.problems.routing_search``."""
        experts = self.loads.shape[1]
        at, used, accepted = np.ascontiguousarray(decision.expert_of[:, self.live]), 0, 0
        if len(unserved(at, experts)):
            at = repaired(at, self.layout.mean_loads, self.layout.in_force, self.layout.per_rank, self.budget)
        if not len(unserved(at, experts)):
            at, used, accepted = search_map(self.layout, at, self.budget, evaluations, rng)
        better = self._whole(at, None)
        if self.weights.uneven and not len(unserved(at, experts)):
            better = self._whole(at, split(self.layout, at))
        if self.cost(better) < self.cost(decision):
            return Found(better, used, max(1, accepted))
        return Found(decision, used, 0)

    def window(self, decision: ExpertMap, size: int, rng: np.random.Generator) -> Window[ExpertMap]:
        """Return the window of the best of many drawn changes in a few layers that lose much, with some chance.

        It is empty while an expert is not served: the search must see to that first.
        """
        placement, shares = self._served(decision)
        if len(unserved(placement, self.loads.shape[1])):
            size = 0
        drafted = draft_window(self.layout, placement, shares, self.budget, size, rng)
        uneven = decision.shares is not None

        def sew(string: Spins) -> ExpertMap:
            draft = drafted.sew(string)
            return self._whole(draft.expert_of, draft.shares if uneven else None)

        return Window(drafted.ising, sew)

    def carried(self, actions: tuple[Action, ...]) -> ExpertMap:
        """Return the map that an earlier plan means, as far as it still fits; shares are split for today's loads."""
        experts, per_rank = self.loads.shape[1], self.in_force.shape[1] // self.domain.size
        rows = carried_map(actions, self.deployment, self.in_force, self.live, experts, per_rank, self.budget)
        if np.array_equal(rows, self.in_force):
            return self.incumbent()
        at = np.ascontiguousarray(rows[:, self.live])
        uneven = self.weights.uneven and not len(unserved(at, experts))
        return self._whole(at, split(self.layout, at) if uneven else None)

    def nearer(self, decision: ExpertMap, last: ExpertMap, allowance: float) -> ExpertMap:
        """Return ``decision`` with layers of ``last`` where that costs no more than ``allowance`` in all.

        With uneven shares each layer would have to be split anew to be priced: ``decision`` stays then.
        """
        if decision.shares is not None:
            return decision

        def allowed(rows: Integers) -> bool:
            at = np.ascontiguousarray(rows[:, self.live])
            return moved_replicas(at, self.layout.in_force, self.layout.per_rank) <= self.budget

        def priced(rows: Integers) -> float:
            return self.cost(ExpertMap(rows))

        rows = nearest_rows(decision.expert_of, last.expert_of, allowance, priced, allowed)
        return self._whole(np.ascontiguousarray(rows[:, self.live]), None)

    def actions(self, decision: ExpertMap) -> tuple[Action, ...]:
        """Return one action per changed layer; the gains, each after the layers before it, add up to the whole."""
        now = self.incumbent()
        before, after = (Side(each.expert_of, each.shares, *self._served(each)) for each in (now, decision))
        return expert_actions(self.deployment, self.layout, self.live, before, after, self._penalty)

    def figures(self, decision: ExpertMap) -> tuple[Figure, ...]:
        """Return balancedness on the last window, the share of tokens that cross a domain, and the moved replicas.

        Where the speed of ranks is stated, also the experts, over layers, that no live rank serves.
        """
        layers = self.in_force.shape[0]
        plain = self._laid_out(self.last_loads[None], np.ones(1), Prices(0.0, 1.0 / layers), 1)
        placement, shares = self._served(decision)
        terms = layer_costs(plain, placement, shares)
        family = f"routing.{self.deployment}"
        speed = 1.0 / self.layout.slowness
        ratio = balancedness(self.last_loads, placement, speed.size, shares, speed)
        figures = (
            Figure(f"{family}.balancedness", "ratio", ratio, "higher"),
            Figure(f"{family}.crossing_share", "share", float(terms[2].sum()), "lower"),
            Figure(f"{family}.moved_replicas", "replicas", float(terms[1].sum()), "lower"),
        )
        if self.rank_speed is None:
            return figures
        missing = float(len(unserved(placement, self.loads.shape[1])))
        return (*figures, Figure(f"{family}.unserved_experts", "experts", missing, "lower"))

    @property
    def _penalty(self) -> float:
        """Cost of an expert that is not served: above all that the rest of any map can cost."""
        layers, slots = self.layout.in_force.shape
        longest = self.layout.domain.size * float(self.layout.slowness.max() / self.layout.slowness.min())
        longest *= 1.0 + 2.0 * self.load_error
        return float(1.0 + layers * (longest + 2.0 * self.weights.traffic + self.weights.move * slots))

    def _laid_out(self, scenarios: Floats, likelihood: Floats, prices: Prices, groups: int) -> Layout:
        """Return the layout of the live ranks; NVLink domains without any are left out."""
        ranks = self.live.reshape(self.domain.size, -1).any(axis=1)
        return layout_of(
            scenarios,
            likelihood,
            np.ascontiguousarray(self.in_force[:, self.live]),
            np.unique(self.domain[ranks], return_inverse=True)[1].astype(np.int64),
            np.ones(ranks.sum()) if self.rank_speed is None else self.rank_speed[ranks],
            self.transitions,
            prices,
            groups,
        )

    def _served(self, decision: ExpertMap) -> tuple[Integers, Floats]:
        """Return the experts of the slots on live ranks, and their shares, each ``(layers, live slots)``."""
        return served(decision.expert_of, decision.shares, self.live, self.loads.shape[1])

    def _whole(self, placement: Integers, shares: Floats | None) -> ExpertMap:
        """Return the decision with these experts and shares on the live ranks, in canonical order."""
        ranks = self.layout.domain.size
        ordered = canonical(placement, self.layout.in_force, ranks)
        whole = self.in_force.copy()
        whole[:, self.live] = ordered
        if shares is None:
            return ExpertMap(_frozen(whole))
        split_over = np.zeros(whole.shape)
        split_over[:, self.live] = carried(shares, placement, ordered, ranks)
        return ExpertMap(_frozen(whole), _frozen(split_over))


def _frozen(array: Values) -> Values:
    array.flags.writeable = False
    return array
