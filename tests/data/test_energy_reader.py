import pytest

from data.errors import BadSource, SourceUnavailable
from data.readers.power.ml_energy import read_energy

HEAD = "task,model_id,gpu_model,num_gpus,avg_power_watts,total_params_billions,max_num_seqs,batch_size,architecture\n"
GOOD = "gpqa,Qwen/Qwen3-14B,B200,2,700.0,14.0,8.0,,Dense Transformer\n"


def table(tmp_path, *rows):
    path = tmp_path / "configurations.csv"
    path.write_text(HEAD + "".join(rows))
    return path


def test_all_rows_of_the_leaderboard_are_read(real_data):
    path = real_data / "mlenergy_v3" / "configurations.csv"
    if not path.exists():
        pytest.skip(f"the ML.ENERGY table is not at {path}")
    reading = read_energy(path)
    assert reading.set_aside == ()
    assert len(reading.samples.ids) == 1_858
    assert reading.samples.measured.all()
    assert sorted({*reading.samples.gpu_models}) == ["B200", "H100"]
    mean = {
        model: reading.samples.power_w[[one == model for one in reading.samples.gpu_models]].mean()
        for model in ("H100", "B200")
    }
    assert mean == pytest.approx({"H100": 520.0, "B200": 694.0}, abs=0.5)


def test_outcomes_of_a_run_are_no_features(real_data):
    path = real_data / "mlenergy_v3" / "configurations.csv"
    if not path.exists():
        pytest.skip(f"the ML.ENERGY table is not at {path}")
    names = " ".join(read_energy(path).samples.names)
    assert not any(word in names for word in ("throughput", "latency", "itl", "energy", "avg", "power_w"))


def test_a_row_becomes_a_sample(tmp_path):
    samples = read_energy(table(tmp_path, GOOD)).samples
    row = dict(zip(samples.names, samples.features[0], strict=True))
    assert samples.power_w.tolist() == [350.0]
    assert (samples.workloads, samples.groups, samples.gpu_models) == (("gpqa",), ("Qwen/Qwen3-14B",), ("B200",))
    assert (row["log2_gpus"], row["log2_batch"], row["gpu_max_w"]) == (1.0, 3.0, 1_000.0)
    assert (row["task=gpqa"], row["task=video-chat"], row["architecture=MoE"]) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("row", "where", "found"),
    [
        ("gpqa,m,H100,2,0.7,14.0,8.0,,MoE\n", "line 3.avg_power_watts", "0.7 W"),
        ("gpqa,m,H100,0,700,14.0,8.0,,MoE\n", "line 3.avg_power_watts", "num_gpus 0"),
        ("gpqa,m,H100,,700,14.0,8.0,,MoE\n", "line 3.avg_power_watts", "num_gpus nan"),
        ("gpqa,m,H100,1,nan,14.0,8.0,,MoE\n", "line 3.avg_power_watts", "nan"),
        ("gpqa,m,Abacus,1,500,14.0,8.0,,MoE\n", "line 3.gpu_model", "Abacus"),
        ("gpqa,m,H100,1,500,many,8.0,,MoE\n", "line 3.total_params_billions", "many"),
        ("gpqa,m,H100,1,500,-3,8.0,,MoE\n", "line 3.total_params_billions", "-3"),
    ],
)
def test_a_bad_row_is_set_aside_and_the_others_are_used(tmp_path, row, where, found):
    reading = read_energy(table(tmp_path, GOOD, row))
    assert len(reading.samples.ids) == 1
    (record,) = reading.set_aside
    assert where in record.path
    assert found in record.found


def test_a_row_cut_short_is_set_aside_wherever_it_is_cut(tmp_path):
    for end in range(1, GOOD.index("700.0")):
        reading = read_energy(table(tmp_path, GOOD, GOOD[:end]))
        assert len(reading.samples.ids) == len(reading.set_aside) == 1


def test_a_table_without_a_usable_row_is_refused(tmp_path):
    with pytest.raises(BadSource, match="Abacus"):
        read_energy(table(tmp_path, "gpqa,m,Abacus,1,500,14.0,8.0,,MoE\n"))
    with pytest.raises(BadSource, match="at least one row"):
        read_energy(table(tmp_path))


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe\x00", b"PK\x03\x04"])
def test_another_file_is_refused(tmp_path, content):
    path = tmp_path / "other.csv"
    path.write_bytes(content)
    with pytest.raises(BadSource):
        read_energy(path)


def test_a_missing_file_is_unavailable(tmp_path):
    with pytest.raises(SourceUnavailable):
        read_energy(tmp_path / "none.csv")
