"""What becomes of plans when processes are killed, disks are full and clocks jump? One fault after another, for real.

Each test records a row of the fault table: what happened, what was lost, and the seconds until all went on again.
The table stands at the end of pytest's output, and in deployments/FAULTS.md.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.system, pytest.mark.long]

ROOT = Path(__file__).resolve().parents[2]
PREFECT = Path(sys.executable).with_name("prefect")
LIMIT_S = 900.0
LONG = {"evaluations": 4_000_000, "rounds": 4, "window": 10, "patience": 4, "tries": 8}
"""Effort of a run that is long enough to be hit."""

SHORT = {"evaluations": 2_000, "rounds": 1, "window": 8, "patience": 1, "tries": 4}


@dataclass(slots=True)
class Site:
    """A server and a worker that tests may kill and start again.

    Args:
        api: of the server (the fixture ``prefect_api``).
        environment: of both.
        folder: of their logs, and of the runs.
    """

    api: Any
    environment: dict[str, str]
    folder: Path
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self, name: str) -> None:
        words = {
            "server": ("server", "start"),
            "worker": ("worker", "start", "--pool", "quantumflow", "--type", "process"),
        }[name]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [PREFECT, *words],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                # where pytest itself was started with `&`, children would ignore SIGINT, and with it Prefect's SIGTERM
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait()

    def run(self, *words: str) -> str:
        done = subprocess.run(
            [PREFECT, *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def begin(self, effort: dict[str, int], environment: dict[str, str] | None = None, **more: object) -> str:
        """Start a run of the manual deployment, with more in its environment, and return its id."""
        form = {"source": {"kind": "sample"}, "nouns": ["placement", "power"], "custom_effort": effort}
        params = {**form, "output": str(self.runs), **more}
        variables = {"env": environment} if environment else {}
        return self.api.begin(
            "manual", parameters={"params": params}, state={"type": "SCHEDULED"}, job_variables=variables
        )

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def plans(self) -> set[str]:
        return {path.parent.name for path in self.runs.glob("[0-9]*/plan.json")}

    def progress(self, run: str) -> float:
        found = [each["data"] for each in self.api.of_run("artifacts", run) if each["type"] == "progress"]
        return float(found[-1]) if found else 0.0

    def engine(self) -> int:
        """Return the process that carries out the flow run: the one in which our own modules are loaded."""
        mine = _descendants(self.processes["worker"].pid)
        return max(mine, key=lambda pid: int(Path(f"/proc/{pid}/statm").read_text().split()[1]))


def _descendants(parent: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = stat.read_text().split(" ", 1)
        except OSError:
            continue
        parents.setdefault(int(rest.rpartition(")")[2].split()[1]), []).append(int(pid))
    found, open_ones = [], [parent]
    while open_ones:
        children = parents.get(open_ones.pop(), [])
        found += children
        open_ones += children
    return found


@pytest.fixture(scope="module")
def site(prefect_api, prefect_environment, until, tmp_path_factory) -> Iterator[Site]:
    """A server with the deployments, and a worker."""
    environment = {
        **prefect_environment,
        "PREFECT_API_URL": f"http://127.0.0.1:{prefect_api.port}/api",
        "PREFECT_SERVER_API_PORT": str(prefect_api.port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "DO_NOT_TRACK": "1",
        "QUANTUMFLOW_ROOT": str(ROOT),
    }
    place = Site(prefect_api, environment, tmp_path_factory.mktemp("site"))
    place.runs.mkdir()
    try:
        place.start("server")
        until(prefect_api.healthy, LIMIT_S, place.folder / "server.log")
        place.run("work-pool", "create", "quantumflow", "--type", "process")
        place.run("--no-prompt", "deploy", "--name", "manual")
        place.start("worker")
        yield place
    finally:
        for process in place.processes.values():
            process.terminate()
        for process in place.processes.values():
            try:
                process.wait(60.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def halfway(site: Site, run: str, until, share: float = 15.0) -> None:
    """Wait until ``run`` has done some of its work."""

    def well_begun() -> bool:
        assert not site.api.ended(run), site.api.of_run("logs", run)
        return site.progress(run) >= share

    until(well_begun, LIMIT_S, site.folder / "worker.log")


def completed(site: Site, run: str, until) -> None:
    until(lambda: site.api.ended(run), LIMIT_S, site.folder / "worker.log")
    assert site.api.state(run) == "COMPLETED", site.api.of_run("logs", run)


def latest_is_whole(site: Site) -> None:
    """The newest plan verifies, whatever happened meanwhile."""
    done = subprocess.run(
        [sys.executable, "-m", "flows", "plan", "verify", str(site.runs / "latest")],
        cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_killed_flow_ends_as_crashed_and_goes_on_where_it_was(site, until, record_property):
    first = site.begin(SHORT)
    completed(site, first, until)
    before = site.plans()
    run = site.begin(LONG)
    halfway(site, run, until, 50.0)
    killed = time.monotonic()
    os.kill(site.engine(), signal.SIGKILL)
    until(lambda: site.api.ended(run), LIMIT_S, site.folder / "worker.log")
    assert site.api.state(run) == "CRASHED"
    crashed_s = time.monotonic() - killed
    assert site.plans() == before, "no half plan has a name"
    latest_is_whole(site)
    kept = site.runs / f".stages-{run}"
    finished = sorted(json.loads(path.read_bytes().split(b"\n")[0])["step"] for path in kept.iterdir())
    assert "reading" in finished
    assert "part-placement" in finished
    # the worker reports the end of its own child later than that one did: a run retried until then is called Crashed
    until(lambda: not _descendants(site.processes["worker"].pid), LIMIT_S, site.folder / "worker.log")
    time.sleep(3.0)
    site.run("flow-run", "retry", run)
    until(lambda: site.api.state(run) != "CRASHED", LIMIT_S)
    completed(site, run, until)
    assert len(site.plans()) == len(before) + 1
    latest_is_whole(site)
    assert not kept.exists(), "nothing is kept of a run that succeeded"
    record_property(
        "fault",
        ("kill -9 of the flow", "Crashed; retried, it went on with its finished steps", "nothing", crashed_s),
    )


def test_after_a_killed_worker_another_one_takes_over(site, until, record_property):
    """Whether the run of a killed worker outlives it is Prefect's affair; what it had finished is kept either way."""
    before = site.plans()
    run = site.begin(LONG)
    halfway(site, run, until)
    flow = site.engine()
    site.kill("worker")
    killed = time.monotonic()
    site.start("worker")
    following = site.begin(SHORT)
    completed(site, following, until)
    seconds = time.monotonic() - killed
    until(lambda: site.api.ended(run) or not Path(f"/proc/{flow}").exists(), LIMIT_S)
    outlived = site.api.state(run) == "COMPLETED"
    assert outlived or (site.runs / f".stages-{run}").is_dir(), site.api.of_run("logs", run)
    assert len(site.plans()) == len(before) + 1 + outlived
    latest_is_whole(site)
    happened = "its run ended well" if outlived else "its run died with it: no sign of life, so Crashed after 3 minutes"
    record_property(
        "fault", ("kill -9 of the worker", f"{happened}; the next worker took the next run", "nothing", seconds)
    )


