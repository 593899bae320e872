"""Whatever happens to the simulator's process, the caller gets SolverFailed, and the next call works."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import qiskit_solvers
from qiskit_solvers import Ising, Qaoa, SolverFailed, TooLarge, sandbox
from qiskit_solvers.backends.transfer import pack_ising

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and the fence and the kill are Linux's")

ROOT = Path(qiskit_solvers.__file__).parents[1]
LONG = Qaoa(layers=2000, shots=1)  # a minute for 16 spins
PATIENCE_S = 30.0
"""Longer than ends that take a moment take on a machine with other work, shorter than what was ended would."""


def model(spins: int, seed: int = 3) -> Ising:
    rng = np.random.default_rng(seed)
    return Ising(rng.normal(size=spins), np.triu(rng.normal(size=(spins, spins)), 1))


def solve(qaoa: Qaoa, spins: int = 6) -> np.ndarray:
    return qaoa(model(spins), np.random.default_rng(0))


def during_a_long_call(act: Callable[[int], None]) -> str:
    """Start a long call, wait until its child is at work, act on the child; return why the call failed."""
    solve(Qaoa())  # one idle child, which the long call takes
    (pid,) = sandbox.children()
    before_s = processor_seconds(pid)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(solve, LONG, 16)
        while processor_seconds(pid) < before_s + 0.1:
            time.sleep(0.01)
        act(pid)
        with pytest.raises(SolverFailed) as failed:
            call.result(timeout=30)
    return str(failed.value)


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture(autouse=True)
def one_child_at_most():
    """Start without the idle children of an earlier test; afterwards, the next call must work."""
    for pid in sandbox.children():
        os.kill(pid, signal.SIGKILL)
        assert gone(pid)
    yield
    assert len(solve(Qaoa())) > 0


def test_a_killed_child_is_named_with_its_signal():
    reason = during_a_long_call(lambda pid: os.kill(pid, signal.SIGKILL))
    assert reason == "sample: its process was killed by signal 9 (SIGKILL)"


def test_a_crashed_child_is_named_with_its_signal():
    reason = during_a_long_call(lambda pid: os.kill(pid, signal.SIGSEGV))
    assert reason == "sample: its process was killed by signal 11 (SIGSEGV)"


def test_a_stalled_child_is_killed_at_the_deadline():
    solve(Qaoa())
    (pid,) = sandbox.children()
    os.kill(pid, signal.SIGSTOP)
    start_s = time.monotonic()
    with pytest.raises(SolverFailed, match=r"no answer within 0\.3 s; its process was killed"):
        solve(Qaoa(deadline_s=0.3))
    assert time.monotonic() - start_s < PATIENCE_S
    assert not Path(f"/proc/{pid}").exists()


def test_a_run_that_takes_too_long_is_killed_at_the_deadline():
    solve(Qaoa())
    (pid,) = sandbox.children()
    start_s = time.monotonic()
    with pytest.raises(SolverFailed, match=r"no answer within 0\.5 s"):
        solve(Qaoa(layers=2000, deadline_s=0.5), 16)
    assert time.monotonic() - start_s < PATIENCE_S
    assert not Path(f"/proc/{pid}").exists()


def asked(spins: int, shots: int = 1, layers: int = 1, memory_mb: int = 8) -> None:
    """Ask the child for what the parent would refuse."""
    request = {
        "ising": pack_ising(model(spins)),
        "gammas": [0.1] * layers,
        "betas": [0.1] * layers,
        "shots": shots,
        "seed": 0,
    }
    sandbox.call("sample", request, deadline_s=30, memory_mb=memory_mb)


def test_a_state_that_does_not_fit_is_refused_before_a_child_is_asked():
    before = sandbox.children()
    with pytest.raises(TooLarge, match="qaoa on aer: expected at most 8 MiB, needs 17 MiB"):
        solve(Qaoa(layers=1, memory_mb=8), 20)
    assert sandbox.children() == before


def test_a_state_that_does_not_fit_is_refused_by_the_simulator_too():
    """20 spins are 16 MB of amplitudes."""
    with pytest.raises(SolverFailed, match=r"out of memory: more than 8 MB wanted .*Required memory: 16M"):
        asked(20)


@pytest.mark.parametrize(
    "greedy",
    [
        pytest.param({"spins": 4, "shots": 20_000_000, "memory_mb": 64}, id="shots, allocated in Aer"),
        pytest.param({"spins": 12, "layers": 400, "memory_mb": 2}, id="gates, allocated in Python"),
    ],
)
def test_memory_that_the_simulator_did_not_count_is_fenced_off(greedy: dict[str, int]):
    start_s = time.monotonic()
    with pytest.raises(SolverFailed, match=f"out of memory: more than {greedy['memory_mb']} MB wanted"):
        asked(**greedy)
    assert time.monotonic() - start_s < PATIENCE_S


def test_an_error_in_the_child_comes_back_with_its_name():
    with pytest.raises(SolverFailed, match="forge: KeyError: 'forge'"):
        sandbox.call("forge", {}, deadline_s=10, memory_mb=64)


def test_a_child_that_died_idle_is_replaced_unseen():
    solve(Qaoa())
    (pid,) = sandbox.children()
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    assert len(solve(Qaoa())) > 0
    assert pid not in sandbox.children()


def test_a_killed_fork_server_takes_its_children_along_and_is_replaced():
    def kill_parent(pid: int) -> None:
        os.kill(parent_of(pid), signal.SIGKILL)

    assert during_a_long_call(kill_parent) == "sample: its process was killed together with the fork server"


def test_the_child_stays_warm():
    solve(Qaoa())
    before = sandbox.children()
    solve(Qaoa())
    assert sandbox.children() == before


def test_threads_solve_side_by_side_and_get_the_strings_of_their_own_models():
    alone = [Qaoa()(model(8, seed), np.random.default_rng(seed)) for seed in range(12)]
    with ThreadPoolExecutor(6) as threads:
        together = threads.map(lambda seed: Qaoa()(model(8, seed), np.random.default_rng(seed)), range(12))
        assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))
    assert len(sandbox.children()) <= 4


def test_the_other_threads_of_the_caller_go_on():
    ticks = []
    done = threading.Event()

    def tick() -> None:
        while not done.wait(0.01):
            ticks.append(time.monotonic())

    ticker = threading.Thread(target=tick)
    ticker.start()
    with pytest.raises(SolverFailed):
        solve(Qaoa(layers=2000, deadline_s=1.0), 16)
    done.set()
    ticker.join()
    assert max(np.diff(ticks)) < 0.5


def test_a_fork_of_the_caller_leaves_the_children_alone():
    solve(Qaoa())
    before = sandbox.children()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if not sandbox.children() and len(solve(Qaoa())) > 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    solve(Qaoa())
    assert sandbox.children() == before


SCRIPT = """
import os, signal, sys
import numpy as np
from qiskit_solvers import Ising, Qaoa, sandbox
print("started", flush=True)
h, J = np.ones(16), np.triu(np.ones((16, 16)), 1)
Qaoa(layers=1)(Ising(h, J), np.random.default_rng(0))
print(*sandbox.children(), flush=True)
if "long" in sys.argv:
    Qaoa(layers=2000)(Ising(h, J), np.random.default_rng(0))
