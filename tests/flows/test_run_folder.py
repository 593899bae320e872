"""Facts about the links in a folder of runs: they never go back, and nothing of them makes a run fail."""

import time
from pathlib import Path

import pytest

from flows.run_folder import LATEST, LATEST_FLEET, _newer, leads_to, run_folder
from flows.terminal import also


def left(runs: Path, name: str) -> Path:
    (runs / name).mkdir(parents=True)
    (runs / "latest").unlink(missing_ok=True)
    (runs / "latest").symlink_to(name)
    return runs / name


def ended(runs: Path, link: str = LATEST) -> tuple[Path, list[str]]:
    """Let a run end well; return its folder, and what was said of the link."""
    said: list[str] = []
    with run_folder(runs, link=link, latest=said.append) as folder:
        pass
    assert not list(runs.glob(".*")), "nothing is left behind"
    return folder.final, said


@pytest.mark.parametrize("before", ["20200101T000000Z-aaaaaa", "29990101T000000Z-aaaaaa"])
def test_an_older_run_and_one_of_the_future_give_way(tmp_path: Path, before: str) -> None:
    left(tmp_path, before)
    run, said = ended(tmp_path)
    assert said == []
    assert leads_to(tmp_path / "latest", run)
    assert also(run).endswith("points there")


def test_a_run_that_ends_late_leaves_the_link_at_the_newer_one(tmp_path: Path) -> None:
    said: list[str] = []
    with run_folder(tmp_path, latest=said.append) as old:
        time.sleep(1.1)  # names tell seconds
        newer, _ = ended(tmp_path / "other")
        newer.rename(tmp_path / newer.name)
        (tmp_path / "latest").symlink_to(newer.name)
    assert leads_to(tmp_path / "latest", tmp_path / newer.name)
    assert said == [f"{tmp_path / 'latest'} still points at {newer.name}, which began later"]
    assert "does not point there" in also(old.final)


def test_which_run_is_newer_goes_by_when_they_began(tmp_path: Path) -> None:
    left(tmp_path, "20200102T000000Z-000000")
    for name, newer in (
        ("20200101T000000Z-ffffff", True),
        ("20200102T000000Z-ffffff", False),
        ("20200103T000000Z-000000", False),
    ):
        assert bool(_newer(tmp_path / "latest", name)) == newer
    (tmp_path / "20200102T000000Z-000000").rmdir()
    assert not _newer(tmp_path / "latest", "20200101T000000Z-ffffff"), "it is gone"


def test_a_run_is_whole_where_the_link_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    run, said = ended(tmp_path)
    assert run.is_dir()
    assert (tmp_path / "latest").is_dir()
    assert "cannot be pointed at" in said[0]
    assert "does not point there" in also(run)


def test_plans_of_clusters_and_of_fleets_have_a_link_each(tmp_path: Path) -> None:
    cluster, _ = ended(tmp_path)
    fleet, said = ended(tmp_path, LATEST_FLEET)
    assert said == []
    assert leads_to(tmp_path / "latest", cluster)
    assert leads_to(tmp_path / "latest-fleet", fleet)
    assert also(fleet, LATEST_FLEET) == f"also    {tmp_path / 'latest-fleet'} points there"


def test_a_run_that_does_not_plan_leaves_the_link_alone(tmp_path: Path) -> None:
    before = left(tmp_path, "20200101T000000Z-aaaaaa")
    with run_folder(tmp_path):
        pass
    assert leads_to(tmp_path / "latest", before)
