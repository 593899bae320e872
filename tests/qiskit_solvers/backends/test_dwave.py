"""An annealing machine returns low-energy strings that keep the groups; caps and missing keys end in typed refusals."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from qiskit_solvers import Ising, SolverFailed, TooLarge, energies
from qiskit_solvers.backends.dwave import DWave, wait_for_answer
from qiskit_solvers.backends.protocol import OverBudget, Unavailable
from qiskit_solvers.ising import diagonal
from qiskit_solvers.one_hot import feasible

KEY = "not-a-real-key-0123456789"


def model(spins: int, seed: int = 3) -> Ising:
    rng = np.random.default_rng(seed)
    return Ising(rng.normal(size=spins), np.triu(rng.normal(size=(spins, spins)), 1), 1.5)


@pytest.mark.parametrize("offline", ["simulated", "embedded"])
@pytest.mark.parametrize("thin", [False, True], ids=["dense", "sparse"])
def test_the_reference_samplers_find_the_minimum_of_a_small_model(offline: str, thin: bool):
    ising = model(8)
    given = replace(ising, J=sparse.csr_array(ising.J)) if thin else ising
    reads = DWave(offline=offline).read(given, reads=100, seed=5)
    assert reads.energies[0] == pytest.approx(diagonal(ising).min())
    assert reads.energies == pytest.approx(energies(ising, reads.strings))
    assert list(reads.energies) == sorted(reads.energies)
    assert len(np.unique(reads.strings, axis=0)) == len(reads.strings) == len(reads.counts)
    assert reads.counts.sum() == 100


@pytest.mark.parametrize("offline", ["simulated", "embedded"])
def test_groups_are_kept(offline: str):
    ising = replace(model(8), groups=((0, 3, 5), (1, 2)))
    reads = DWave(offline=offline).read(ising, reads=60, seed=5)
    assert feasible(ising, reads.strings).all()
    assert reads.counts.sum() == 60
    bits = np.arange(256)[:, None] >> np.arange(8) & 1
    strings = (1 - 2 * bits).astype(np.int8)
    best = energies(ising, strings[feasible(ising, strings)]).min()
    assert reads.energies[0] == pytest.approx(best)


def test_the_same_seed_gives_the_same_reads_and_another_gives_others():
    ising = model(12)
    for offline in ("simulated", "embedded"):
        backend = DWave(offline=offline, sweeps=2)
        first, again, other = (backend.read(ising, reads=20, seed=seed) for seed in (1, 1, 2))
        assert np.array_equal(first.strings, again.strings)
        assert not np.array_equal(first.strings, other.strings)


def test_trivial_models_have_their_answer():
    nothing = DWave(offline="simulated").read(Ising(np.zeros(0), np.zeros((0, 0)), 4.0), reads=3, seed=0)
    assert nothing.strings.shape == (1, 0)
    assert (nothing.energies[0], nothing.counts[0]) == (4.0, 3)
    for offline in ("simulated", "embedded"):
        one = DWave(offline=offline).read(Ising(np.array([1.0]), np.zeros((1, 1))), reads=3, seed=0)
        assert one.strings[0, 0] == -1


def test_a_model_that_finds_no_place_is_too_large():
    backend = DWave(offline="embedded", embedding_limit_s=0.5)
    with pytest.raises(TooLarge, match="80 spins with 3160 couplings found no place on 512 qubits"):
        backend.read(model(80), reads=1, seed=0)
    with pytest.raises(TooLarge, match="at most 512 spins, got 513"):
        backend.read(Ising(np.ones(513), sparse.csr_array((513, 513))), reads=1, seed=0)


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        (DWave(max_reads=99), "at most 99 reads, got 1000"),
        (DWave(max_seconds=0.1), "at most 0.1 s, 1000 reads take 0.3 s"),
    ],
)
def test_what_costs_too_much_is_refused_before_a_key_is_asked_for(backend: DWave, message: str):
    with pytest.raises(OverBudget, match=message):
        backend.read(model(3), reads=1000, seed=0)


def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("DWAVE_API_TOKEN", raising=False)
    for backend in (DWave(), DWave(secret={}.get)):
        with pytest.raises(Unavailable, match="DWAVE_API_TOKEN: expected a key"):
            backend.read(model(3), reads=1, seed=0)


def test_a_failing_client_does_not_tell_the_key(monkeypatch: pytest.MonkeyPatch):
    import dwave.system

    def refuse(**options: str) -> None:
        raise OSError(f"401 for {options['token']}")

    monkeypatch.setattr(dwave.system, "DWaveSampler", refuse)
    backend = DWave(secret={"DWAVE_API_TOKEN": KEY}.get)
    assert KEY not in repr(backend)
    with pytest.raises(SolverFailed, match=r"dwave: OSError: 401 for \*\*\*"):
        backend.read(model(3), reads=1, seed=0)


class Answer:
    """A sample set that never comes."""

    cancelled = False

    def done(self) -> bool:
        return False

    def cancel(self) -> None:
        self.cancelled = True


def test_an_answer_that_does_not_come_is_given_up():
    answer = Answer()
    with pytest.raises(Unavailable, match=r"within 0\.05 s"):
        wait_for_answer(answer, 0.05, poll_s=0.01)
    assert answer.cancelled


@pytest.mark.parametrize("options", [{"max_reads": 0}, {"annealing_us": 0.0}, {"chain_strength": -1.0}, {"sweeps": 0}])
def test_options_that_make_no_sense_are_refused(options: dict[str, float]):
    with pytest.raises(ValueError, match="expected"):
        DWave(**options)


@pytest.mark.parametrize(
    ("reads", "seed", "message"), [(0, 1, "reads: expected at least 1, got 0"), (1, -1, "seed: expected 0 to")]
)
def test_requests_that_make_no_sense_are_refused(reads: int, seed: int, message: str):
    with pytest.raises(ValueError, match=message):
        DWave(offline="simulated").read(model(3), reads=reads, seed=seed)
