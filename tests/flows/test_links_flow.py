"""Does the links flow write rounds, and refuse what it cannot use?"""

from pathlib import Path

import pytest

from data.errors import BadSource
from data.schemas.transfers import ROUND_SCHEDULE
from flows.links import LinksParams, schedule_links
from qiskit_solvers.qaoa import Qaoa


def test_an_edge_list_becomes_rounds(tmp_path: Path) -> None:
    edges = tmp_path / "links.csv"
    edges.write_text("source,target,bandwidth,uses\na,b,900,rail0\nb,c,900,rail0\nc,a,900,rail1\n")
    run = schedule_links(
        LinksParams(transfers=edges, output=tmp_path / "runs", solver=Qaoa(on="simulator"), effort="quick")
    )
    schedule = ROUND_SCHEDULE.validate_json((Path(run) / "rounds.json").read_bytes())
    assert len(schedule.rounds) == 2
    assert schedule.optimal


def test_what_cannot_be_scheduled_leaves_no_run(tmp_path: Path) -> None:
    edges = tmp_path / "links.csv"
    edges.write_text("source,target,bandwidth\na,b,900\n")
    params = LinksParams(transfers=edges, output=tmp_path / "runs", method="crossbar", duplex="half")
    with pytest.raises(BadSource, match="full duplex"):
        schedule_links(params)
    assert list((tmp_path / "runs").iterdir()) == []
