"""Are the units valid, do they run what exists, and how much of the machine may they touch?"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deployments" / "systemd"
UNITS = sorted(path.name for path in FOLDER.iterdir() if path.is_file())
SERVICES = [name.replace("@", "@1") for name in UNITS if name.endswith(".service")]
EXPOSURE = 20
"""Tenths of the scale of systemd-analyze security, on which an ordinary service has 92 to 96."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A root folder with our units in /etc, those of Debian, and programs where ours expect them."""
    if shutil.which("systemd-analyze") is None or not Path("/usr/lib/systemd/system").is_dir():
        pytest.skip("not installed: systemd-analyze")
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(FOLDER, root / "etc/systemd/system")
    shutil.copytree("/usr/lib/systemd/system", root / "usr/lib/systemd/system", symlinks=True)
    for program in ("prefect", "python"):
        path = root / "opt/quantumflow/.venv/bin" / program
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/true", path)
    return root


def analyze(root, *words):
    return subprocess.run(
        ["systemd-analyze", *words[:1], f"--root={root}", *words[1:]], capture_output=True, text=True, check=False
    )


def test_systemd_finds_no_fault(root):
    done = analyze(root, "verify", *(name.replace("@", "@1") for name in UNITS))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_misspelt_setting_would_be_found(root, tmp_path):
    shutil.copytree(root, tmp_path / "root", symlinks=True)
    unit = tmp_path / "root/etc/systemd/system/quantumflow-server.service"
    unit.write_text(unit.read_text().replace("RestartSec=5", "RestartSek=5"))
    assert "RestartSek" in analyze(tmp_path / "root", "verify", "quantumflow-server.service").stderr


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_touches_little(root, service):
    done = analyze(root, "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", service)
    assert done.returncode == 0, done.stdout
    assert re.search(rf"Overall exposure level for {service}: [01]\.", done.stdout)


def test_what_runs_need_holds_over_the_hardening(root):
    """Numba compiles in memory, simulations are limited by RLIMIT_AS; a drop-in of an earlier name would not hold."""
    table = analyze(root, "security", "--offline=true", "--no-pager", "quantumflow-worker@1.service").stdout
    assert re.search(r"✗ MemoryDenyWriteExecute=", table)
    assert re.search(r"✗ SystemCallFilter=~@resources", table)
    others = analyze(root, "security", "--offline=true", "--no-pager", "quantumflow-server.service").stdout
    assert re.search(r"✓ MemoryDenyWriteExecute=", others)


@pytest.mark.parametrize("service", [name for name in UNITS if name.endswith(".service")])
def test_each_service_reads_the_settings_of_its_side_alone(service):
    text = (FOLDER / service).read_text(encoding="utf-8")
    found = re.findall(r"^EnvironmentFile=/etc/quantumflow/(.*)$", text, re.M)
    side = "worker" if "worker" in service or "metrics" in service else "server"
    assert found == [f"{side}.env", *([] if "metrics" in service else [f"{side}.secrets.env"])]
    assert (ROOT / "deployments" / f"{side}.env").is_file()
    assert not re.search(r"PASSWORD|AUTH_STRING", text)


def test_the_target_wants_every_part():
    target = (FOLDER / "quantumflow.target").read_text(encoding="utf-8")
    wanted = set(re.findall(r"quantumflow-\S+", target))
    assert wanted == {
        "quantumflow-server.service",
        "quantumflow-services.service",
        "quantumflow-worker@1.service",
        "quantumflow-worker@2.service",
        "quantumflow-metrics.service",
        "quantumflow-backup.timer",
    }
    for unit in wanted - {"quantumflow-backup.timer"}:
        text = (FOLDER / unit.replace("@1", "@").replace("@2", "@")).read_text(encoding="utf-8")
        assert "PartOf=quantumflow.target" in text
        assert "Restart=always" in text
