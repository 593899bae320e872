"""How is it known, mostly without a flow, whether users can be served? By what earlier answers prove.

A flow proves that every fleet with at least the capacities that it uses can serve; a cut proves that no fleet which
falls short of it can. Only where neither of those at hand decides is a flow looked for, and it leaves one or the other.
So answers do not depend on what was asked before, only their speed does.
"""

import numpy as np

from tasks.fleet.model import FleetModel, Floats
from tasks.problems.fleet_flow import TOLERANCE, cheapest_flow, cut_need, network_of

KEPT = 256
"""Proofs of each kind that are remembered; the oldest is forgotten first."""


class Service:
    """Answers whether capacities can serve. Mutable, but only by what it remembers."""

    def __init__(self, model: FleetModel) -> None:
        self.network = network_of(model)
        self.slack = TOLERANCE * max(1.0, self.network.total)
        regions = len(model.fleet.regions)
        self.weight: Floats = np.zeros((0, regions))
        self.need: Floats = np.zeros(0)
        self.used: Floats = np.zeros((0, regions))
        self.asked = 0
        self.flows = 0

    def __call__(self, capacity: Floats) -> bool:
        """Tell whether regions of ``capacity``, ``(regions,)``, can serve all users in time."""
        self.asked += 1
        if (self.weight @ capacity < self.need - self.slack).any():
            return False
        if (self.used <= capacity).all(axis=1).any():
            return True
        return self.cut(capacity) is None

    def cut(self, capacity: Floats) -> tuple[Floats, float] | None:
        """Return weights of regions, ``(regions,)``, and what they must come to, where ``capacity`` does not; or None.

        Always by a new flow.
        """
        self.flows += 1
        flow = cheapest_flow(self.network, capacity, self.slack)
        if flow.missing <= self.slack and not flow.counts_late:
            self.used = np.concatenate([self.used, flow.used[None]])[-KEPT:]
            return None
        need = float(cut_need(self.network, flow.weight, flow.counts_late))
        self.weight = np.concatenate([self.weight, flow.weight[None]])[-KEPT:]
        self.need = np.append(self.need, need)[-KEPT:]
        return flow.weight, need
