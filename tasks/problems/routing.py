"""Which expert shall each physical slot of a mixture-of-experts model hold?

The decision is the expert in each slot of each layer. An expert's tokens are split evenly over its replicas. The
cost is counted in layers' worth of time lost, one being what a perfectly balanced layer takes:

- *imbalance*: the sum over layers of (largest load of a rank / mean load of a rank - 1); a rank waits for the fullest;
- *crossings*: ``traffic_weight * layers *`` the share of tokens that go to another NVLink domain between two layers;
  a token in a domain with a replica of its next expert stays there;
- *moves*: ``move_weight *`` the replicas that a rank must load (a rank that reorders its own slots loads none).

Every expert keeps a replica in every layer, and a migration budget bounds the replicas that are moved.
"""

from dataclasses import dataclass, field

import numpy as np

from data.schemas.cluster import Snapshot
from data.schemas.plan import Action, MoveReplicas
from data.schemas.routing import ExpertDeployment
from tasks.problems.protocol import Figure, Found, Window
from tasks.problems.routing_bound import lower_bound
from tasks.problems.routing_kernel import layer_costs
from tasks.problems.routing_search import search_map, summed
from tasks.problems.routing_start import canonical
from tasks.problems.routing_state import Floats, Integers, Layout, Transitions, layout_of
from tasks.problems.routing_window import draft_window, refreshed


