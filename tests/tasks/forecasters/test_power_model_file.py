import json
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save

from data.errors import BadSource, SourceUnavailable
from tasks.forecasters.boosting import Boosting
from tasks.forecasters.gnn import GraphSage
from tasks.forecasters.model_file import FILE_NAME, load_model, save_model
from tasks.forecasters.power import train_power
from tasks.forecasters.protocol import TrainedPower


@pytest.fixture(scope="module")
def trained(samples) -> TrainedPower:
    quick = GraphSage(epochs=20, members=2, hidden=8)
    return train_power(samples, np.random.default_rng(0), graph=quick, trained_at="2026-03-02T06:00:00+00:00")


@pytest.fixture
def stored(trained, tmp_path):
    save_model(trained, tmp_path / "model" / FILE_NAME)
    return tmp_path / "model" / FILE_NAME


def test_a_stored_model_forecasts_what_it_did_before(trained, stored, samples):
    again = load_model(stored)
    asked = samples.waiting()
    assert again.model.forecast(asked).tobytes() == trained.model.forecast(asked).tobytes()
    assert (again.trained_at, again.held_out) == (trained.trained_at, trained.held_out)


def test_boosting_is_grown_again_from_the_stored_samples(trained, stored, samples):
    grown, regrown = (
        Boosting().train(one.samples, np.random.default_rng(5)).forecast(samples)
        for one in (trained, load_model(stored))
    )
    assert grown.tobytes() == regrown.tobytes()


def test_the_errors_on_held_out_gangs_are_stored_for_upper_bounds(trained, stored):
    kept, again = trained.residuals, load_model(stored).residuals
    assert again.groups == kept.groups
    for name in ("graph", "boosting", "median", "blend"):
        assert getattr(again, name).tobytes() == getattr(kept, name).tobytes()


def test_a_model_without_its_errors_is_not_stored(trained, tmp_path):
    with pytest.raises(ValueError, match="errors on held-out groups"):
        save_model(replace(trained, residuals=None), tmp_path / FILE_NAME)


def test_a_folder_stands_for_the_file_in_it(stored, trained):
    assert load_model(stored.parent).held_out == trained.held_out


def test_the_same_model_gives_the_same_bytes(trained, stored, tmp_path):
    save_model(load_model(stored), tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == stored.read_bytes()


def test_the_header_says_what_the_model_was_trained_on(stored):
    content = stored.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["quantumflow"])
    assert header["names"] == ["size", "batch", "utilisation"]
    assert header["trained_at"] == "2026-03-02T06:00:00+00:00"
    assert set(header["held_out"]) == {"folds", "graph", "boosting", "median", "blend"}
    assert len(header["training_sha256"]) == 64


def test_no_altered_byte_goes_unnoticed(stored):
    content = stored.read_bytes()
    rng = np.random.default_rng(0)
    for position in [*range(64), *rng.integers(64, len(content), size=150)]:
        altered = bytearray(content)
        altered[position] ^= 1 << int(rng.integers(8))
        stored.write_bytes(altered)
        with pytest.raises(BadSource):
            load_model(stored)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_a_file_cut_short_is_refused(stored, share):
    content = stored.read_bytes()
    stored.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BadSource, match="expected a trained power forecaster"):
        load_model(stored)


def test_a_pickle_is_refused_and_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was run",))

    path = tmp_path / FILE_NAME
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(BadSource):
        load_model(path)


def test_other_tensors_are_refused(tmp_path):
    path = tmp_path / FILE_NAME
    path.write_bytes(save({"weight": np.zeros(3)}))
    with pytest.raises(BadSource):
        load_model(path)


def test_a_header_that_asks_for_a_giant_network_is_refused(stored):
    content = stored.read_bytes()
    length = int.from_bytes(content[:8], "little")
    text = json.loads(content[8 : 8 + length])["__metadata__"]["quantumflow"]
    forged = text.replace('"hidden":8', '"hidden":800000')
    assert forged != text
    stored.write_bytes(save(load(content), metadata={"quantumflow": forged}))
    with pytest.raises(BadSource):
        load_model(stored)


def test_a_missing_file_is_unavailable(tmp_path):
    with pytest.raises(SourceUnavailable):
        load_model(tmp_path / "none")


def test_only_graph_networks_are_stored(trained, samples, tmp_path):
    boosted = replace(trained, model=Boosting().train(samples, np.random.default_rng(0)))
    with pytest.raises(ValueError, match="expected a graph network, got boosting"):
        save_model(boosted, tmp_path / FILE_NAME)
    assert list(tmp_path.iterdir()) == []


def test_reading_a_model_imports_no_torch(stored):
    """A run for which another forecaster is better need not wait for it: it takes seconds."""
    code = (
        "import sys; from pathlib import Path; from tasks.predict import load_model; load_model(Path(sys.argv[1]));"
        " print([name for name in ('torch', 'torch_geometric') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, stored], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "[]\n"
