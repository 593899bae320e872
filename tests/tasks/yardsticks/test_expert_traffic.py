"""Do the traffic yardsticks keep as many experts in each domain, and do they find what is there to be found?"""

from itertools import pairwise

import numpy as np
import pytest

from tasks.problems.routing import Routing, RoutingWeights
from tasks.problems.routing_state import Transitions
from tasks.yardsticks.eplb import Eplb
from tasks.yardsticks.expert_traffic import alternating, at_home, co_activated, crossing_share, partitioned

DOMAIN = np.array([0, 0, 1, 1])


def clustered(rng, layers=3, experts=12, domains=2):
    """Return flows that stay in hidden clusters, a tenth of the tokens apart."""
    hidden = [rng.permutation(np.arange(experts) % domains) for _ in range(layers)]
    near = [np.where(here[:, None] == there, 9.0, 1.0) for here, there in pairwise(hidden)]
    flows = [rng.random((experts, experts)) * each for each in near]
    return np.array(flows), np.array(hidden)


def test_the_share_is_what_the_noun_counts(rng):
    tokens, _ = clustered(rng)
    loads = rng.lognormal(size=(3, 12))
    placement = Eplb(4, 16)(loads)
    layer, source, target = np.nonzero(tokens)
    flow = Transitions(layer, source, target, tokens[layer, source, target])
    problem = Routing("d", loads, loads, placement, DOMAIN, flow, 0, RoutingWeights(traffic=1.0))
    share = next(each.value for each in problem.figures(problem.incumbent()) if each.name.endswith("crossing_share"))
    assert crossing_share(tokens, placement, DOMAIN) == pytest.approx(share)
    assert crossing_share(np.zeros_like(tokens), placement, DOMAIN) == 0.0


def test_a_token_stays_where_its_next_expert_has_a_replica():
    tokens = np.zeros((1, 2, 2))
    tokens[0, 0, 1] = 4.0
    domain = np.array([0, 1])
    assert crossing_share(tokens, np.array([[0, 1], [1, 0]]), domain) == 0.0
    assert crossing_share(tokens, np.array([[0, 1], [0, 1]]), domain) == 1.0
    assert crossing_share(tokens, np.array([[0, 1, 0, 1], [1, 0, 0, 0]]), domain) == 0.5


@pytest.mark.parametrize("method", ["alternating", "partitioned"])
def test_hidden_clusters_are_found_and_each_domain_holds_as_many(rng, method):
    if method == "partitioned":
        pytest.importorskip("pymetis")
    tokens, hidden = clustered(rng)
    home = alternating(tokens, 2, rng) if method == "alternating" else partitioned(tokens, 2, 1)
    assert all(np.bincount(row).tolist() == [6, 6] for row in home)
    loads = rng.lognormal(size=(3, 12))
    ideal = crossing_share(tokens, at_home(loads, hidden, DOMAIN), DOMAIN)
    assert crossing_share(tokens, at_home(loads, home, DOMAIN), DOMAIN) <= ideal + 0.02


def test_experts_that_do_not_divide_are_refused(rng):
    with pytest.raises(ValueError, match="divisor of 12"):
        alternating(np.zeros((1, 12, 12)), 5, rng)


def test_load_and_co_activation_are_traded(rng):
    tokens, _ = clustered(rng)
    loads = rng.lognormal(size=(3, 12))
    by_load, by_traffic = (co_activated(loads, tokens, DOMAIN, 16, alpha) for alpha in (1.0, 0.05))
    for placement in (by_load, by_traffic):
        assert all(set(row) == set(range(12)) for row in placement.tolist())
    assert crossing_share(tokens, by_traffic, DOMAIN) < crossing_share(tokens, by_load, DOMAIN)
