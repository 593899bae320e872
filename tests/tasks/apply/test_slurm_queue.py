"""Facts about what Slurm tells of jobs, in both dialects and in any shape, and what plans note in it."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.readers.slurm.plan_marks import CAP, PLACED, told_in
from data.schemas.job import Worker
from tasks.apply.slurm_queue import Queue
from tasks.apply.slurm_standing import asked_words, noted, runs_on
from tests.tasks.apply.slurm_records import on, record

FIXTURES = Path(__file__).resolve().parents[2] / "data" / "fixtures"


@pytest.mark.parametrize("version", ["slurm_22_05", "slurm_24_11"])
def test_jobs_of_both_dialects_are_found(version):
    raw = json.loads((FIXTURES / version / "squeue.json").read_text())
    queue = Queue.of(raw)
    running = {name for name, job in queue.single.items() if job.state == "RUNNING"}
    if version == "slurm_22_05":
        assert {"1", "2", "3", "4"} <= running
        assert queue.find("1").gpus == Counter({"gb1": 4, "gb2": 4})
        assert queue.find("3").gpus == Counter({"gb3": 2, "gb4": 1})
        assert [queue.find(f"7_{task}") is not None for task in range(5)] == [True] * 4 + [False]
    else:
        assert {"101", "102", "103"} <= running
        assert queue.find("101").gpus == Counter({"dgx1": 8, "dgx2": 2})
        assert queue.find("103").gpus == Counter({"dgx2": 0})
        assert runs_on(queue.find("103"), (Worker("dgx2", (4, 5)),)), "where GPUs are not told, nodes decide"
        assert queue.find("104").state == "COMPLETING"
        assert queue.find("105") is None
        assert queue.ended["105"] == "COMPLETED"
        assert queue.find("201").told() == "PENDING, waits for Resources"


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner))
FIELDS = st.sampled_from([*record(1), "start_time"])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.dictionaries(FIELDS, values, max_size=6), max_size=3), st.text(max_size=6))
def test_records_of_any_shape_are_read_or_left_out(entries, asked):
    queue = Queue.of({"jobs": [{**record(number), **entry} for number, entry in enumerate(entries, 1)]})
    for job in queue.single.values():
        assert "\n" not in job.told()
    assert queue.find("1") is None or entries


words = st.text(st.characters(categories=("L", "N"), include_characters="=-_."), min_size=1, max_size=8)


@settings(deadline=None, max_examples=60)
@given(st.lists(words.filter(lambda word: not word.startswith((CAP, PLACED))), max_size=5), st.integers(20, 5000))
def test_notes_come_and_go_without_touching_others(others, watts):
    note = " ".join(others)
    with_cap = noted(note, **{CAP: str(watts)})
    assert told_in(with_cap, CAP) == str(watts)
    assert noted(with_cap, **{CAP: "max"}).count(CAP) == 1
    assert noted(with_cap, **{CAP: None}) == note


def test_a_job_may_go_anywhere_again_in_as_many_nodes_as_it_asked_for():
    job = Queue.of({"jobs": [record(1, node_count=4, max_nodes=8)]}).find("1")
    assert asked_words(job, on("a", "b"))[:2] == ("ReqNodeList=a,b", "NumNodes=2")
    note = asked_words(job, on("a", "b"))[2].removeprefix("AdminComment=")
    placed = Queue.of({"jobs": [record(1, node_count=2, required_nodes="a,b", admin_comment=note)]}).find("1")
    assert asked_words(placed, ()) == ("ReqNodeList=", "NumNodes=4-8", "AdminComment=")