@dataclass(frozen=True, slots=True)
class RoutingWeights:
    """What crossings and moves weigh against imbalance.

    Args:
        traffic: share of a layer's time lost if every token crosses a domain; an expert-parallel group that spans
            two domains was measured to cost about 16 % of a step, with half or more of its tokens crossing.
        move: share of one balanced layer's time, summed over the window, that moving a replica must save. About
            70 us of stop per replica against a window of 600 s of which a layer takes one percent.
    """

    traffic: float = 0.2
    move: float = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class ExpertMap:
    """The expert in each slot, ``(layers, slots)``; read-only, experts in the slots that they had where possible."""

    expert_of: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Routing:
    """The routing noun of one deployment; see the module for what it costs.

    Args:
        deployment: its id.
        loads: tokens per expert that the map is made for, ``(layers, experts)``.
        last_loads: tokens per expert in the last window, for the figures, ``(layers, experts)``.
        in_force: expert in each slot, ``(layers, slots)``.
        domain: NVLink domain of each rank, numbered from 0, ``(ranks,)``.
        transitions: token flow between adjacent layers.
        budget: replicas that may be moved.
        weights: of crossings and moves.
        notes: what had to be assumed.

    Raises:
        ValueError: shapes do not agree, a transition leads beyond the last layer, or an expert has no slot.
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
    layout: Layout = field(init=False, repr=False)  # all of the above as the kernel takes it

    def __post_init__(self) -> None:
        layers, slots = self.in_force.shape
        if self.loads.shape[0] != layers or self.last_loads.shape != self.loads.shape:
            raise ValueError(f"loads: expected ({layers}, experts), got {self.loads.shape}, {self.last_loads.shape}")
        if not np.isfinite(self.loads).all() or self.loads.min(initial=0.0) < 0.0:
            raise ValueError("loads: expected finite numbers of at least 0")
        if self.domain.size == 0 or slots % self.domain.size:
            raise ValueError(f"in_force: expected slots that divide among {self.domain.size} ranks, got {slots}")
        if self.transitions.layer.size and self.transitions.layer.max() >= layers - 1:
            raise ValueError(f"transitions: expected layers below {layers - 1}, got {self.transitions.layer.max()}")
        experts = self.loads.shape[1]
        if any(set(row.tolist()) != set(range(experts)) for row in self.in_force):
            raise ValueError(f"in_force: expected each of {experts} experts in at least one slot of every layer")

        layout = layout_of(
            self.loads, self.in_force, self.domain, self.transitions, self.weights.move, self.weights.traffic
        )
        object.__setattr__(self, "layout", layout)

    @classmethod
    def from_snapshot(
        cls,
        snapshot: Snapshot,
        deployment_id: str,
        loads: Floats | None = None,
        weights: RoutingWeights | None = None,
    ) -> "Routing":
        """Return the problem that one deployment of ``snapshot`` poses.

        Args:
            snapshot: the cluster's state.
            deployment_id: which deployment.
            loads: forecast tokens per expert, ``(layers, experts)``; None takes the last window.
            weights: of crossings and moves.

        Raises:
            ValueError: the snapshot has no such deployment, or the forecast has another shape.
        """
        deployment = next((each for each in snapshot.deployments if each.id == deployment_id), None)
        if deployment is None:
            raise ValueError(f"expected a deployment of the snapshot, got {deployment_id}")
        last = np.array(deployment.loads[-1], dtype=np.float64)
        domain, notes = _domains(snapshot, deployment)
        share, shared = _budget(snapshot, deployment)
        steps = deployment.transitions
        return cls(
            deployment=deployment_id,
            loads=last if loads is None else np.array(loads, dtype=np.float64),
            last_loads=last,
            in_force=_frozen(np.array(deployment.placement, dtype=np.int64)).expert_of,
            domain=domain,
            transitions=Transitions(
                layer=np.array([step.layer for step in steps], dtype=np.int64),
                source=np.array([step.source for step in steps], dtype=np.int64),
                target=np.array([step.target for step in steps], dtype=np.int64),
                tokens=np.array([step.tokens for step in steps], dtype=np.float64),
            ),
            budget=share,
            weights=weights or RoutingWeights(),
            notes=(*notes, *shared),
        )

    @property
    def name(self) -> str:
        """How reports call it."""
        return f"routing:{self.deployment}"

    def incumbent(self) -> ExpertMap:
        """Return the map in force."""
        return _frozen(self.in_force.copy())

    def cost(self, decision: ExpertMap) -> float:
        """Return the exact cost; see the module."""
        return summed(self.layout, layer_costs(self.layout, decision.expert_of))

    def bound(self) -> float:
        """Return a proven lower bound; see :mod:`tasks.problems.routing_bound`."""
        return lower_bound(self.layout, self.budget)

    def search(self, decision: ExpertMap, evaluations: int, rng: np.random.Generator) -> Found[ExpertMap]:
        """Descend, deal out the budget, anneal; see :mod:`tasks.problems.routing_search`."""
        found, used, accepted = search_map(self.layout, decision.expert_of, self.budget, evaluations, rng)
        better = self._canonical(found)
        if self.cost(better) < self.cost(decision):
            return Found(better, used, accepted)
        return Found(decision, used, 0)

    def window(self, decision: ExpertMap, size: int, rng: np.random.Generator) -> Window[ExpertMap]:
        """Return the window of the best of many drawn changes in a few layers that lose much, with some chance."""
        drafted = draft_window(self.layout, decision.expert_of, self.budget, size, rng)
        return Window(drafted.ising, lambda string: self._canonical(drafted.sew(string).expert_of))

    def actions(self, decision: ExpertMap) -> tuple[Action, ...]:
        """Return one action per changed layer; the gains, each after the layers before it, add up to the whole."""
        terms = layer_costs(self.layout, self.in_force)
        at = self.in_force.copy()
        actions: list[Action] = []
        for layer in np.flatnonzero((decision.expert_of != self.in_force).any(axis=1)).tolist():
            slots = np.flatnonzero(decision.expert_of[layer] != self.in_force[layer])
            at[layer] = decision.expert_of[layer]
            after = refreshed(self.layout, at, terms, layer)
            actions.append(
                MoveReplicas(
                    deployment=self.deployment,
                    layer=layer,
                    slots=tuple(slots.tolist()),
                    before=tuple(self.in_force[layer, slots].tolist()),
                    after=tuple(decision.expert_of[layer, slots].tolist()),
                    reason=_reason(terms, after, layer),
                    gain=round(summed(self.layout, terms) - summed(self.layout, after), 12),
                )
            )
            terms = after
        return tuple(actions)

    def figures(self, decision: ExpertMap) -> tuple[Figure, ...]:
        """Return balancedness on the last window, the share of tokens that cross a domain, and the moved replicas."""
        layers = self.in_force.shape[0]
        plain = layout_of(self.last_loads, self.in_force, self.domain, self.transitions, 0.0, 1.0 / layers)
        terms = layer_costs(plain, decision.expert_of)
        family = f"routing.{self.deployment}"
        ratio = balancedness(self.last_loads, decision.expert_of, self.domain.size)
        return (
            Figure(f"{family}.balancedness", "ratio", ratio, "higher"),
            Figure(f"{family}.crossing_share", "share", float(terms[2].sum()), "lower"),
            Figure(f"{family}.moved_replicas", "replicas", float(terms[1].sum()), "lower"),
        )

    def _canonical(self, expert_of: Integers) -> ExpertMap:
        return _frozen(canonical(expert_of, self.in_force, self.domain.size))


def balancedness(loads: Floats, placement: Integers, ranks: int) -> float:
    """Return the sum over layers of the mean load of a rank / the sum over layers of the largest; 1 without load.

    Args:
        loads: tokens per expert, ``(layers, experts)``.
        placement: expert in each slot, ``(layers, slots)``; each expert's tokens are split evenly over its slots.
        ranks: rank ``r`` holds slots ``r * slots / ranks ...``.
    """
    mean = largest = 0.0
    for load, row in zip(loads, placement, strict=True):
        share = load / np.maximum(np.bincount(row, minlength=load.size), 1)
        held = share[row].reshape(ranks, -1).sum(axis=1)
        mean += float(held.mean())
        largest += float(held.max())
    return mean / largest if largest > 0.0 else 1.0


def _reason(before: Floats, after: Floats, layer: int) -> str:
    moved = int(after[1, layer])
    said = (
        f"fullest rank {1 + after[0, layer]:.3f} x the mean load instead of {1 + before[0, layer]:.3f} x, "
        f"for {moved} replica{'s' * (moved != 1)} moved"
    )
    crossings = float(before[2].sum() - after[2].sum())
    if abs(crossings) > 1e-9:
        said += f"; crossings cost {abs(crossings):.4f} {'less' if crossings > 0 else 'more'}"
    return said


def _frozen(expert_of: Integers) -> ExpertMap:
    expert_of.flags.writeable = False
    return ExpertMap(expert_of)


def _domains(snapshot: Snapshot, deployment: ExpertDeployment) -> tuple[Integers, tuple[str, ...]]:
    """Return the NVLink domain of each rank, ``(ranks,)``, and what had to be assumed."""
    domain_of = {node.id: node.nvlink_domain for node in snapshot.nodes}
    job = next((each for each in snapshot.jobs if each.id == deployment.job), None)
    names = [domain_of[worker.node] for worker in job.placement for _ in worker.gpus] if job else []
    if len(names) < deployment.ranks:
        note = f"{deployment.id}: its job holds no GPUs, so its ranks are taken to share one NVLink domain"
        return np.zeros(deployment.ranks, dtype=np.int64), (note,)
    _, codes = np.unique(np.array(names[: deployment.ranks]), return_inverse=True)
    return codes.astype(np.int64), ()


def _budget(snapshot: Snapshot, deployment: ExpertDeployment) -> tuple[int, tuple[str, ...]]:
    """Return the deployment's part of the migration budget: by slots, rounded so that the parts add up."""
    whole = snapshot.limits.migration_budget_replicas
    sizes = [each.layers * each.slots for each in snapshot.deployments]
    position = snapshot.deployments.index(deployment)
    below, upto = (whole * sum(sizes[:end]) // sum(sizes) for end in (position, position + 1))
    if len(sizes) == 1:
        return whole, ()
    note = f"{deployment.id}: may move {upto - below} of {whole} replicas, its part of the budget by slots"
    return upto - below, (note,)
