"""The benchmark's own pieces: instances are sound and repeatable, and its arithmetic holds."""

from pathlib import Path

import numpy as np
import pytest

from data.crosscheck import cross_check
from tasks.problems.placement import Placement
from tests.benchmarks.placement.contenders import contenders
from tests.benchmarks.placement.exactness import proofs
from tests.benchmarks.placement.growth import Grown, exponent
from tests.benchmarks.placement.instances import FAMILIES, Trace, instance, machines, read_trace


@pytest.fixture
def trace() -> Trace:
    """Rows of a made-up trace, some of which arrive together."""
    rng = np.random.default_rng(0)
    arrival_s = np.floor(np.cumsum(rng.exponential(60.0, 400)))
    return Trace(
        arrival_s, rng.lognormal(7.0, 1.5, 400), rng.choice([1, 2, 4, 8, 16], 400, p=[0.6, 0.1, 0.1, 0.1, 0.1])
    )


def test_an_instance_is_the_same_for_a_seed_and_another_for_another(trace: Trace) -> None:
    one, again, other = (instance(trace, FAMILIES[0], gpus=64, seed=seed, looks=2) for seed in (1, 1, 2))
    assert one == again
    assert one.jobs != other.jobs
    assert sum(node.gpus for node in one.nodes) == 64
    assert not cross_check(one)


def test_halves_share_no_rows(trace: Trace) -> None:
    early, late = trace.half("tuning"), trace.half("held-out")
    assert early.arrival_s.max() <= late.arrival_s.min()
    assert early.gpus.size + late.gpus.size == trace.gpus.size


def test_machines_have_the_gpus_asked_for() -> None:
    for shape in ("nvl72", "dgx"):
        assert sum(node.gpus for node in machines(shape, 1_024)) == 1_024


def test_real_traces_are_read(real_data: Path) -> None:
    for name in ("philly", "openb"):
        found = read_trace(real_data, name)
        assert found.gpus.size > 3_000
        assert found.gpus.min() >= 1
        assert (np.diff(found.arrival_s) >= 0.0).all()


def test_every_contender_answers_with_a_placement_that_is_no_dearer(trace: Trace) -> None:
    problem = Placement.from_snapshot(instance(trace, FAMILIES[0], gpus=64, seed=3, looks=2))
    for name, ask in contenders(highs_too=True).items():
        decision = ask(problem, 20.0)
        assert decision is not None, name
        assert problem.cost(decision) <= problem.cost(problem.incumbent()) + 1e-6, name


def test_a_proof_tells_whether_the_optimum_was_reached(trace: Trace, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot = instance(trace, FAMILIES[2], gpus=32, seed=3, looks=2)
    (row,) = proofs([("tiny", snapshot)], limit_s=20.0, seconds=0.3, seed=0)
    assert row.proven
    assert row.exact <= row.reached + 1e-6 <= row.incumbent + 2e-6
    assert row.optimal == (row.gap_percent <= 1e-4)
    assert "of 1 proven instances" in capsys.readouterr().out


def test_the_exponent_is_the_slope() -> None:
    rows = [Grown(gpus, 1, 0.0, 1e-3 * gpus**1.2, 0.0, 0.0, 0.0, 0) for gpus in (1_000, 4_000, 10_000)]
    assert exponent(rows) == pytest.approx(1.2)
