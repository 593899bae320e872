"""How does a model reach a D-Wave annealer, or a reference sampler that needs no network?

The model crosses as a binary quadratic model, one-hot groups as penalties under a weight that is proved safe;
strings that break a group come back repaired. The real service was never asked by our tests: they use D-Wave's
simulated annealing, bare and behind the couplers of a small annealer.
"""

import time
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from qiskit_solvers.backends.credentials import Secret, credential, without
from qiskit_solvers.backends.protocol import Figures, OverBudget, Reads, Unavailable, check_request
from qiskit_solvers.errors import SolverFailed, TooLarge
from qiskit_solvers.ising import Ising, energies
from qiskit_solvers.one_hot import penalised, repaired

_TOKEN = "DWAVE_API_TOKEN"  # noqa: S105 - name of a variable
_PROGRAMMING_S = 0.03
_READ_S = 2.5e-4  # reading all qubits out and letting them cool, beside the anneal itself
_POLL_S = 0.5
_CELLS = 8  # the offline annealer is a Chimera graph of 8 x 8 cells: 512 qubits, up to 32 spins in one clique


@dataclass(frozen=True, slots=True)
class DWave:
    """A quantum annealer of D-Wave; its key is ``DWAVE_API_TOKEN``.

    Args:
        kind: name in reports.
        device: name of the solver; empty takes the service's default.
        offline: ``simulated`` is D-Wave's simulated annealing on the model as it is, ``embedded`` the same behind
            the couplers of a small annealer, chains and all; empty asks the service.
        annealing_us: duration of an anneal, microseconds.
        chain_strength: coupling that keeps the qubits of one spin together, in units of the model's energy;
            0 leaves it to D-Wave (uniform torque compensation).
        sweeps: of an offline read.
        max_reads: of a call.
        max_seconds: of the quantum processor, for a call.
        queue_limit_s: seconds after which an answer is no longer awaited, and the problem is cancelled.
        embedding_limit_s: seconds that finding a place for the model may take; what finds none is too large.
        secret: returns a secret by name; none reads the environment.

    Raises:
        ValueError: a cap or a duration is not positive, or the chain strength is negative.
    """

    kind: Literal["dwave"] = "dwave"
    device: str = ""
    offline: Literal["", "simulated", "embedded"] = ""
    annealing_us: float = 20.0
    chain_strength: float = 0.0
    sweeps: int = 200
    max_reads: int = 10_000
    max_seconds: float = 5.0
    queue_limit_s: float = 300.0
    embedding_limit_s: float = 30.0
    secret: Secret | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if min(self.max_reads, self.sweeps) < 1:
            raise ValueError(f"expected counts of at least 1, got {self}")
        times = (self.annealing_us, self.max_seconds, self.queue_limit_s, self.embedding_limit_s)
        if not (all(time > 0 for time in times) and self.chain_strength >= 0):
            raise ValueError(f"expected positive durations and no negative chain strength, got {self}")

    @property
    def credentials(self) -> tuple[str, ...]:
        """Names of the secrets that a read asks for."""
        return () if self.offline else (_TOKEN,)

    def read(self, ising: Ising, *, reads: int, seed: int) -> Reads:
        """Anneal the model; see :meth:`~qiskit_solvers.backends.protocol.AnnealingBackend.read`.

        The seed draws embedding and offline reads; nature has none.
        """
        check_request(reads, seed, "reads")
        self._check_budget(reads)
        if ising.spins == 0:
            return Reads(np.ones((1, 0), np.int8), np.full(1, ising.offset), np.full(1, reads, np.int64))
        secrets = tuple(credential(name, self.secret) for name in self.credentials)
        try:
            answer = self._sample(penalised(ising) if ising.groups else ising, reads, seed, secrets)
        except (SolverFailed, TooLarge, MemoryError):
            raise
        except ImportError as error:
            raise Unavailable(
                "dwave-system is not installed: in the project's folder, "
                "pip install --constraint constraints.txt --editable '.[dwave]'"
            ) from error
        except Exception as error:  # the client raises a dozen kinds of its own, and its transport's
            reason = without(f"{type(error).__name__}: {error}", secrets)
            raise SolverFailed(f"dwave: {reason}") from None  # the original may quote the request, key and all
        return _reads(ising, answer)

    def _check_budget(self, reads: int) -> None:
        if reads > self.max_reads:
            raise OverBudget(f"dwave: expected at most {self.max_reads} reads, got {reads}")
        seconds = _PROGRAMMING_S + reads * (1e-6 * self.annealing_us + _READ_S)
        if not self.offline and seconds > self.max_seconds:
            raise OverBudget(f"dwave: expected at most {self.max_seconds:g} s, {reads} reads take {seconds:.1f} s")

    def _sample(self, ising: Ising, reads: int, seed: int, secrets: tuple[str, ...]) -> Any:
        """Return D-Wave's sample set, complete."""
        model = _binary_quadratic_model(ising)
        if self.offline == "simulated":
            from dwave.samplers import SimulatedAnnealingSampler

            return SimulatedAnnealingSampler().sample(model, num_reads=reads, num_sweeps=self.sweeps, seed=seed)
        import dwave.system

        chains = {"chain_strength": self.chain_strength or None, "num_reads": reads}
        if self.offline:
            sampler = self._embedded(_small_annealer(), model, seed)
            return sampler.sample(model, **chains, num_sweeps=self.sweeps, seed=seed)
        (token,) = secrets
        device = {"solver": self.device} if self.device else {}
        with dwave.system.DWaveSampler(token=token, **device) as annealer:
            sampler = self._embedded(annealer, model, seed)
            answer = sampler.sample(model, **chains, annealing_time=self.annealing_us)
            wait_for_answer(answer, self.queue_limit_s)
            answer.resolve()
            return answer

    def _embedded(self, annealer: Any, model: Any, seed: int) -> Any:
        """Return the annealer behind a map from the model's spins to chains of its qubits."""
        import minorminer
        from dwave.system import FixedEmbeddingComposite

        spins, qubits = len(model.variables), len(annealer.nodelist)
        if spins > qubits:
            raise TooLarge(f"dwave: expected at most {qubits} spins, got {spins}")
        edges = [*model.quadratic, *((spin, spin) for spin in model.variables)]
        chains = minorminer.find_embedding(edges, annealer.edgelist, random_seed=seed, timeout=self.embedding_limit_s)
        if not chains:
            raise TooLarge(
                f"dwave: {spins} spins with {len(edges) - spins} couplings found no place on {qubits} qubits"
            )
        return FixedEmbeddingComposite(annealer, chains)


