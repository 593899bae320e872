"""Files with hostile names, of hostile kinds, with hostile contents: what is read, written, and changed by whom?"""

import json
import os
import re
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import BadRecord, BadSource, PlanRefused, SourceUnavailable
from data.file_stem import file_stem
from data.readers.expert_formats import read_expert_counts, read_expert_map
from data.readers.fleet.catalogue import CatalogueFiles, read_catalogue
from data.readers.fleet.fleet_file import read_fleet
from data.readers.fleet.plan_file import read_fleet_plan
from data.readers.plan import read_plan, write_plan
from data.readers.scaling.series_csv import read_series
from data.readers.slurm.cluster import read_slurm_files
from data.readers.snapshot import read_snapshot
from data.readers.topology.formats import read_topology
from data.readers.transfers import read_transfers
from data.schemas.checkpoint import Archive, Checkpoint
from data.schemas.plan import Compress
from data.whole_file import claimed_file, claimed_folder, whole_file, write_whole
from flows.archives import _source
from flows.run_folder import run_folder
from tasks.forecasters.model_file import load_model
from tasks.report.expert_formats import engine_files
from tasks.validation.archives import look_at_archives
from tests.security.hostile import WORDS, hostile_plan, hostile_snapshot

CLEAR = (BadRecord, BadSource, PlanRefused, SourceUnavailable)
FIXTURES = Path(__file__).resolve().parents[1] / "data" / "fixtures"


def slurm(path: Path) -> object:
    folder = FIXTURES / "slurm_22_05"
    return read_slurm_files(folder / "squeue.json", folder / "sinfo.json", path, taken_at=None)


READERS: dict[str, Callable[[Path], object]] = {
    "snapshot": read_snapshot,
    "plan": read_plan,
    "fleet": read_fleet,
    "fleet_plan": read_fleet_plan,
    "topology": read_topology,
    "expert map": read_expert_map,
    "expert counts": lambda path: read_expert_counts([path]),
    "slurm's topology": slurm,
    "transfers": read_transfers,
    "series": read_series,
    "power model": load_model,
    "prices": lambda path: read_catalogue(CatalogueFiles((path,), path, path), taken_at="2026-01-01T00:00:00+00:00"),
}
each_reader = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


@each_reader
def test_a_pipe_is_not_waited_for(read, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CLEAR, match="pipe"):
        read(tmp_path / "pipe")


@each_reader
def test_a_device_that_never_ends_is_not_read(read):
    with pytest.raises(CLEAR):
        read(Path("/dev/zero"))


@each_reader
@pytest.mark.parametrize("name", ["a\0b", "\udcff", "x" * 5_000, "", "."])
def test_a_name_that_is_none_is_refused_in_clear_words(read, name, tmp_path):
    with pytest.raises(CLEAR):
        read(tmp_path / name)


ALIASES = "\n".join(
    f"  {new}: &{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)
DEEP = "[" * 200_000 + "]" * 200_000
TEXTS = {
    "deep lists": DEEP,
    "deep objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "a million digits": '{"seed": ' + "9" * 1_000_000 + "}",
    "a million digits in a list": "[" + "9" * 1_000_000 + "]",
    "not a number": '{"taken_at": NaN, "nodes": [Infinity]}',
    "half a character": '{"cluster": "\\ud800", "\\udfff": 1}',
    "deep yaml": "blocks:\n" + "\n".join(" " * n + "a:" for n in range(1, 1_500)),
    "flow yaml": "blocks: " + "[" * 50_000,
    "aliases": f"switches:\n  a: &a [x, x, x, x, x, x, x, x, x, x]\n{ALIASES}",
    "entities": '<!DOCTYPE a [<!ENTITY b "xxxxxxxxxx"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><system>&c;</system>',
    "outside entity": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><system>&b;</system>',
    "deep xml": "<system>" * 100_000,
    "commas": "source,target,bandwidth\n" + "," * 1_000_000,
    "a quote that never ends": 'source,target,gigabytes\n"' + "a" * 1_000_000,
    "hosts": "SwitchName=a Nodes=" + "n[0-999999999]",
    "hosts of hosts": "SwitchName=a Nodes=" + "n[0-9999]" * 20,
    "brackets": "SwitchName=a Nodes=" + "[" * 100_000,
}


