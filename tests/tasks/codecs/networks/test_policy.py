"""A tensor stands in the archive in its smallest form, within the error, and what is damaged is noticed."""

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from data.errors import BadRecord
from data.schemas.tensor import Octets
from tasks.codecs.archive import open_archive
from tasks.codecs.index import Source
from tasks.codecs.lossy import policy
from tasks.codecs.networks.form import decompose
from tasks.codecs.networks.named_forms import natural
from tasks.codecs.networks.policy import PLAIN, Race, Search, network_policy
from tasks.codecs.networks.quantised import quantise, to_bytes
from tasks.codecs.networks.stored import TensorNetwork
from tasks.codecs.treatment import Policy, Treatment, Whole
from tasks.codecs.verify import verify_archive
from tasks.codecs.writer import write_archive


@dataclass(frozen=True, slots=True)
class Given:
    """A tensor that the test holds."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    octets: bytes

    def pieces(self, piece_bytes: int) -> Iterator[Octets]:
        for start in range(0, len(self.octets), piece_bytes):
            yield self.octets[start : start + piece_bytes]


def field(dtype: str = "<f4") -> npt.NDArray[np.floating]:
    x, y, z = np.ogrid[0:1:32j, 0:1:24j, 0:1:16j]
    return np.asarray(np.exp(-((x - y) ** 2) / (0.1 + z)), dtype=dtype)


def given(name: str, array: npt.NDArray[np.generic], dtype: str = "F32") -> Given:
    return Given(name, dtype, array.shape, array.tobytes())


def written(policy: Policy, *tensors: Given) -> bytes:
    file = io.BytesIO()
    write_archive(file, Source("arrays", "0" * 64, 0), b"{}", tensors, policy=policy)
    return file.getvalue()


@pytest.mark.slow
def test_a_field_becomes_a_network_and_weights_do_not(tmp_path: Path) -> None:
    weights = np.random.default_rng(3).standard_normal((64, 96)).astype("<f4")
    races: list[Race] = []
    tensors = (given("field", field()), given("weights", weights), given("again", field()))
    octets = written(network_policy(0.01, told=races.append), *tensors)
    assert octets == written(network_policy(0.01), *tensors)
    assert [race.winner == PLAIN for race in races] == [False, True, False]
    assert len(octets) < len(written(policy("rms:0.01"), *tensors))
    path = tmp_path / "a.qfz"
    path.write_bytes(octets)
    with open_archive(path) as archive:
        archive.verify()
        stored = archive.tensor("field")
        assert isinstance(stored.recipe, TensorNetwork)
        assert archive.tensor("weights").recipe is None
        assert archive.tensor("again").same_as == "field"
        back = np.frombuffer(archive.read(stored), "<f4").reshape(stored.shape).astype(float)
        error = np.linalg.norm(back - field()) / np.linalg.norm(field().astype(float))
        assert stored.error is not None
        assert stored.error.relative_rms == pytest.approx(error)
        assert error <= 0.01
        assert bytes(archive.read(stored, 100, 200)) == back.astype("<f4").tobytes()[400:800]
        assert b"".join(archive.pieces(stored)) == back.astype("<f4").tobytes()
    with open_archive(path, memory_bytes=1000) as archive, pytest.raises(BadRecord, match="at most 1000 bytes"):
        archive.read(archive.tensor("field"))


def test_what_may_not_be_lost_or_is_no_number_stays_as_it_was(tmp_path: Path) -> None:
    broken = field().copy()
    broken[3, 3, 3] = np.nan
    races: list[Race] = []
    tensors = (
        given("whole", np.arange(4096, dtype="<i8"), "I64"),
        given("broken", broken),
        given("small", np.ones(4, "<f4")),
        given("empty", np.ones((0, 3), "<f4")),
        given("zeros", np.zeros((40, 40), "<f4")),
    )
    path = tmp_path / "a.qfz"
    path.write_bytes(written(network_policy(0.01, told=races.append), *tensors))
    assert not races
    with open_archive(path) as archive:
        for tensor in (tensors[0], tensors[2], tensors[3], tensors[4]):
            assert bytes(archive.read(archive.tensor(tensor.name))) == tensor.octets
        back = np.frombuffer(archive.read(archive.tensor("broken")), "<f4").reshape(broken.shape)
        assert np.isnan(back[3, 3, 3])


@pytest.mark.parametrize("dtype", ["F16", "F64"])
def test_other_floats_keep_the_error(tmp_path: Path, dtype: str) -> None:
    array = field("<f2" if dtype == "F16" else "<f8")
    path = tmp_path / "a.qfz"
    path.write_bytes(written(network_policy(0.01), given("field", array, dtype)))
    with open_archive(path) as archive:
        stored = archive.tensor("field")
        assert isinstance(stored.recipe, TensorNetwork)
        back = np.frombuffer(archive.read(stored), array.dtype).reshape(array.shape).astype(float)
        assert np.linalg.norm(back - array) <= 0.01 * np.linalg.norm(array.astype(float))


@pytest.mark.parametrize(("truncated", "taken"), [(0.5, False), (0.005, True)])
def test_a_proposal_counts_only_within_the_error(truncated: float, taken: bool) -> None:
    def search(tensor: npt.NDArray[np.float64], error: float, rng: np.random.Generator, worth_bytes: float) -> bytes:
        assert error == 0.01
        assert 0.0 < worth_bytes < math.inf
        return to_bytes(quantise(decompose(tensor, natural("tucker", tensor.shape), truncated, rng), truncated))

    races: list[Race] = []
    proposal: Search = search
    written(network_policy(0.01, search=proposal, told=races.append), given("field", field()))
    assert ("searched" in dict(races[0].sizes)) == taken


@pytest.mark.parametrize(("scale", "found"), [(1.0, ""), (3.0, "expected a norm between")])
def test_a_network_of_another_tensor_than_the_note_says_is_noticed(tmp_path: Path, scale: float, found: str) -> None:
    honest = network_policy(0.01)
    other = honest(given("field", (scale * field()).astype("<f4")), None)
    true = honest(given("field", field()), None)
    assert isinstance(other.form, Whole)
    assert isinstance(true.form, Whole)
    mixed = Treatment(replace(other.form, loss=true.form.loss), bound=true.bound)
    (tmp_path / "a.qfz").write_bytes(written(lambda _tensor, _base: mixed, given("field", field())))
    assert verify_archive(tmp_path / "a.qfz", quick=True).not_rebuilt == 1
    assert verify_archive(tmp_path / "a.qfz", memory_bytes=1000).not_rebuilt == 1
    if not found:
        assert verify_archive(tmp_path / "a.qfz").rebuilt == 1
        return
    with pytest.raises(BadRecord, match=found):
        verify_archive(tmp_path / "a.qfz")


@pytest.mark.parametrize("error", [0.0, 1.0, math.nan])
def test_an_error_out_of_range_is_refused(error: float) -> None:
    with pytest.raises(ValueError, match="relative_error"):
        network_policy(error)


def network_of(array: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    network = decompose(array, natural("tt", array.shape), 0.1, np.random.default_rng(0))
    return np.frombuffer(to_bytes(quantise(network, 0.1)), np.uint8)


def test_content_of_another_tensor_is_refused() -> None:
    content = network_of(field())
    recipe = TensorNetwork("F32", len(content))
    assert len(recipe.rebuild(content, 32 * 24 * 16 * 4)) == 32 * 24 * 16 * 4
    with pytest.raises(ValueError, match="elements"):
        recipe.rebuild(content, 32 * 24 * 4)
    with pytest.raises(ValueError, match="elements of F32"):
        recipe.rebuild(content, 7)
    huge = network_of(1e6 * field("<f8"))
    with pytest.raises(ValueError, match="at most 65504"):
        TensorNetwork("F16", len(huge)).rebuild(huge, 32 * 24 * 16 * 2)
