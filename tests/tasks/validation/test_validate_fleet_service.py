"""Facts about the validator's proof of service: it agrees with the definition written out, flow by flow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from data.schemas.fleet import FleetLimits
from tasks.fleet.model import fleet_model
from tasks.fleet.service import serve
from tasks.validation.fleet_service import ServiceProof
from tasks.validation.fleet_tables import FleetTables, Floats, fleet_tables
from tests.tasks.fleet.tiny import tiny


def missing(tables: FleetTables, capacity: Floats) -> float:
    """Return the least demand that stays unserved, with a variable for every flow."""
    zones, regions = tables.allowed.shape
    pairs = [(zone, region) for zone in range(zones) for region in range(regions)]
    most_late = tables.fleet.limits.late_share * float(tables.demand.sum())
    rows = [[float(pair[0] == zone) for pair in pairs] for zone in range(zones)]
    rows += [[float(pair[1] == region) for pair in pairs] for region in range(regions)]
    rows += [[float(not tables.near[pair]) for pair in pairs]]
    bounds = [(0.0, None if tables.allowed[pair] else 0.0) for pair in pairs]
    limits = np.concatenate([tables.demand, capacity, [most_late]])
    found = linprog(-np.ones(len(pairs)), A_ub=np.array(rows), b_ub=limits, bounds=bounds)
    return float(tables.demand.sum()) + float(found.fun)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    late_share=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    latency_ms=st.floats(30.0, 160.0),
    scale=st.floats(0.2, 3.0),
)
def test_what_is_missing_is_what_the_definition_says(
    seed: int, late_share: float, latency_ms: float, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    fleet = tiny(rng, FleetLimits(late_share=late_share, latency_ms=latency_ms))
    tables, model = fleet_tables(fleet), fleet_model(fleet)
    demand = float(tables.demand.sum())
    proof = ServiceProof(tables)
    for _ in range(2):
        capacity = scale * demand * rng.dirichlet(np.ones(3))
        wanted = missing(tables, capacity)
        assert proof.missing(capacity) == pytest.approx(wanted, abs=2e-6 * demand)
        if wanted > 1e-4 * demand or wanted < 1e-9 * demand:
            assert (serve(model, capacity).cut is not None) == (wanted > 1e-4 * demand)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_enough_is_an_upper_bound_of_what_is_missing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fleet = tiny(rng, FleetLimits(late_share=0.05, latency_ms=100.0))
    tables = fleet_tables(fleet)
    demand = float(tables.demand.sum())
    proof = ServiceProof(tables)
    known = [demand * rng.dirichlet(np.ones(3)) * rng.uniform(0.6, 1.6) for _ in range(2)]
    enough = max(proof.missing(capacity) for capacity in known)
    for _ in range(3):
        share = rng.uniform()
        capacity = (share * known[0] + (1 - share) * known[1]) * rng.uniform(0.9, 1.3)
        told = proof.missing(capacity, enough)
        assert told >= missing(tables, capacity) - 2e-6 * demand
        assert told <= max(enough, missing(tables, capacity)) + 2e-6 * demand