def test_a_killed_server_comes_back_and_the_run_ends_well(site, until, record_property):
    before = site.plans()
    run = site.begin(LONG)
    halfway(site, run, until)
    site.kill("server")
    time.sleep(5.0)
    killed = time.monotonic()
    site.start("server")
    until(site.api.healthy, LIMIT_S, site.folder / "server.log")
    up_s = time.monotonic() - killed
    completed(site, run, until)
    assert len(site.plans()) == len(before) + 1
    latest_is_whole(site)
    following = site.begin(SHORT)
    completed(site, following, until)
    record_property("fault", ("kill -9 of the server for 5 s", "the run waited for it and ended well", "nothing", up_s))


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own with little room."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_no_half_plan_and_the_next_run_succeeds(site, until, record_property):
    with small_disk(site.folder / "small", "3m") as disk:
        runs = disk / "runs"
        filler = disk / "filler"
        filler.write_bytes(b"\0" * 2_900_000)
        run = site.begin(SHORT, output=str(runs))
        until(lambda: site.api.ended(run), LIMIT_S, site.folder / "worker.log")
        assert site.api.state(run) == "FAILED", site.api.of_run("logs", run)

        def told() -> bool:
            return any("No space left on device" in line["message"] for line in site.api.of_run("logs", run))

        until(told, 30.0)
        assert not [path for path in runs.rglob("*") if path.is_file() and ".stages-" not in str(path)]
        filler.unlink()
        freed = time.monotonic()
        again = site.begin(SHORT, output=str(runs))
        completed(site, again, until)
        seconds = time.monotonic() - freed
        assert (runs / "latest" / "plan.json").is_file()
    record_property("fault", ("disk full", "Failed, and the log says why; no half plan", "nothing", seconds))


