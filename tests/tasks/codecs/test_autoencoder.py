"""The quantum autoencoder as a codec: its bound, its archives, hostile content, and the trial against the classical."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qiskit_solvers.variational.entangling_layers import applied
from tasks.codecs.archive import open_archive
from tasks.codecs.autoencoder import AutoencoderTrial, in_circuit
from tasks.codecs.autoencoder_recipe import EntangledBlocks, read_runs, written_runs
from tasks.codecs.index import Source
from tasks.codecs.lossy import policy
from tasks.codecs.quantise_chunk import octets_of, values_of
from tasks.codecs.writer import write_archive


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A tensor in memory."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    raw: bytes

    def pieces(self, piece_bytes: int) -> Iterator[bytes]:
        return (self.raw[start : start + piece_bytes] for start in range(0, len(self.raw), piece_bytes))


def held(array: np.ndarray, dtype: str = "F32") -> Held:
    values = np.ascontiguousarray(array, dtype=np.float64 if dtype == "F64" else np.float32).reshape(-1)
    return Held("weight", dtype, array.shape, octets_of(values, dtype).tobytes())


def hidden(blocks: int = 256, qubits: int = 3, noise: float = 1e-3) -> np.ndarray:
    """Blocks that a circuit of two layers moves into one qubit, but for noise."""
    rng = np.random.default_rng(0)
    angles = rng.normal(size=(2, qubits, 3))
    angles[..., (0, 2)] = 0.0
    latent = np.zeros((2**qubits, blocks))
    latent[:2] = rng.normal(size=(2, blocks))
    rows = applied(angles, latent, inverse=True).real.T
    return rows + noise * rng.normal(size=rows.shape)


SMALL = AutoencoderTrial(policy("rms:0.1"), 0.1, qubits=3, layers=2, starts=6, evaluations=60)


def trial(bound: float, **options: int | str) -> AutoencoderTrial:
    return replace(SMALL, classical=policy(f"rms:{bound}"), bound=bound, **options)


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32", "F64"])
def test_an_archive_restores_within_the_bound_that_it_states(dtype: str, tmp_path: Path):
    tensor = held(hidden().reshape(-1)[:-3], dtype)  # the last block is not whole
    path = tmp_path / "small.qfz"
    with path.open("wb") as file:
        index = write_archive(file, Source("arrays", "0" * 64, 0), b"", [tensor], policy=trial(0.05))
    stored = index.tensors[0]
    assert isinstance(stored.recipe, EntangledBlocks)
    assert stored.error is not None
    with open_archive(path) as archive:
        back = values_of(b"".join(archive.pieces(archive.tensor("weight"))), dtype).astype(np.float64)
    values = values_of(tensor.raw, dtype).astype(np.float64)
    lost = math.sqrt(((values - back) ** 2).sum() / (values**2).sum())
    assert lost == pytest.approx(stored.error.relative_rms)
    assert lost <= stored.error.bound == 0.05
    assert np.abs(values - back).max() == pytest.approx(stored.error.max_abs)


@pytest.mark.parametrize("width_by", ["variance", "dropout"])
def test_what_a_circuit_gathers_is_smaller_and_prunes_the_other_qubits(width_by: str):
    found = trial(0.01, width_by=width_by).tried(held(hidden()))
    assert found.circuit_wins
    assert found.sentence() == f"circuit wins: {found.circuit_bytes} bytes, classical chain {found.classical_bytes}"
    assert found.circuit is not None
    recipe = found.treatment.form.recipe
    assert recipe.retained == (0,)
    assert found.circuit.pruned_floor <= found.circuit.lost_to_pruning < 1e-4
    assert found.treatment.form is found.circuit.whole


def test_on_white_weights_the_classical_chain_stays():
    tensor = held(np.random.default_rng(1).normal(size=(64, 64)))
    found = trial(0.05, starts=1).tried(tensor)
    assert not found.circuit_wins
    assert 0.99 * found.classical_bytes <= found.circuit_bytes
    assert found.sentence().startswith(f"classical chain wins: {found.classical_bytes} bytes, circuit ")
    assert found.treatment.form is not found.circuit.whole


def test_a_gain_below_the_margin_is_no_win():
    tensor = held(hidden())
    wide = trial(0.01).tried(tensor)
    margin = 1.0 - wide.circuit_bytes / wide.classical_bytes
    assert replace(trial(0.01), margin=margin - 1e-6).tried(tensor).circuit_wins
    assert not replace(trial(0.01), margin=margin + 1e-6).tried(tensor).circuit_wins


@pytest.mark.parametrize(
    ("tensor", "note"),
    [
        (Held("count", "I32", (64,), bytes(256)), "elements of I32 are no floats that a circuit takes"),
        (held(np.ones(3)), "3 elements: expected 8 to 4194304"),
        (held(np.full(16, np.inf)), "it has elements that are not finite"),
        (held(np.zeros(16)), "it has no energy, or too much to add up"),
    ],
)
def test_what_no_circuit_takes_goes_the_classical_way(tensor: Held, note: str):
    found = trial(0.1).tried(tensor)
    assert found.circuit is None
    assert found.sentence() == f"classical chain: {note}"
    assert found.treatment.form is not None


@settings(max_examples=12)
@given(
    seed=st.integers(0, 2**32 - 1),
    elements=st.integers(8, 200),
    scale=st.sampled_from([1e-30, 1.0, 1e30]),
    bound=st.sampled_from([0.5, 0.1, 1e-4]),
)
def test_the_measured_loss_is_never_over_the_bound(seed: int, elements: int, scale: float, bound: float):
    tensor = held(scale * np.random.default_rng(seed).standard_cauchy(elements))
    options = trial(bound, layers=1, starts=1, evaluations=5)
    made = in_circuit(tensor, options, np.random.default_rng(seed))
    assert not isinstance(made, str)
    back = values_of(made.whole.recipe.rebuild(made.whole.content, len(tensor.raw)).tobytes(), "F32")
    values = values_of(tensor.raw, "F32").astype(np.float64)
    assert math.sqrt(((values - back) ** 2).sum()) <= bound * math.sqrt((values**2).sum()) * (1 + 1e-12)
    again = in_circuit(tensor, options, np.random.default_rng(seed))
    assert again.whole.content.tobytes() == made.whole.content.tobytes()


@pytest.mark.parametrize("each", [False, True])
def test_runs_come_back_and_other_bytes_are_refused(each: bool):
    integers = np.random.default_rng(2).integers(-300, 300, (4, 50)).astype(np.int32)
    octets = np.frombuffer(written_runs(integers, each=each), dtype=np.uint8)
    np.testing.assert_array_equal(read_runs(octets, 4, 50, each=each), integers)
    for damaged in (octets[:-1], octets[:2], octets[:0], np.append(octets, np.uint8(0))):
        with pytest.raises(ValueError, match="expected"):
            read_runs(damaged, 4, 50, each=each)
    with pytest.raises(ValueError, match="expected"):
        read_runs(octets, 4, 51, each=each)


@settings(max_examples=40)
@given(data=st.data())
def test_hostile_content_gives_numbers_or_an_error(data: st.DataObject):
    tensor = held(hidden(blocks=8))
    made = in_circuit(tensor, trial(0.1, starts=1, evaluations=3), np.random.default_rng(0))
    content = made.whole.content.copy()
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    recipe = replace(made.whole.recipe, step=data.draw(st.sampled_from([1e-3, 1e308])))
    try:
        whole = recipe.rebuild(content, len(tensor.raw))
    except ValueError:
        return
    assert whole.nbytes == len(tensor.raw)


def test_a_recipe_for_another_tensor_is_refused():
    tensor = held(hidden(blocks=64))
    made = in_circuit(tensor, trial(0.1, starts=1), np.random.default_rng(0))
    recipe, content = made.whole.recipe, made.whole.content
    for wrong, raw_bytes in [
        (recipe, 3),
        (recipe, 0),
        (recipe, 8 * len(tensor.raw)),
        (replace(recipe, layers=32), 2048),
    ]:
        with pytest.raises(ValueError, match="expected"):
            wrong.rebuild(content, raw_bytes)
    with pytest.raises(ValueError, match="retained"):
        replace(recipe, retained=(*recipe.retained[:-1], 7)).rebuild(content, len(tensor.raw))
    angles = np.frombuffer(np.full(6, np.nan, dtype="<f4").tobytes(), dtype=np.uint8)
    with pytest.raises(ValueError, match="expected 6 finite angles"):
        recipe.rebuild(np.concatenate((angles, content[24:])), len(tensor.raw))


def test_a_decoder_written_from_the_format_page_agrees():
    tensor = held(hidden(blocks=64), "F64")
    made = in_circuit(tensor, trial(0.05), np.random.default_rng(0))
    recipe, content = made.whole.recipe, made.whole.content
    turns = np.frombuffer(content[:24].tobytes(), dtype="<f4").astype(np.float64).reshape(2, 3)
    blocks = np.zeros((64, 8))
    discarded = sum(1 << qubit for qubit in range(3) if qubit not in recipe.retained)
    places = [place for place in range(8) if place & discarded == 0]
    blocks[:, places] = read_runs(content[24:], len(places), 64, each=recipe.run_each).T * recipe.step
    for layer in (1, 0):
        for qubit in (2, 1, 0):
            target = (qubit + layer % 2 + 1) % 3
            blocks = blocks[:, [place ^ ((place >> qubit & 1) << target) for place in range(8)]]
        for qubit in range(3):
            before = blocks.copy()
            cosine, sine = np.cos(turns[layer, qubit] / 2), np.sin(turns[layer, qubit] / 2)
            for place in range(8):
                sign = -1.0 if place >> qubit & 1 else 1.0  # RY backwards
                blocks[:, place] = cosine * before[:, place] + sign * sine * before[:, place ^ (1 << qubit)]
    restored = values_of(recipe.rebuild(content, len(tensor.raw)).tobytes(), "F64")
    np.testing.assert_allclose(restored, blocks.reshape(-1), atol=1e-13)


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="bound: expected a number above 0"):
        AutoencoderTrial(policy("exact"), 0.0)
    with pytest.raises(ValueError, match="2 to 10 qubits"):
        trial(0.1, qubits=11)
    with pytest.raises(ValueError, match="a width by variance or dropout"):
        trial(0.1, width_by="guess")
