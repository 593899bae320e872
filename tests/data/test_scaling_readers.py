"""Published tables in small: bad rows are set aside by name, repeats are told apart, missing columns are refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import BadSource
from data.readers.scaling.epoch import read_epoch
from data.readers.scaling.gadre import read_gadre
from data.readers.scaling.mlperf import distinct, read_mlperf
from data.readers.scaling.mpt import read_mpt
from data.readers.scaling.porian import read_porian, read_published
from data.readers.scaling.usl import read_usl
from data.schemas.scaling import TrainingRuns

RUNS = "round,submitter,system,benchmark,accelerators,accel_model,seed,status,minutes\n"
SCORES = "round,submitter,system,benchmark,factor\n"


def written(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_tokens_follow_from_compute(tmp_path: Path) -> None:
    reading = read_epoch(written(tmp_path, "Model Size,Training FLOP,loss\n1e6,6e13,3.5\n1e6,0,3\n2e6,x,3\n"))
    assert reading.runs.tokens.tolist() == [1e7]
    assert reading.runs.compute.tolist() == [6e13]
    assert [record.path for record in reading.set_aside] == [
        "table.csv: line 3.Training FLOP",
        "table.csv: line 4.Training FLOP",
    ]


def test_models_are_told_apart_by_data_shape_and_ratio(tmp_path: Path) -> None:
    head = "name,dataset,model,params,tokens,chinchilla_multiplier,loss_c4_val\n"
    reading = read_gadre(
        written(tmp_path, head + "a,rpj,small,1e6,2e7,1.0,4\nb,rpj,small,1e6,4e7,2,3.5\nc,c4,small,1,1,,1\n")
    )
    assert reading.ratio.tolist() == [20.0, 40.0]
    assert reading.rows("rpj", "small", 40.0).tolist() == [False, True]
    assert "line 4.chinchilla_multiplier" in str(reading.set_aside[0])


def test_optima_are_grouped_and_empty_rows_set_aside(tmp_path: Path) -> None:
    text = "experiment,flops,n,n_star_std\na,1e16,1e6,0.1\nb,1e16,,\na,2e16,2e6,0.2\n"
    reading = read_porian(written(tmp_path, text))
    assert list(reading.experiments) == ["a"]
    assert reading.experiments["a"].deviation.tolist() == [0.1, 0.2]
    assert "line 3.n: expected a number above 0" in str(reading.set_aside[0])
    published = read_published(written(tmp_path, "experiment,n_exponent,ci_lo,ci_hi\na,0.5,0.4,0.6\n"))
    assert published["a"].low == 0.4


def test_runs_that_were_filed_twice_are_told_apart(tmp_path: Path) -> None:
    rows = "".join(
        f"v1,{who},box,bert,8,H100,{seed},{status},{minutes}\n"
        for who in ("one", "copy")
        for seed, status, minutes in (("1", "success", 5.0), ("2", "success", 6.0), ("3", "aborted", 9.0))
    )
    odd = "v1,other,box,bert,8,H100,1,success,5.5\nv1,odd,box,bert,8,H100,4,,7\n"
    scores = SCORES + "v1,one,box,bert,1.25\nv1,copy,box,bert,zero\n"
    reading = read_mlperf(written(tmp_path, RUNS + rows + odd, "runs.csv"), written(tmp_path, scores, "scores.csv"))
    assert (reading.seeded, len(reading.repeated)) == (7, 3)
    assert "not that of v1 one box bert" in str(reading.repeated[0])
    one, copy, other = reading.sets
    assert one.factor == 1.25
    assert copy.factor == 1.0
    assert one.minutes.tolist() == [5.0, 6.0, np.inf]
    assert distinct(reading.sets) == (one, other)
    assert reading.chosen(submitter="copy") == (copy,)
    told = "\n".join(map(str, reading.set_aside))
    assert "runs.csv: line 9.status: expected success or aborted, found nothing" in told
    assert "scores.csv: line 3.factor" in told


def test_the_fastest_of_rows_for_the_same_gpus_counts(tmp_path: Path) -> None:
    head = "section,Model,SeqLen (T),# GPUs,GPU,Precision,Throughput (T/s)\n"
    rows = "s,7b,2048,8,a100,bf16,100\ns,7b,2048,8,a100,bf16,120\ns,7b,2048,16,a100,bf16,230\ns,1b,2048,8,a100,bf16,9\n"
    reading = read_mpt(written(tmp_path, head + rows))
    (series,) = reading.series
    assert (series.scale.tolist(), series.performance.tolist()) == ([8.0, 16.0], [120.0, 230.0])
    assert str(reading.repeated[0]).startswith("table.csv: line 2: expected one row for MPT-7b")


def test_a_router_is_one_series(tmp_path: Path) -> None:
    reading = read_usl(written(tmp_path, "concurrency,throughput\n1,900\n2,-1\n4,3000\n"))
    assert reading.series[0].scale.tolist() == [1.0, 4.0]
    assert "line 3.throughput" in str(reading.set_aside[0])


@pytest.mark.parametrize("reader", [read_epoch, read_gadre, read_porian, read_published, read_usl, read_mpt])
def test_another_table_is_refused(tmp_path: Path, reader: Callable[[Path], Any]) -> None:
    with pytest.raises(BadSource, match=r"table\.csv: line 1: expected columns"):
        reader(written(tmp_path, "a,b\n1,2\n"))


@pytest.mark.parametrize(
    ("tokens", "named"),
    [(np.array([1.0]), "tokens: expected shape"), (np.array([1.0, 0.0]), "tokens: expected finite numbers above 0")],
)
def test_runs_that_are_none_are_refused(tokens: np.ndarray, named: str) -> None:
    two = np.array([1.0, 2.0])
    with pytest.raises(ValueError, match=named):
        TrainingRuns(("a", "b"), two, tokens, two)