@pytest.mark.parametrize(
    "name", ["snapshot", "plan", "fleet", "fleet_plan", "topology", "expert map", "transfers", "series"]
)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_bomb_is_refused_in_clear_words(name, text, tmp_path):
    for ending in (".json", ".yaml") if name == "expert map" else (".json", ".csv") if name == "transfers" else ("",):
        path = tmp_path / f"bomb{ending}"
        path.write_text(text)
        with pytest.raises(CLEAR) as refused:
            READERS[name](path)
        assert len(str(refused.value)) < 20_000


def test_aliases_of_a_map_are_refused_before_anybody_looks_at_them(tmp_path):
    """Only looking at ``*i``, to say what was found, would take a billion values."""
    text = TEXTS["aliases"] + "\ninitial_global_assignments: *i\nnum_slots: 2\n"
    (tmp_path / "map.yaml").write_text(text.replace("switches:\n", "x:\n"))
    with pytest.raises(BadSource, match="without aliases"):
        read_expert_map(tmp_path / "map.yaml")


def test_a_plan_that_says_a_thing_twice_is_refused(tmp_path):
    """We would carry out the second, while a reviewer may have read the first."""
    plan = replace(hostile_plan("x"), cluster="two-racks")
    write_plan(plan, tmp_path / "plan.json")
    text = (tmp_path / "plan.json").read_text()
    (tmp_path / "plan.json").write_text(text.replace('"seed": 7', '"seed": 1, "seed": 7'))
    with pytest.raises(PlanRefused, match="'seed' stands more than once"):
        read_plan(tmp_path / "plan.json")


@given(
    st.text(alphabet="ab/._-:\0é[]", min_size=1, max_size=12), st.text(alphabet="ab/._-:\0é[]", min_size=1, max_size=12)
)
def test_two_ids_never_share_a_file(one, other):
    if one != other:
        assert file_stem(one) != file_stem(other)


@given(st.text(alphabet=st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=300))
def test_a_file_of_an_id_stays_in_its_folder_and_fits(identifier):
    name = f".{file_stem(identifier)}.qfz.partial"
    assert "/" not in name
    assert "\0" not in name
    assert len(name.encode()) <= 255
    assert Path(name).name == name


