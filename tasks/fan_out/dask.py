"""How do workers of a Dask cluster take steps? Through its scheduler; on this machine we start one with some workers.

Whoever reaches a Dask scheduler can run code on its workers and, through answers, here: Dask carries Python objects
(pickle). So a scheduler elsewhere has to be named by whoever runs this process, not by whoever fills in a form, and
one that we start accepts only connections with a certificate made for it.
"""

import asyncio
import ipaddress
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from data.errors import BadRecord
from tasks.fan_out.dask_local import CERTIFICATES, STARTS_S, local_cluster
from tasks.fan_out.perform import asked, differences, fingerprint, perform
from tasks.fan_out.workers import Done, NoTeam, Step, Team

if TYPE_CHECKING:
    from distributed import Client, Future

ALLOWED = "QUANTUMFLOW_DASK_SCHEDULERS"
"""Environment variable: addresses of schedulers beyond this machine, by commas."""

ANSWERS_S = 30.0
"""For a scheduler, and for its first worker."""

LOOKS_S = 5.0
"""Between two looks whether there is still a worker, while an answer is awaited."""


SETTINGS = {
    "distributed.admin.large-graph-warning-threshold": "1GB",  # a step holds its problem
}


@dataclass(frozen=True, slots=True)
class Dask:
    """The workers of a Dask cluster.

    Args:
        address: of its scheduler, e.g. tls://10.0.0.5:8786; None starts a scheduler and workers on this machine.
        count: workers to start, where no address is given.
    """

    kind: Literal["dask"] = "dask"
    address: str | None = None
    count: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 256:
            raise ValueError(f"count: expected 1 to 256 workers, got {self.count}")

    @contextmanager
    def team(self) -> Iterator[Team]:
        """Connect to the scheduler, or start one with its workers and end them afterwards.

        Raises:
            BadRecord: Dask is not installed, or nobody vouches for the address.
            NoTeam: no scheduler or no worker answers, or a worker has other versions or another kind of processor.
        """
        if self.address is not None:
            trusted(self.address, os.environ)
        try:
            import dask.config
            import distributed
        except ModuleNotFoundError as error:
            bringing = (
                "pip install --constraint constraints.txt --editable '.[scale]'"  # that name on PyPI is a stranger's
            )
            wanted = f"Dask, which {bringing} in the project's folder brings"
            raise BadRecord("workers", wanted, "no package") from error
        from distributed.security import Security

        with _quiet(), dask.config.set(SETTINGS), ExitStack() as stack:
            if self.address is None:
                security = Security.temporary()  # type: ignore[no-untyped-call]
                certificates = {part: str(getattr(security, part)) for part in CERTIFICATES.values()}
                address = stack.enter_context(local_cluster(self.count, certificates))
            else:
                address = self.address
                security = Security(require_encryption=address.startswith("tls://"))  # type: ignore[no-untyped-call]
            try:
                client = distributed.Client(  # type: ignore[no-untyped-call]
                    address, timeout=ANSWERS_S, security=security, set_as_default=False
                )
            except (OSError, TypeError, RuntimeError) as error:  # a TypeError where tls has no certificates
                raise NoTeam(f"expected a Dask scheduler at {address}, found {error}") from error
            yield _ready(stack.enter_context(client), ANSWERS_S if self.address else STARTS_S)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave it to our own log to say what became of workers."""
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def trusted(address: str, environment: Mapping[str, str]) -> None:
    """Refuse the address of a scheduler that nobody vouches for.

    Args:
        address: as a form has it.
        environment: of this process; :data:`ALLOWED` lists what it may use, tcp:// only where it says so.

    Raises:
        BadRecord: it is no address, or beyond this machine and not listed.
    """
    parts = urlsplit(address)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in ("tcp", "tls") or not parts.hostname or port is None or parts.path or parts.query:
        raise BadRecord("workers.address", "tls://host:port or tcp://host:port", address)
    if _loopback(parts.hostname) or address in {each.strip() for each in environment.get(ALLOWED, "").split(",")}:
        return
    plain = "; over tcp:// whoever is on the network can run code on both sides" if parts.scheme == "tcp" else ""
    expected = f"a scheduler of this machine, or one that {ALLOWED} lists where the flow runs{plain}"
    raise BadRecord("workers.address", expected, address)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _ready(client: "Client", within_s: float) -> "DaskTeam":
    """Return the team once a worker is there, if all that are there compute as we do."""
    try:
        client.wait_for_workers(1, timeout=within_s)
        theirs = client.run(fingerprint, on_error="return")
    except (OSError, TimeoutError) as error:
        raise NoTeam(f"expected a Dask worker within {within_s:g} s, found {error}") from error
    for worker, prints in sorted(theirs.items()):
        if isinstance(prints, BaseException):
            raise ValueError(f"workers: expected quantumflow on {worker}, found {type(prints).__name__}: {prints}")
        if wrong := differences(fingerprint(), prints):
            raise ValueError(
                f"workers: expected what computes exactly as this process does, found {worker} with {wrong}"
            )
    return DaskTeam(client)


class DaskTeam:
    """The workers behind one client.

    Args:
        client: connected.
        looks_s: seconds between two looks whether there is still a worker.
    """

    def __init__(self, client: "Client", looks_s: float = LOOKS_S) -> None:
        self.client = client
        self._looks_s = looks_s

    def submit(self, step: Step[Any], priority: int) -> "_Answer":
        """Queue a step; the scheduler keeps what it was given, and so can hand it to another worker."""
        future = self.client.submit(perform, asked(step), priority=-priority, pure=False)
        return _Answer(self.client, future, self._looks_s)


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    client: "Client"
    future: "Future[Any]"
    looks_s: float

    def result(self) -> Done:
        """Wait for the answer, as long as there is a worker that could give it.

        Raises:
            NoWorker: none is left.
            Exception: what Dask says: the scheduler is gone, or the step killed its workers.
        """
        alone = 0
        while True:
            try:
                done = self.future.result(timeout=self.looks_s)
            except asyncio.CancelledError as error:  # not an Exception: it would end more than this step
                raise NoWorker("the Dask scheduler is gone") from error
            except TimeoutError:
                if self.future.status == "error":  # the step's own
                    raise
                if self.future.done():  # type: ignore[no-untyped-call]  # just after the look ended
                    continue
                alone = 0 if self.client.scheduler_info()["workers"] else alone + 1
                if alone > 1:
                    raise NoWorker("no Dask worker is left") from None
                continue
            if not isinstance(done, Done):
                raise TypeError(f"expected an answer with its time, got {type(done).__name__}")
            return done

    def cancel(self) -> None:
        """Drop the step."""
        self.future.cancel()  # type: ignore[no-untyped-call]


class NoWorker(RuntimeError):
    """A cluster has lost all its workers."""
