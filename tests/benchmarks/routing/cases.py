"""On what are expert maps compared? Past windows to plan from, and one that is held out to measure on."""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.generators.fitted import AFFINITY_SIGMA, EXPERT_SKEW
from data.generators.routing import relative_loads, token_flow
from data.readers.expert_formats import read_expert_counts
from tasks.problems.routing_state import Floats, Integers
from tasks.yardsticks.eplb import Eplb, contiguous

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("QUANTUMFLOW_DATA", ROOT.parent / "shared" / "data"))
OLMOE_LAYERS = {"0": 0, "7": 1, "15": 2}


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A deployment, what it knows, and what comes next.

    Args:
        history: shares of each layer's tokens, oldest window first, ``(windows, layers, experts)``.
        held_out: the same in the window that the map is measured on, ``(layers, experts)``.
        in_force: expert in each slot, ``(layers, slots)``.
        domain: NVLink domain of each rank, ``(ranks,)``.
        flow: tokens between adjacent layers in the history, ``(layers - 1, experts, experts)``; zeros where unknown.
        next_flow: the same in the held-out window.
    """

    name: str
    history: Floats
    held_out: Floats
    in_force: Integers
    domain: Integers
    flow: Floats
    next_flow: Floats

    @property
    def ranks(self) -> int:
        """GPUs."""
        return self.domain.size


def recordings() -> dict[str, Floats]:
    """Return DeepSeek's recorded loads by name as shares of each layer, ``(58, 256)``."""
    paths = sorted((DATA / "sglang_deepseek_expert_counts").glob("*.json"))
    counts = read_expert_counts(paths) if paths else None
    return {} if counts is None else dict(zip([path.stem for path in paths], shares(counts.loads), strict=True))


def recorded(loads: dict[str, Floats], ranks: int, slots: int, *, mixed: bool, most: int) -> list[Case]:
    """Return cases that hold each recording out once, planned from the others.

    With ``mixed`` the history is all other recordings, and the map in force EPLB's for the first of them. Otherwise it
    is those of the same phase, prefill or decode, and the map in force EPLB's for the first of the other phase.

    Args:
        loads: by recording.
        ranks: GPUs, all in one domain: the recordings do not know transitions.
        slots: of all ranks.
        mixed: whether both phases are served.
        most: cases at most, spread over the recordings.
    """
    names = list(loads)
    chosen = [names[round(at)] for at in np.linspace(0, len(names) - 1, min(most, len(names)))]
    balance = Eplb(ranks, slots)
    none = np.zeros((len(next(iter(loads.values()))) - 1, 1, 1))
    cases = []
    for name in chosen:
        same = [other for other in names if other != name and (mixed or _phase(other) == _phase(name))]
        before = same if mixed else [other for other in names if _phase(other) != _phase(name)]
        if not same or not before:
            continue
        history = np.stack([loads[other] for other in same])
        empty = np.broadcast_to(none, (len(none), history.shape[2], history.shape[2]))
        domain = np.zeros(ranks, dtype=np.int64)
        cases.append(Case(name, history, loads[name], balance(loads[before[0]]), domain, empty, empty))
    return cases


def drifting(
    seeds: Sequence[int], *, layers: int, experts: int, ranks: int, slots: int, windows: int, per_domain: int = 4
) -> list[Case]:
    """Return generated cases: loads drift as fitted to recordings, attraction between experts stays.

    Args:
        seeds: one for each case.
        layers: of the model.
        experts: of each layer.
        ranks: GPUs.
        slots: of all ranks.
        windows: in the history.
        per_domain: GPUs of an NVLink domain.
    """
    cases = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        loads = shares(relative_loads(windows + 2, layers, experts, EXPERT_SKEW, rng))
        bond = int(rng.integers(2**32))
        start = Eplb(ranks, slots)(loads[0])
        flow, next_flow = (_flows(window, bond) for window in loads[-2:])
        domain = np.arange(ranks) // per_domain
        cases.append(Case(f"drift {seed}", loads[1:-1], loads[-1], start, domain, flow, next_flow))
    return cases


def texts(ranks: int, domains: int, slots: int) -> list[Case]:
    """Return OLMoE's five text domains, each held out once; nobody has balanced the map in force."""
    loads, flows = _olmoe()
    cases = []
    for name in loads:
        others = [other for other in loads if other != name]
        cases.append(
            Case(
                name=name,
                history=shares(np.stack([loads[other] for other in others])),
                held_out=shares(loads[name]),
                in_force=contiguous(64, slots, 3),
                domain=np.arange(ranks) * domains // ranks,
                flow=np.mean([flows[other] / flows[other].sum() for other in others], axis=0),
                next_flow=flows[name] / flows[name].sum(),
            )
        )
    return cases


def thinned(cases: Sequence[Case], stride: int) -> list[Case]:
    """Return ``cases`` of which every so many-th layer is left; what flows between those is not known."""
    return [
        replace(
            case,
            history=case.history[:, ::stride],
            held_out=case.held_out[::stride],
            in_force=case.in_force[::stride],
            flow=np.zeros_like(case.flow[: len(case.in_force[::stride]) - 1]),
            next_flow=np.zeros_like(case.flow[: len(case.in_force[::stride]) - 1]),
        )
        for case in cases
    ]


def shares(loads: Floats) -> Floats:
    """Return ``loads`` as shares of their layer; windows then count alike, however long they were."""
    total = loads.sum(axis=-1, keepdims=True)
    return np.divide(loads, total, out=np.zeros_like(loads, dtype=np.float64), where=total > 0.0)


def _phase(name: str) -> str:
    return name.partition("_")[0]


def _flows(window: Floats, bond: int) -> Floats:
    pairs = zip(window[:-1] + 1e-9, window[1:] + 1e-9, strict=True)
    return np.stack(
        [
            token_flow(source, target, AFFINITY_SIGMA, np.random.default_rng([bond, layer]))
            for layer, (source, target) in enumerate(pairs)
        ]
    )


def _olmoe() -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Return loads, ``(3, 64)``, and top-1 transitions, ``(2, 64, 64)``, of each text domain."""
    folder = DATA / "olmoe_routing"
    loads: dict[str, Floats] = {}
    flows: dict[str, Floats] = {}
    if not folder.is_dir():
        return loads, flows
    with (folder / "expert_counts.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            if (row["model"], row["kind"]) == ("olmoe", "expert_counts"):
                table = loads.setdefault(row["domain"], np.zeros((3, 64)))
                table[OLMOE_LAYERS[row["layer"]], int(row["expert"])] = float(row["count"])
    with (folder / "crosslayer_top1.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            if row["model"] == "olmoe":
                flow = flows.setdefault(row["domain"], np.zeros((2, 64, 64)))
                flow[OLMOE_LAYERS[row["layer_i"]], int(row["expert_i"]), int(row["expert_j"])] = float(row["count"])
    return loads, flows