@pytest.mark.parametrize("words", [*WORDS, "../../x", "a" * 256, "é" * 256])
def test_maps_of_experts_stay_in_their_folder(words, tmp_path):
    files = engine_files(hostile_snapshot(words).deployments)
    for name, text in files.items():
        (tmp_path / name).write_bytes(text.encode())
    assert len(list(tmp_path.iterdir())) == len(files)


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret", "link", "linked/secret", "a/../../secret"])
def test_a_checkpoint_outside_the_folder_of_its_snapshot_is_set_aside(path, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "in" / "linked").symlink_to(tmp_path)
    with pytest.raises(BadRecord, match="a path inside the snapshot's folder"):
        _source(Checkpoint("c", None, path, "torch"), tmp_path / "in")


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret", "link"])
def test_an_archive_outside_the_folder_of_its_plan_is_not_looked_at(path, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    snapshot = hostile_snapshot("x")
    action = Compress(snapshot.checkpoints[0].id, None, Archive(path, "a" * 64, 6), "r", 0.0)
    found = look_at_archives(replace(hostile_plan("x"), actions=(action,)), snapshot, tmp_path / "in")
    assert found.check is not None
    assert not found.check.passed
    assert "secret" not in found.check.detail.replace("../secret", "")


@pytest.fixture
def careless():
    """A process whose umask takes nothing, as in some containers."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> str:
    return stat.filemode(path.lstat().st_mode)


@pytest.mark.usefixtures("careless")
def test_nobody_but_owner_and_group_may_write_our_files(tmp_path):
    with whole_file(tmp_path / "a") as file:
        file.write(b"a")
        assert mode(Path(file.name))[-2] == "-"
    with claimed_file(tmp_path / "b") as file:
        assert mode(Path(file.name))[-2] == "-"
    write_whole(tmp_path / "c", "c")
    assert [mode(tmp_path / name) for name in "abc"] == ["-rw-rw-r--"] * 3
    with claimed_folder(tmp_path / "d") as folder:
        assert mode(folder)[-2] == "-"
    with run_folder(tmp_path / "runs") as run:
        assert mode(run.path)[-2] == "-"
    assert mode(tmp_path / "d") == mode(run.final) == "drwxrwxr-x"


@pytest.mark.parametrize("module", ["publish", "fleet_publish", "budget", "scaling", "links"])
def test_what_a_run_leaves_is_written_by_that_and_by_nothing_else(module):
    text = (Path(__file__).resolve().parents[2] / "flows" / f"{module}.py").read_text(encoding="utf-8")
    assert "whole_file" in text
    assert not re.search(r"\.write_(text|bytes)\(|\bopen\(|mkdir\((?!FOLDER_MODE)", text)


def test_temporary_names_cannot_be_guessed(tmp_path):
    names = set()
    for _ in range(20):
        with whole_file(tmp_path / "a") as file:
            names.add(Path(file.name).name)
    assert len(names) == 20
    assert all(len(name) > 16 for name in names)


def test_a_link_in_the_place_of_an_output_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "victim").write_text("kept")
    for write in (whole_file, claimed_file):
        (tmp_path / "out").unlink(missing_ok=True)
        (tmp_path / "out").symlink_to(tmp_path / "victim")
        with write(tmp_path / "out") as file:
            file.write(b"new")
        assert (tmp_path / "victim").read_text() == "kept"
        assert not (tmp_path / "out").is_symlink()


def test_a_link_that_waits_under_a_temporary_name_is_refused(tmp_path):
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "file").write_text("kept")
    (tmp_path / ".out.partial").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError), claimed_folder(tmp_path / "out"):  # noqa: PT011  # its number differs by system
        pass
    (tmp_path / ".file.partial").symlink_to(tmp_path / "victim" / "file")
    with pytest.raises(OSError), claimed_file(tmp_path / "file"):  # noqa: PT011
        pass
    assert (tmp_path / "victim" / "file").read_text() == "kept"


def test_a_run_does_not_write_through_a_link_in_the_place_of_latest(tmp_path):
    (tmp_path / "victim").mkdir()
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "latest").symlink_to(tmp_path / "victim")
    with run_folder(tmp_path / "runs", latest=pytest.fail) as folder:
        (folder.path / "plan.json").write_text("{}")
    assert list((tmp_path / "victim").iterdir()) == []
    assert (tmp_path / "runs" / "latest").resolve() == folder.final.resolve()


def test_nothing_that_a_reader_says_shows_a_whole_file(tmp_path):
    """A message quotes what it found; of a file that was named by mistake that must be little."""
    secret = "".join(f"secret{number:05d} " for number in range(5_000))
    for name, read in READERS.items():
        if name == "slurm's topology":
            continue  # a text without its lines has no switches, which is allowed; nothing is said of it
        for ending in (".json", ".yaml", ".csv"):
            path = tmp_path / f"file{ending}"
            path.write_text(secret)
            with pytest.raises(CLEAR) as refused:
                read(path)
            assert str(refused.value).count("secret") < 100, name


def test_json_that_ends_early_is_no_object(tmp_path):
    for text in ("", "null", "[]", "1", '"a"', "{", json.dumps("a" * 10**6)):
        for name in ("snapshot", "plan", "fleet", "fleet_plan"):
            (tmp_path / "a").write_text(text)
            with pytest.raises(CLEAR):
                READERS[name](tmp_path / "a")
