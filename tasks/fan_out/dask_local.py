"""How is a Dask cluster of this machine started? A scheduler and workers, with a certificate made for this one run.

Without it every user of this machine could run code as us through the scheduler's port. Dask's ``LocalCluster`` would
import our ``__main__`` in each worker, which in a run of a deployment is Prefect's engine.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tasks.fan_out.processes import child_environment
from tasks.fan_out.workers import NoTeam

CERTIFICATES = {
    "--tls-ca-file": "tls_ca_file",
    "--tls-cert": "tls_scheduler_cert",
    "--tls-key": "tls_scheduler_key",
}
"""Dask's options, and which part of its temporary certificates each of them takes."""

STARTS_S = 120.0
"""For a scheduler, on a busy machine."""

LOOK_S = 0.05


@contextmanager
def local_cluster(workers: int, certificates: Mapping[str, str]) -> Iterator[str]:
    """Start a scheduler and workers, tell the scheduler's address, and kill all of them afterwards.

    Args:
        workers: processes of one thread each; they join when they are ready.
        certificates: PEM texts, by Dask's names.

    Raises:
        NoTeam: the scheduler did not start.
    """
    with TemporaryDirectory(prefix="quantumflow-dask-") as name, ExitStack() as stack:  # mode 0700
        folder = Path(name)
        options = []
        for option, part in CERTIFICATES.items():
            file = folder / f"{part}.pem"
            file.touch(0o600)
            file.write_text(certificates[part])
            options += [option, str(file)]
        said = folder / "scheduler.json"
        listens = ["--protocol", "tls", "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0", "--no-dashboard"]
        common = [*options, *listens, "--scheduler-file", str(said)]
        scheduler = stack.enter_context(_process("scheduler", *common, "--port", "0"))
        address = _address(said, scheduler)
        for number in range(workers):
            private = ["--no-nanny", "--nthreads", "1", "--memory-limit", "0", "--name", str(number)]
            stack.enter_context(_process("worker", *common, *private, "--local-directory", str(folder)))
        yield address


@contextmanager
def _process(part: str, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-P", "-m", "tasks.fan_out.dask_child", str(os.getpid()), part, *options]
    process = subprocess.Popen(  # noqa: S603 - this interpreter, our module
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # what a lost worker meant is said in our own log
        env=child_environment(),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _address(said: Path, scheduler: "subprocess.Popen[bytes]") -> str:
    """Wait until the scheduler says where it listens."""
    until_s = time.monotonic() + STARTS_S
    while time.monotonic() < until_s and scheduler.poll() is None:
        try:
            return str(json.loads(said.read_text())["address"])
        except (OSError, ValueError):  # not yet, or half written
            time.sleep(LOOK_S)
    raise NoTeam(f"expected a Dask scheduler of this machine within {STARTS_S:g} s, found exit {scheduler.poll()}")
