"""How are the experts of a generated mixture-of-experts model loaded, and where do they live?"""

import numpy as np
from numpy.typing import NDArray

from data.generators.fitted import AFFINITY_SIGMA, EXPERT_SKEW, TOKENS_PER_REQUEST, VOLUME_VARIATION
from data.generators.marginals import ExpertSkew
from data.schemas.routing import ExpertDeployment, Transition

Values = NDArray[np.float64]


def relative_loads(windows: int, layers: int, experts: int, skew: ExpertSkew, rng: np.random.Generator) -> Values:
    """Return loads relative to their layer's mean, ``(windows, layers, experts)``, oldest window first.

    Log loads are normal with a standard deviation of the layer's own, and follow a stationary first-order
    autoregression from window to window.
    """
    sigma = skew.sigma_median * np.exp(skew.sigma_spread * rng.standard_normal(layers))
    score = np.empty((windows, layers, experts))
    score[0] = rng.standard_normal((layers, experts))
    for window in range(1, windows):
        fresh = rng.standard_normal((layers, experts))
        score[window] = skew.drift * score[window - 1] + np.sqrt(1.0 - skew.drift**2) * fresh
    loads = np.exp(sigma[:, None] * score)
    return np.asarray(loads / loads.mean(axis=2, keepdims=True))


def token_flow(source: Values, target: Values, affinity: float, rng: np.random.Generator) -> Values:
    """Return tokens between two adjacent layers, ``(experts, experts)``, whose margins are the two layers' loads.

    Pairs attract one another lognormally; the margins are then restored by iterative proportional fitting
    (Deming and Stephan 1940, doi 10.1214/aoms/1177731829).

    Args:
        source: tokens of each expert of the first layer, ``(experts,)``.
        target: tokens of each expert of the second, ``(experts,)``; scaled to the same sum.
        affinity: standard deviation of the logarithm of a pair's attraction; nought means independent layers.
        rng: source of chance.
    """
    target = target * (source.sum() / target.sum())
    flow = np.outer(source, target) * np.exp(affinity * rng.standard_normal((len(source), len(target))))
    for _ in range(30):
        flow *= (source / np.maximum(flow.sum(axis=1), 1e-12))[:, None]
        flow *= target / np.maximum(flow.sum(axis=0), 1e-12)
    return flow


def expert_map(load: Values, slots: int) -> NDArray[np.int64]:
    """Return the expert in each slot, ``(layers, slots)``: in order of number, the spare slots to the busiest.

    Args:
        load: what the map was made for, ``(layers, experts)``.
        slots: at least one for each expert.
    """
    layers, experts = load.shape
    if slots < experts:
        raise ValueError(f"slots: expected at least {experts}, one for each expert, found {slots}")
    held = np.empty((layers, slots), dtype=np.int64)
    for layer in range(layers):
        copies = np.ones(experts, dtype=np.int64)
        for _ in range(slots - experts):
            copies[np.argmax(load[layer] / copies)] += 1
        held[layer] = np.repeat(np.arange(experts), copies)
    return held


def expert_deployment(
    identifier: str,
    job: str,
    *,
    ranks: int,
    slots_per_rank: int,
    layers: int,
    experts: int,
    windows: int,
    targets_kept: int,
    rng: np.random.Generator,
) -> ExpertDeployment:
    """Return a deployment whose map was made for a window before the first one that is shown.

    Args:
        identifier: id of the deployment.
        job: id of the job that it runs on.
        ranks: GPUs of the expert-parallel group.
        slots_per_rank: expert slots of each GPU, per layer.
        layers: MoE layers.
        experts: experts per layer.
        windows: load windows, oldest first.
        targets_kept: transitions kept per source expert, the largest.
        rng: source of chance.
    """
    relative = relative_loads(windows + 1, layers, experts, EXPERT_SKEW, rng)
    held = expert_map(relative[0], ranks * slots_per_rank)
    requests = rng.poisson(1500.0 * rng.gamma(VOLUME_VARIATION**-2, VOLUME_VARIATION**2, windows))
    active = 8.0  # experts that each token visits in a layer, as in DeepSeek-V3 and OLMoE
    tokens = np.array([TOKENS_PER_REQUEST(int(count), rng).sum() for count in requests]) * active
    loads = np.round(relative[1:] * (tokens / experts)[:, None, None])
    transitions: list[Transition] = []
    for layer in range(layers - 1):
        flow = np.round(token_flow(loads[-1, layer] + 1.0, loads[-1, layer + 1] + 1.0, AFFINITY_SIGMA, rng))
        kept = np.sort(np.argsort(-flow, axis=1, kind="stable")[:, :targets_kept], axis=1)
        transitions += [
            Transition(layer, source, int(target), float(flow[source, target]))
            for source in range(experts)
            for target in kept[source]
            if flow[source, target] > 0.0
        ]
    return ExpertDeployment(
        id=identifier,
        job=job,
        ranks=ranks,
        slots_per_rank=slots_per_rank,
        loads=tuple(tuple(tuple(layer) for layer in window) for window in loads.tolist()),
        placement=tuple(tuple(layer) for layer in held.tolist()),
        transitions=tuple(transitions),
        expert_gb=0.088,  # three matrices of 7168 x 2048 at two bytes, as in DeepSeek-V3
    )
