"""What several tests of executors change: a cluster of Slurm's commands, played by a stand-in."""

import os
import sys
from pathlib import Path

import pytest

from tests.tasks.apply.slurm_cluster import STAND_IN, Cluster


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    for name in ("squeue", "scontrol", "scancel"):
        # isolated and without site: it starts in a quarter of the time
        (tmp_path / name).write_text(f"#!{Path(sys.executable).resolve()} -IS\n{STAND_IN.read_text()}")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("tasks.apply.slurm_control._REST_S", 0.0)  # the stand-in has no clock of whole seconds
    return Cluster(tmp_path)
