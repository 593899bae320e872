"""How does a plan come together? Actions, their inverse, the figures, and the account of how they were found."""

from collections.abc import Sequence
from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE

from data.digest import signed, snapshot_digest
from data.errors import BadRecord
from data.schemas.cluster import Snapshot
from data.schemas.plan import Action, AssumedPower, Bound, Compress, Fallback, Metric, Plan, SetAside, SolverRow
from data.transition import inverse
from tasks.problems.protocol import Figure


@dataclass(frozen=True, slots=True)
class Part:
    """What one problem, or the checkpoints, add to a plan.

    Args:
        actions: in the order in which they are to be made.
        before: figures of what is in force.
        after: the same figures with the actions made.
        rows: what each method reached.
        bounds: proven lower bounds.
        fallbacks: what stood in for what.
        notes: what a reader should know.
    """

    actions: tuple[Action, ...] = ()
    before: tuple[Figure, ...] = ()
    after: tuple[Figure, ...] = ()
    rows: tuple[SolverRow, ...] = ()
    bounds: tuple[Bound, ...] = ()
    fallbacks: tuple[Fallback, ...] = ()
    notes: tuple[str, ...] = ()


def assemble(
    snapshot: Snapshot,
    parts: Sequence[Part],
    *,
    assumed_power: tuple[AssumedPower, ...],
    set_aside: Sequence[BadRecord],
    notes: Sequence[str],
    code_version: str,
    options: str,
    seed: int,
) -> Plan:
    """Return the signed plan for ``snapshot`` that consists of ``parts``, in order.

    Args:
        snapshot: the state that the plan is made for.
        parts: one per problem, in the order in which they build on one another.
        assumed_power: draws that were forecast.
        set_aside: records of the input that were not used.
        notes: what a reader should know.
        code_version: of the software that made it.
        options: what the run was asked for, as JSON.
        seed: of all chance.
    """
    actions = tuple(action for part in parts for action in part.actions)
    return signed(
        Plan(
            cluster=snapshot.cluster,
            snapshot_sha256=snapshot_digest(snapshot),
            snapshot_taken_at=snapshot.taken_at,
            code_version=code_version,
            options=options,
            seed=seed,
            actions=actions,
            inverse=inverse(actions),
            assumed_power=assumed_power,
            metrics=tuple(metric for part in parts for metric in _metrics(part)),
            solvers=tuple(row for part in parts for row in part.rows),
            bounds=tuple(bound for part in parts for bound in part.bounds),
            fallbacks=tuple(fallback for part in parts for fallback in part.fallbacks),
            set_aside=tuple(SetAside(record.path, record.expected, record.found) for record in set_aside),
            notes=(*notes, *(note for part in parts for note in part.notes)),
            sha256="0" * 64,
        )
    )


def _metrics(part: Part) -> list[Metric]:
    after = {figure.name: figure.value for figure in part.after}
    return [Metric(figure.name, figure.unit, figure.value, after[figure.name], figure.better) for figure in part.before]


def archived(compressions: Sequence[Compress], source_bytes: int) -> Part:
    """Return the part of a plan that registers archives of checkpoints of ``source_bytes`` bytes in total."""
    if not compressions:
        return Part()
    size = sum(action.after.size_bytes for action in compressions if action.after is not None)
    return Part(
        actions=tuple(compressions),
        before=(Figure("checkpoint.bytes", "bytes", float(source_bytes), "lower"),),
        after=(Figure("checkpoint.bytes", "bytes", float(size), "lower"),),
    )


@task(name="plan", cache_policy=NO_CACHE)
def assemble_plan(
    snapshot: Snapshot,
    parts: Sequence[Part],
    *,
    assumed_power: tuple[AssumedPower, ...],
    set_aside: Sequence[BadRecord],
    notes: Sequence[str],
    code_version: str,
    options: str,
    seed: int,
) -> Plan:
    """Run :func:`assemble` as a Prefect task."""
    return assemble(
        snapshot,
        parts,
        assumed_power=assumed_power,
        set_aside=set_aside,
        notes=notes,
        code_version=code_version,
        options=options,
        seed=seed,
    )
