"""What must the Prefect server say before a plan is applied? That nothing is frozen, and that nobody else applies."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import ConcurrencyLeaseHolder
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.settings import get_current_settings
from prefect.variables import Variable

from data.errors import PlanRefused
from tasks.apply.guards import frozen_because

FREEZE = "quantumflow_freeze"
"""The Prefect variable that stops every apply: a text with the reason, or true."""

LIMIT = "quantumflow-apply"
"""The global concurrency limit, of one slot, that keeps applies of several machines apart."""

LEASE_S = 60.0
"""Seconds after which the slot of an apply that was killed is free again; renewed until then."""


def require_server(*, alone: bool) -> bool:
    """Tell whether there is a server that other machines ask as well.

    Raises:
        PlanRefused: there is none, and nobody said that this machine is the only one.
    """
    if get_current_settings().api.url:
        return True
    if alone:
        return False
    raise PlanRefused(
        "no Prefect server is set (PREFECT_API_URL), so the freeze switch cannot be read and other machines could "
        "apply at the same time; set it, or say --alone where no other machine applies plans to this cluster"
    )


def require_thawed() -> None:
    """Make sure that nobody froze the cluster.

    Raises:
        PlanRefused: somebody did, or the server cannot be asked.
    """
    try:
        value = Variable.get(FREEZE)
    except Exception as error:  # whatever it is: a switch that cannot be read is on
        raise PlanRefused(
            f"freeze switch: the variable {FREEZE} cannot be read ({type(error).__name__}: {error}); nothing is "
            "applied until the Prefect server answers"
        ) from error
    why = frozen_because(value)
    if why is not None:
        raise PlanRefused(
            f"frozen: the variable {FREEZE} says: {why}; to thaw: prefect variable set {FREEZE} false --overwrite"
        )


@contextmanager
def slot(wait_s: float) -> Iterator[None]:
    """Hold the one slot of the limit on the server, renewed while the block runs.

    Args:
        wait_s: seconds to wait for it.

    Raises:
        PlanRefused: another apply holds it, or the limit is not there.
    """
    _require_limit()
    holder = ConcurrencyLeaseHolder(type="flow_run", id=flow_run.id) if flow_run.id else None
    with ExitStack() as stack:
        try:
            held = concurrency(LIMIT, strict=True, timeout_seconds=wait_s, lease_duration=LEASE_S, holder=holder)
            stack.enter_context(held)
        except TimeoutError as error:
            raise PlanRefused(
                f"another apply, on whichever machine, holds the limit {LIMIT} of the Prefect server; let it end; "
                f"the slot of one that was killed is free again after {LEASE_S:.0f} s"
            ) from error
        except ConcurrencySlotAcquisitionError as error:
            raise PlanRefused(f"the limit {LIMIT} of the Prefect server cannot be taken: {error}") from error
        yield


def _require_limit() -> None:
    """Make sure that the limit is there, on, and of one slot.

    Raises:
        PlanRefused: it is not.
    """
    with get_client(sync_client=True) as client:
        try:
            limit = client.read_global_concurrency_limit_by_name(LIMIT)
        except ObjectNotFound as error:
            raise PlanRefused(
                f"the limit {LIMIT} is not on the Prefect server: run python -m deployments.provision, or "
                f"prefect gcl create {LIMIT} --limit 1"
            ) from error
    if limit.limit != 1 or not limit.active:
        state = "on" if limit.active else "off"
        raise PlanRefused(
            f"the limit {LIMIT} of the Prefect server: expected one slot, switched on, found {limit.limit}, {state}; "
            f"prefect gcl update {LIMIT} --limit 1, and prefect gcl enable {LIMIT}"
        )
