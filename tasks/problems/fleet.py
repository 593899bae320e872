"""Which nodes of which offers shall be rented, beginning with those that are, or with what a programme found?

The decision is the nodes of each offer, its cost that of :class:`tasks.fleet.model.FleetModel`, and every decision that
is returned keeps all limits of :class:`data.schemas.fleet.FleetLimits`, the service of users included, which a flow
proves. The programme (:mod:`tasks.fleet.programme`) is the method of first choice: within its gap there is little to be
found. The search and the windows stand beside it, and in for it where it ends without an answer.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from data.schemas.plan import Action
from tasks.fleet.feasible import broken_limits
from tasks.fleet.model import FleetModel, Integers
from tasks.problems.fleet_anneal import anneal
from tasks.problems.fleet_bound import capacity_bound
from tasks.problems.fleet_flow import Network, cheapest_flow
from tasks.problems.fleet_moves import Change, promising
from tasks.problems.fleet_proposals import Choices, choices_of
from tasks.problems.fleet_service import Service
from tasks.problems.fleet_start import start_of
from tasks.problems.fleet_state import Rules, keeps, rules_of
from tasks.problems.moves import fusion_window
from tasks.problems.protocol import Figure, Found, Window

HOT, COLD = (5.0, 0.5, 0.02), 2e-4
"""First temperature of each of a few runs, each from the best of the last, and the last temperature: in units of the
median price of a node."""


@dataclass(frozen=True, slots=True, eq=False)
class Rented:
    """Nodes of each offer, ``(offers,)`` int64; read-only.

    Raises:
        ValueError: the shape is another.
    """

    nodes: Integers

    def __post_init__(self) -> None:
        if self.nodes.ndim != 1:
            raise ValueError(f"nodes: expected shape (offers,), got {self.nodes.shape}")
        self.nodes.setflags(write=False)


@dataclass(frozen=True, slots=True, eq=False)
class FleetProblem:
    """The noun of fleets: the unit of its cost is a US dollar per hour.

    A decision is no action on a cluster: it is written as a fleet plan (:mod:`tasks.fleet.plan`).

    Args:
        model: of the fleet.
        in_force: nodes to begin with, which keep all limits.
        known_bound: a lower bound that something else proved.
        notes: what was assumed.

    Raises:
        ValueError: the nodes to begin with are of another shape, or break a limit.
    """

    model: FleetModel
    in_force: Rented
    known_bound: float = -math.inf
    name: str = "fleet"
    notes: tuple[str, ...] = ()
    rules: Rules = field(init=False, repr=False)
    choices: Choices = field(init=False, repr=False)
    service: Service = field(init=False, repr=False)

    def __post_init__(self) -> None:
        nodes, offers = self.in_force.nodes, self.model.capacity.size
        if nodes.shape != (offers,):
            raise ValueError(f"in_force: expected shape ({offers},), got {nodes.shape}")
        rules = rules_of(self.model)
        object.__setattr__(self, "rules", rules)
        object.__setattr__(self, "choices", choices_of(rules))
        object.__setattr__(self, "service", Service(self.model))
        if not self.feasible(nodes) and (broken := broken_limits(self.model, nodes)):
            raise ValueError(f"in_force: expected nodes that keep all limits, got {broken[0]}")

    @classmethod
    def from_model(cls, model: FleetModel) -> "FleetProblem":
        """Return the problem that begins with what is held, or with what mends it; a note says which.

        Raises:
            ValueError: neither does, nor what is bought cheapest from nothing.
        """
        start = start_of(model)
        if start is None:
            raise ValueError(
                f"fleet {model.fleet.name}: neither what is held nor what purchases make of it keeps all limits"
            )
        return cls(model, Rented(start.nodes), notes=start.notes)

    def incumbent(self) -> Rented:
        """Return the nodes to begin with."""
        return self.in_force

    def cost(self, decision: Rented) -> float:
        """Return the cost per hour: rent, the regions that are used, and the changes spread over time."""
        return self.model.cost_usd_per_h(decision.nodes)

    def feasible(self, nodes: Integers) -> bool:
        """Tell whether ``nodes``, ``(offers,)``, keep all limits, exactly."""
        if (nodes < 0).any() or (nodes > self.rules.quota).any() or not keeps(self.rules, nodes):
            return False
        return self.service(self.model.region_capacity(nodes))

    def bound(self) -> float:
        """Return the greater of the cheapest capacity's cost and the bound that is known."""
        return max(capacity_bound(self.model), self.known_bound)

    def search(self, decision: Rented, evaluations: int, rng: np.random.Generator) -> Found[Rented]:
        """Anneal from ``decision``, hot, warm and cold."""
        best, lowest, accepted = decision, self.cost(decision), 0
        if evaluations < 1 or not self.model.capacity.size:
            return Found(best, 0, 0)
        unit = float(np.median(self.model.usd_per_h)) or 1.0
        for hot in HOT:
            nodes, improved, _ = anneal(
                best.nodes,
                self.rules,
                self.choices,
                self.network,
                evaluations // len(HOT),
                hot * unit,
                COLD * unit,
                rng,
            )
            found = Rented(nodes)
            if self.cost(found) < lowest and self.feasible(nodes):
                best, lowest, accepted = found, self.cost(found), accepted + improved
        return Found(best, evaluations, accepted)

    def window(self, decision: Rented, size: int, rng: np.random.Generator) -> Window[Rented]:
        """Return a window of additions, shifts between offers, closed regions, and nodes that are given back."""
        self.service(self.model.region_capacity(decision.nodes))  # whose flow proves whatever only adds
        changes = promising(decision.nodes, self.rules, self.choices, size, rng) if self.model.capacity.size else []
        return fusion_window(decision, changes, self._apply, self.cost)

    def actions(self, decision: Rented) -> tuple[Action, ...]:  # noqa: ARG002 -- a fleet has a plan of its own
        """Return nothing: a fleet's changes are written by :func:`tasks.fleet.plan.assemble_fleet_plan`."""
        return ()

    def figures(self, decision: Rented) -> tuple[Figure, ...]:
        """Return what an operator reads."""
        model, nodes = self.model, decision.nodes
        capacity = model.region_capacity(nodes)
        total, demand = float(capacity.sum()), float(model.demand.sum()) or 1.0
        flow = cheapest_flow(self.network, capacity, self.rules.slack)
        spot = float((model.capacity * nodes)[model.spot].sum())
        return (
            Figure("fleet.usd_per_h", "USD/h", self.cost(decision), "lower"),
            Figure("fleet.nodes", "nodes", float(nodes.sum()), "lower"),
            Figure("fleet.regions", "regions", float(np.unique(model.region[nodes > 0]).size), "lower"),
            Figure("fleet.near_share", "share of demand", 1.0 - float(flow.late) / demand, "higher"),
            Figure("fleet.spare", "of demand", total / demand - 1.0, "higher"),
            Figure("fleet.spot_share", "share of capacity", spot / total if total else 0.0, "lower"),
            Figure("fleet.carbon_kg_per_h", "kg/h", float(model.carbon_kg_per_h @ nodes), "lower"),
            Figure("fleet.changed_nodes", "nodes", float(np.abs(nodes - model.held).sum()), "lower"),
        )

    @property
    def network(self) -> Network:
        """Users, regions and the ways between them."""
        return self.service.network

    def _apply(self, decision: Rented, change: Change) -> Rented | None:
        """Make a change, or return None where a limit is in the way."""
        nodes = decision.nodes.copy()
        np.add.at(nodes, list(change.offers), change.counts)
        return Rented(nodes) if self.feasible(nodes) else None
