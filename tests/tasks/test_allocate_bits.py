"""Steps for each tensor of a small network trained on digits: smaller, within bounds, and as good on other digits."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from data.errors import BadSource
from data.readers.checkpoint.file import read_checkpoint
from data.readers.sensitivities import read_sensitivities
from data.schemas.sensitivity import Sensitivities
from qiskit_solvers.anneal import Anneal
from tasks.allocate_bits import EXACT, Allocation, allocate_bits, measured_steps, posed, uniform_losses
from tasks.codecs.archive import open_archive
from tasks.codecs.index import Index, Source
from tasks.codecs.lossy import policy
from tasks.codecs.sensitivity import measure_sensitivities, write_sensitivities
from tasks.codecs.treatment import Policy
from tasks.codecs.writer import write_archive
from tasks.refine import Effort

ERROR = 0.05
EFFORT = Effort(evaluations=20_000, rounds=2, window=6)
NAMES = ("layer0", "layer1", "layer2")
"""The last layer is too small to be quantised."""

Weights = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def network() -> Weights:
    digits = load_digits()
    model = MLPClassifier((96, 64, 32), random_state=0, learning_rate_init=3e-3)
    for _ in range(20):
        model.partial_fit(digits.data[:1200] / 16.0, digits.target[:1200], classes=np.arange(10))
    layers = {f"layer{k}": matrix.astype(np.float32) for k, matrix in enumerate(model.coefs_)}
    return layers | {f"bias{k}": vector.astype(np.float32) for k, vector in enumerate(model.intercepts_)}


@pytest.fixture(scope="module")
def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Pictures to calibrate with and others, neither trained on, ``(pictures, 64)`` each."""
    rest = load_digits().data[1200:].astype(np.float32) / 16.0
    return rest[::2], rest[1::2]


@pytest.fixture(scope="module")
def sensitivities(network: Weights, pictures: tuple[np.ndarray, np.ndarray]) -> Sensitivities:
    return measure_sensitivities(network, lambda weights: lost(network, weights, pictures[0]), NAMES)


@pytest.fixture
def file(tmp_path: Path, network: Weights) -> Path:
    save_file(network, tmp_path / "digits.safetensors")
    return tmp_path / "digits.safetensors"


def outputs(weights: Weights, given: np.ndarray) -> np.ndarray:
    for k in range(4):
        given = given @ weights[f"layer{k}"] + weights[f"bias{k}"]
        given = np.maximum(given, 0.0) if k < 3 else given
    return given


def lost(before: Weights, after: Weights, given: np.ndarray) -> dict[str, float]:
    """Relative squared error of the outputs, and mean divergence of the classes' probabilities."""
    one, other = outputs(before, given), outputs(after, given)
    logs = [each - np.logaddexp.reduce(each, axis=1, keepdims=True) for each in (one, other)]
    divergence = (np.exp(logs[0]) * (logs[0] - logs[1])).sum(axis=1).mean()
    return {"outputs": float(np.square(one - other).sum() / np.square(one).sum()), "classes": float(divergence)}


def archived(file: Path, policy: Policy) -> tuple[Index, Weights, bytes]:
    """Write an archive and read its tensors back."""
    checkpoint, path = read_checkpoint(file), file.with_suffix(".qfz")
    with path.open("wb") as out:
        source = Source("arrays", "0" * 64, 0)
        write_archive(out, source, b"", checkpoint.tensors, policy=policy)
    with open_archive(path) as archive:
        back = {
            stored.name: np.frombuffer(archive.read(stored), np.float32).reshape(stored.shape)
            for stored in archive.index.tensors
        }
        return archive.index, back, path.read_bytes()


def allocated(file: Path, sensitivities: Sensitivities) -> Allocation:
    return allocate_bits(read_checkpoint(file).tensors, sensitivities, ERROR, Anneal(), seed=3, effort=EFFORT)


def test_the_archive_is_smaller_and_the_network_loses_what_was_foretold_on_pictures_it_never_saw(
    file: Path, network: Weights, sensitivities: Sensitivities, pictures: tuple[np.ndarray, np.ndarray]
):
    found = allocated(file, sensitivities)
    index, back, ours = archived(file, found.policy)
    _, _, theirs = archived(file, policy(f"rms:{ERROR}", keep=("bias*",)))
    assert len(ours) < len(theirs)
    for measure, value in lost(network, back, pictures[1]).items():
        assert value < 2.0 * found.allowed[measure]  # an expectation, of only three roundings
    for stored in index.tensors:
        bound = found.relative_rms.get(stored.name)
        error = np.linalg.norm(back[stored.name] - network[stored.name]) / np.linalg.norm(network[stored.name])
        assert error <= (bound or 0.0)
    assert set(found.relative_rms) == set(NAMES)


def test_the_sizes_are_those_of_the_archive(file: Path, sensitivities: Sensitivities):
    found = allocated(file, sensitivities)
    index, _, _ = archived(file, found.policy)
    packed = {stored.name: stored.packed_bytes for stored in index.tensors}
    for row in found.rows:
        assert row.size_bytes == pytest.approx(packed[row.name], rel=0.02)
    assert sum(row.size_bytes for row in found.rows) == pytest.approx(found.refined.costs[-1])
    assert sum(row.before_bytes for row in found.rows) == pytest.approx(found.refined.costs[0])