def wait_for_answer(answer: Any, limit_s: float, poll_s: float = _POLL_S) -> None:
    """Wait until a sample set is there.

    Args:
        answer: has ``done()``, and maybe ``cancel()``.
        limit_s: seconds after which it is given up.
        poll_s: seconds between two looks.

    Raises:
        Unavailable: it is not there after ``limit_s``.
    """
    until_s = time.monotonic() + limit_s
    while not answer.done():
        if time.monotonic() >= until_s:
            getattr(answer, "cancel", lambda: None)()
            raise Unavailable(f"dwave: expected an answer within {limit_s:g} s; it is no longer awaited")
        time.sleep(poll_s)


def _binary_quadratic_model(ising: Ising) -> Any:
    import dimod

    pairs = ising.pairs
    return dimod.BinaryQuadraticModel.from_numpy_vectors(
        ising.h, (pairs.rows, pairs.columns, pairs.values), float(ising.offset), "SPIN"
    )


def _small_annealer() -> Any:
    """Return simulated annealing that knows only the couplers of a small Chimera graph."""
    import dimod
    import dwave.graphs
    from dwave.samplers import SimulatedAnnealingSampler

    graph = dwave.graphs.chimera_graph(_CELLS)
    return dimod.StructureComposite(SimulatedAnnealingSampler(), list(graph.nodes), list(graph.edges))


def _reads(ising: Ising, answer: Any) -> Reads:
    """Return the distinct strings of a sample set, repaired, best first; ties: +1 before -1 in the earlier spins."""
    order = np.argsort(np.array(list(answer.variables)))
    strings = np.asarray(answer.record.sample, dtype=np.int8)[:, order]
    if ising.groups:
        strings = repaired(ising, strings)
    flipped, place = np.unique(-strings, axis=0, return_inverse=True)
    counts = np.bincount(place.ravel(), weights=answer.record.num_occurrences).astype(np.int64)
    distinct = np.ascontiguousarray(-flipped)
    energy = energies(ising, distinct)
    best = np.argsort(energy, kind="stable")
    timing = dict(answer.info.get("timing", {}))
    figures = Figures(run_s=1e-6 * float(timing.get("qpu_access_time", 0.0)))
    return Reads(distinct[best], energy[best], counts[best], figures)
