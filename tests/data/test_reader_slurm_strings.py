"""Facts about the strings of Slurm: host lists, GRES, dependencies, topology."""

import math

import pytest

from data.readers.slurm.dependencies import Dependency, parse_dependency, resolve
from data.readers.slurm.gres import Gres, parse_gpus
from data.readers.slurm.hostlist import expand_hostlist
from data.readers.slurm.rows import number
from data.readers.slurm.topology import parse_topology


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        ("login", ("login",)),
        ("gb[001-003,007],x1", ("gb001", "gb002", "gb003", "gb007", "x1")),
        ("r[1-2]n[08-09]", ("r1n08", "r1n09", "r2n08", "r2n09")),
        ("n[9-11]-ib", ("n9-ib", "n10-ib", "n11-ib")),
    ],
)
def test_a_host_list_expands_in_its_own_order(text, names):
    assert expand_hostlist(text) == names


@pytest.mark.parametrize(
    "text", ["gb[1-", "gb1-3]", "gb[3-1]", "gb[a-c]", "gb[]", "gb[1-99999999]", "a[1-9999]b[1-9999]"]
)
def test_a_malformed_or_endless_host_list_is_refused(text):
    with pytest.raises(ValueError, match="hostlist"):
        expand_hostlist(text)


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("", ()),
        ("(null)", ()),
        ("gpu:8", (Gres("", 8),)),
        ("gpu:h100:8(S:0-1),shard:64", (Gres("h100", 8),)),
        ("gpu:h100:2(IDX:0,3)", (Gres("h100", 2, (0, 3)),)),
        ("gpu:gb200:0(IDX:N/A)", (Gres("gb200", 0),)),
        ("gpu:a100:4(IDX:0-3),gpu:v100:1(IDX:5)", (Gres("a100", 4, (0, 1, 2, 3)), Gres("v100", 1, (5,)))),
        ("gpu:tesla(CNT:2)", (Gres("tesla", 2),)),
        ("gres:gpu:4", (Gres("", 4),)),
        ("gres/gpu:h100:4", (Gres("h100", 4),)),
        ("gres:gpu", (Gres("", 1),)),
        ("gpu:no_consume:4", (Gres("", 4),)),
        ("cpu=16,mem=8G,node=2,gres/gpu=16,gres/gpu:h100=16", (Gres("h100", 16),)),
        ("cpu=16,gres/gpu=16,gres/shard=4", (Gres("", 16),)),
        ("gpumem:4,license=3", ()),
    ],
)
def test_gpus_are_counted_in_every_spelling_of_gres_and_tres(text, gpus):
    assert parse_gpus(text) == gpus


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, 5),
        ("7", 7),
        (None, None),
        (4294967294, None),
        (4294967295, math.inf),
        ({"set": True, "infinite": False, "number": 3}, 3),
        ({"set": False, "infinite": False, "number": 3}, None),
        ({"set": True, "infinite": True, "number": 0}, math.inf),
        ({"set": False, "infinite": True, "number": 0}, math.inf),
        (True, None),
        ("soon", None),
        ([], None),
    ],
)
def test_numbers_of_both_dialects_mean_the_same(value, expected):
    assert number(value) == expected


@pytest.mark.parametrize(
    ("text", "dependency"),
    [
        ("", Dependency()),
        ("afterok:12(unfulfilled),afterany:13:14", Dependency(("12", "13", "14"))),
        ("afterok:12(fulfilled),aftercorr:13_*(unfulfilled)", Dependency(("13_*",))),
        ("after:12+10(unfulfilled)", Dependency(started=("12",))),
        ("afterok:12(failed)", Dependency(("12",), failed=True)),
        ("afternotok:2(failed)?afterok:3(unfulfilled)", Dependency(("2", "3"), either=True)),
        ("singleton(unfulfilled)", Dependency(singleton=True)),
        ("expand:12", Dependency()),
    ],
)
def test_dependencies_say_which_jobs_are_waited_for(text, dependency):
    assert parse_dependency(text) == dependency


def test_a_dependency_on_an_array_waits_for_each_task_and_one_on_a_start_only_while_pending():
    dependency = parse_dependency("afterok:5_*,after:6:7,afterok:99")
    ids = {"5_*": ["5_0", "5_1"], "6": ["6"], "7": ["7"]}
    assert resolve(dependency, ids, frozenset({"7"}), []) == ("5_0", "5_1", "7")


def test_tree_and_block_lines_are_read_in_any_case_with_comments_and_continued_lines():
    text = "\n".join(
        [
            "# racks",
            "SwitchName=s1 Level=0 LinkSpeed=1 Nodes=n[1-2]",
            "switchname=s2 nodes=n3 # last",
            "SwitchName=top Level=1 LinkSpeed=1 Nodes=n[1-3] Switches=s[1-2]",
            "BlockName=b1 \\",
            "  Nodes=n[1,3]",
            "BlockSizes=2,4",
        ]
    )
    topology = parse_topology(text, "topology.conf")
    assert topology.leaves == {"n1": "s1", "n2": "s1", "n3": "s2"}
    assert topology.blocks == {"n1": "b1", "n3": "b1"}


def test_a_topology_line_with_a_malformed_host_list_is_set_aside():
    topology = parse_topology("SwitchName=s1 Nodes=n[1-\nSwitchName=s2 Nodes=m1", "topology.conf")
    assert topology.leaves == {"m1": "s2"}
    assert [record.path for record in topology.set_aside] == ["topology.conf: line 1"]