def test_what_is_lost_stays_within_what_equal_errors_would_lose(file: Path, sensitivities: Sensitivities):
    found = allocated(file, sensitivities)
    for number, measure in enumerate(sensitivities.measures):
        total = sum(sensitivities.of[name][number] * bound**2 for name, bound in found.relative_rms.items())
        assert total <= found.allowed[measure] * (1 + 1e-9)
        equal = sum(sensitivities.of[name][number] * ERROR**2 for name in NAMES)
        assert found.allowed[measure] == pytest.approx(equal)


def test_the_same_seed_gives_the_same_choice(file: Path, sensitivities: Sensitivities):
    once, again = allocated(file, sensitivities), allocated(file, sensitivities)
    assert once.rows == again.rows


def test_where_hardly_anything_may_be_lost_tensors_stay_exact(file: Path, sensitivities: Sensitivities):
    tables = measured_steps(read_checkpoint(file).tensors, sensitivities, ERROR)
    little = {measure: 1e-9 * loss for measure, loss in uniform_losses(sensitivities, tables).items()}
    problem = posed(tables, sensitivities, little)
    assert problem.incumbent().step_of.tolist() == [EXACT] * 3
    assert problem.search(problem.incumbent(), 1_000, np.random.default_rng(0)).decision.step_of.tolist() == [EXACT] * 3


def test_what_cannot_be_quantised_is_named(file: Path):
    found = allocated(file, Sensitivities(("loss",), {"layer0": (1.0,), "layer3": (2.0,)}))
    assert found.notes == ("layer3 stays exact: it has fewer than 1024 elements",)
    with pytest.raises(ValueError, match="none; layer3 stays exact"):
        allocated(file, Sensitivities(("loss",), {"layer3": (2.0,)}))
    with pytest.raises(ValueError, match="found other"):
        allocated(file, Sensitivities(("loss",), {"other": (2.0,)}))
    with pytest.raises(ValueError, match="found none"):
        allocated(file, Sensitivities(("loss",), {"layer0": (0.0,)}))


def test_written_sensitivities_are_read_again(tmp_path: Path, sensitivities: Sensitivities):
    write_sensitivities(tmp_path / "s.json", sensitivities)
    read = read_sensitivities(tmp_path / "s.json")
    assert (read.measures, read.of) == (sensitivities.measures, sensitivities.of)
    lines = ["tensor,outputs,classes", *(f"{name},{a!r},{b!r}" for name, (a, b) in sensitivities.of.items())]
    (tmp_path / "s.csv").write_text("\n".join(lines) + "\n")
    read = read_sensitivities(tmp_path / "s.csv")
    assert (read.measures, read.of) == (sensitivities.measures, sensitivities.of)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("s.json", "{}", "at least one"),
        ("s.json", '{"a": -1}', "at least 0, found -1"),
        ("s.json", '{"a": "x"}', "found x"),
        ("s.json", '{"a": true}', "found True"),
        ("s.json", '{"a": {"one": 1}, "b": {"two": 1}}', "a number for each of one"),
        ("s.json", '{"a": {}}', "at least one"),
        ("s.json", "[1]", "a JSON object"),
        ("s.csv", "tensor,one\na,x\n", "numbers for one"),
        ("s.csv", "tensor,one\na,1\na,2\n", "each tensor once"),
        ("s.csv", "tensor,one\na,nan\n", "at least 0, found nan"),
        ("s.csv", "one\n1\n", "tensor"),
    ],
)
def test_bad_sensitivities_are_refused_by_name(tmp_path: Path, name: str, text: str, said: str):
    (tmp_path / name).write_text(text)
    with pytest.raises(BadSource, match=said):
        read_sensitivities(tmp_path / name)


def test_a_tensor_without_content_has_no_sensitivity():
    with pytest.raises(ValueError, match=r"sum of squares of 0\.0"):
        measure_sensitivities({"zero": np.zeros(4)}, lambda _: {"loss": 0.0}, ["zero"])
    with pytest.raises(ValueError, match="found none of that name"):
        measure_sensitivities({}, lambda _: {"loss": 0.0}, ["zero"])


def test_a_sensitivity_is_the_loss_of_a_squared_relative_error(rng: np.random.Generator):
    tensors = {"a": rng.normal(size=5000), "b": rng.normal(size=5000)}

    def losses(changed: dict[str, np.ndarray]) -> dict[str, float]:
        squares = {name: float(np.square(changed[name] - tensors[name]).mean()) for name in tensors}
        return {"sum": 2 * squares["a"] + 7 * squares["b"]}

    found = measure_sensitivities(tensors, losses, ["a", "b"])
    power = {name: float(np.square(tensor).mean()) for name, tensor in tensors.items()}
    assert found.of["a"][0] == pytest.approx(2 * power["a"], rel=1e-9)
    assert found.of["b"][0] == pytest.approx(7 * power["b"], rel=1e-9)
