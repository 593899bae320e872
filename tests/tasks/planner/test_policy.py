"""Is a policy stored and read as it was, and does training make it better than it began?"""

import json
from pathlib import Path

import numpy as np
import pytest

from data.errors import BadSource
from data.readers.traces.philly import read_arrivals
from tasks.planner.episode import FEATURES, episode, play
from tasks.planner.policy import SHIPPED, Learned, load_policy, save_policy
from tasks.planner.rules import DEFAULT, Every
from tasks.planner.train import Training, trained
from tasks.planner.world import Jobs


@pytest.fixture
def policy(rng: np.random.Generator) -> Learned:
    return Learned(rng.normal(size=FEATURES), rng.normal(size=(FEATURES, 16)), np.zeros(16), rng.normal(size=16))


def test_weights_survive_the_file_and_are_the_same_bytes_again(policy: Learned, tmp_path: Path) -> None:
    save_policy(policy, tmp_path / "a.json")
    read = load_policy(tmp_path / "a.json")
    assert np.allclose(read.inner, policy.inner, atol=1e-6)
    save_policy(read, tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_changed_file_is_refused(policy: Learned, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    save_policy(policy, path)
    document = json.loads(path.read_text())
    document["weights"]["linear"][0] += 1.0
    path.write_text(json.dumps(document))
    with pytest.raises(BadSource, match="digest"):
        load_policy(path)
    path.write_text("{}")
    with pytest.raises(BadSource, match="a trained planner"):
        load_policy(path)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="linear"):
        Learned(np.zeros(3), np.zeros((FEATURES, 16)), np.zeros(16), np.zeros(16))


def test_training_is_seeded_and_beats_doing_nothing(rng: np.random.Generator) -> None:
    count = 200
    jobs = Jobs(
        np.sort(rng.uniform(0.0, 60_000.0, count)),
        rng.lognormal(8.5, 1.0, count),
        rng.choice([1, 1, 2, 4, 8], count).astype(np.int64),
    )
    seen = [episode(jobs, 5, 15_000.0, 45_000.0, restart_h=price) for price in (0.25, 1.0)]
    options = Training(updates=2, stretches=1, runs=2, clone=100)
    once, again = (trained(seen, options, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(once.inner, again.inner)
    for given in seen:
        assert play(given, once).total > play(given, Every(0)).total


def test_the_shipped_policy_can_be_read_and_is_not_the_default() -> None:
    assert load_policy(SHIPPED).kind == "learned"
    assert DEFAULT.kind == "every"


def test_arrivals_are_read_in_order_and_bad_rows_are_named(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(
        "timestamp,duration,num_gpus\n2017-10-10 07:00:00,60.0,8\n2017-10-10 06:00:00,30.0,1\n", encoding="utf-8"
    )
    read = read_arrivals(path)
    assert read.gpus.tolist() == [1, 8]
    assert read.arrival_s[1] - read.arrival_s[0] == 3600.0
    path.write_text("timestamp,duration,num_gpus\n2017-10-10 07:00:00,0,8\nsoon,60,1\n", encoding="utf-8")
    with pytest.raises(BadSource) as refused:
        read_arrivals(path)
    assert [record.path for record in refused.value.records] == [
        "trace.csv: line 2.duration",
        "trace.csv: line 3.timestamp",
    ]