def test_while_the_source_is_down_the_last_plan_stays_and_then_new_ones_come(
    site, slurm, background, until, record_property
):
    """Slurm's controller is killed; what late runs do when it comes back is tried in test_worker.py."""
    number = slurm.submit("--nodes=2", "--gres=gpu:gb200:4", "--time=60")
    until(lambda: slurm.where()[number][0] == "RUNNING")
    form = {"source": {"kind": "slurm", "timeout_s": 5.0}, "environment": slurm_words()}
    first = site.begin(SHORT, **form)
    completed(site, first, until)
    before, latest = site.plans(), (site.runs / "latest").resolve()

    os.kill(int((slurm.folder / "slurmctld.pid").read_text()), signal.SIGKILL)
    failed = site.begin(SHORT, **form)
    until(lambda: site.api.ended(failed), LIMIT_S, site.folder / "worker.log")
    assert site.api.state(failed) == "FAILED"

    def told() -> bool:
        return any("squeue" in line["message"] for line in site.api.of_run("logs", failed))

    until(told, 30.0)
    assert site.plans() == before
    assert (site.runs / "latest").resolve() == latest
    latest_is_whole(site)

    back = time.monotonic()
    with background(["slurmctld", "-D"], site.folder / "slurmctld.log"):
        until(lambda: number in slurm.where())
        following = site.begin(SHORT, **form)
        completed(site, following, until)
        seconds = time.monotonic() - back
        assert len(site.plans()) == len(before) + 1
        slurm.run("scancel", number)
        until(lambda: not slurm.where())
    happened = "Failed after four tries that the log tells; the last plan stayed; the next run planned anew"
    record_property("fault", ("source down (kill -9 of Slurm's controller)", happened, "nothing", seconds))


def slurm_words() -> dict[str, str]:
    """What a run must know to find the Slurm that the fixture started."""
    return {name: os.environ[name] for name in ("PATH", "SLURM_CONF")}


def test_a_clock_that_jumps_does_not_end_a_run(site, until, tmp_path, record_property):
    """The time guard counts on a clock that does not jump; only the worker and what it starts sees the jumps."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        pytest.skip("not installed: faketime (see .ci/install_faketime.sh)")
    offset = tmp_path / "offset"
    offset.write_text("+0\n")
    before = site.plans()
    command = [sys.executable, "-m", "flows", "run", "--sample", "over-cap", "--effort", "quick", "--guard", "600"]
    environment = {
        **site.environment,
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    begun = time.monotonic()
    log = tmp_path / "run.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--output", str(site.runs)], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        for jump in ("+2h", "-3h", "+1d"):
            time.sleep(4.0)
            assert process.poll() is None, f"it ended before the clock jumped by {jump}: {log.read_text()}"
            offset.write_text(f"{jump}\n")
        assert process.wait(LIMIT_S) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    (made,) = site.plans() - before
    plan = json.loads((site.runs / made / "plan.json").read_text())
    assert not [each for each in plan["fallbacks"] if "time" in each["reason"]], "the guard was not fooled"
    latest_is_whole(site)
    seconds = time.monotonic() - begun
    record_property("fault", ("clock jumps by hours and a day", "the run ended well", "nothing", seconds))