"""


def run_script(tmp_path: Path, *arguments: str) -> "subprocess.Popen[str]":
    script = tmp_path / "unguarded.py"
    script.write_text(SCRIPT)
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", str(script), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_script_without_a_main_guard_runs_once_and_ends_in_silence(tmp_path: Path):
    with run_script(tmp_path) as process:
        output, errors = process.communicate(timeout=60)
    assert re.fullmatch(r"started\n\d+\n", output)
    assert errors == ""
    assert process.returncode == 0
    assert gone(int(output.split()[1]))


@pytest.mark.slow
def test_the_children_of_a_killed_caller_die_in_the_middle_of_a_run(tmp_path: Path):
    with run_script(tmp_path, "long") as process:
        assert process.stdout is not None
        process.stdout.readline()
        child = int(process.stdout.readline())
        before_s = processor_seconds(child)
        while processor_seconds(child) < before_s + 0.1:
            time.sleep(0.01)
        process.kill()
    assert gone(child)


def test_a_child_can_be_found_from_outside():
    solve(Qaoa())
    (pid,) = sandbox.children()
    assert Path(f"/proc/{pid}/comm").read_text() == "qf-solver\n"
    assert Path(f"/proc/{parent_of(pid)}/comm").read_text() == "qf-forkserver\n"
    assert parent_of(parent_of(pid)) == os.getpid()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def gone(pid: int, within_s: float = 5.0) -> bool:
    """Whether, within some seconds, the process ends or is a zombie with no other thread left."""
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
            if state == "Z" and len(list(Path(f"/proc/{pid}/task").iterdir())) == 1:
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False
