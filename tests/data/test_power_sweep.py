"""Facts about published power sweeps: what is read, what is set aside, and that the built-in curves come from them."""

from pathlib import Path

import numpy as np
import pytest

from data.errors import BadSource, SourceUnavailable
from data.readers.power.zeus_sweep import COLUMNS, read_power_sweep
from tasks.problems.power_curves import DEFAULT, MEASURED
from tasks.validation.speed import MEDIAN, SLOW, SLOW_ELSEWHERE

HEAD = ",".join(COLUMNS) + "\n"


def test_speeds_are_relative_to_the_highest_limit_and_never_above_one(tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    rows = ("d,n,8,sgd,250,10,200", "d,n,8,sgd,100,20,90.5", "d,n,8,sgd,175,9.9,150", "d,m,8,sgd,100,5,80")
    path.write_text(HEAD + "\n".join((*rows, "d,n,8,sgd,200,-1,90", "d,n,8,sgd,150,x,90", "d,n,8,sgd,100,3,3")) + "\n")
    sweep = read_power_sweep(path)
    (workload,) = sweep.workloads
    assert (workload.name, workload.network, workload.gpu_power_w) == ("d-n-8-sgd", "d-n", 200.0)
    assert [(level.cap_w, level.speed) for level in workload.levels] == [(100.0, 0.5), (175.0, 1.0), (250.0, 1.0)]
    assert workload.draws_w == (90.5, 150.0, 200.0)
    assert [record.path for record in sweep.set_aside] == [
        "sweep.csv: line 6.time_per_epoch",
        "sweep.csv: line 7.time_per_epoch",
        "sweep.csv: line 8.power_limit",
        "sweep.csv: d-m-8-sgd",
    ]


def test_a_file_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable):
        read_power_sweep(tmp_path / "missing.csv")
    path = tmp_path / "sweep.csv"
    path.write_text("dataset,network\na,b\n")
    with pytest.raises(BadSource, match="no batch_size"):
        read_power_sweep(path)
    path.write_text(HEAD)
    with pytest.raises(BadSource, match="at least one row"):
        read_power_sweep(path)


@pytest.mark.parametrize("model", sorted(MEASURED))
def test_the_curves_are_medians_and_slow_quantiles_of_the_published_files(real_data: Path, model: str) -> None:
    pd = pytest.importorskip("pandas")
    table = pd.read_csv(real_data / "zeus_nsdi23" / f"summary_power_{model.lower()}.csv")
    keys = ["dataset", "network", "batch_size", "optimizer"]
    times = table.pivot_table(index=keys, columns="power_limit", values="time_per_epoch")
    speeds = times.rdiv(times[times.columns.max()], axis=0)
    for quantile, curve, other in ((0.5, MEASURED[model].median, MEDIAN), (0.05, MEASURED[model].slow, SLOW)):
        rising = np.minimum.accumulate(speeds.quantile(quantile).to_numpy()[::-1])[::-1]  # a higher cap is never slower
        assert [speed for _, speed in curve] == pytest.approx(rising.tolist(), abs=6e-4)
        assert [share for share, _ in curve] == pytest.approx((times.columns / times.columns.max()).tolist())
        assert other[model] == curve  # written twice, since the validator shares nothing with the optimiser


def test_models_without_a_sweep_are_as_slow_as_the_slowest_of_those_measured() -> None:
    shares = [share for share, _ in DEFAULT.slow]
    lowest = np.min([np.interp(shares, *zip(*curve.slow, strict=True)) for curve in MEASURED.values()], axis=0)
    assert [speed for _, speed in DEFAULT.slow] == pytest.approx(lowest.tolist(), abs=6e-4)
    assert DEFAULT.median == MEASURED["V100"].median
    assert DEFAULT.slow == SLOW_ELSEWHERE
