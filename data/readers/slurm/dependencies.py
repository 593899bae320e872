"""For which jobs does a Slurm job wait? Dependency strings such as ``afterok:12(unfulfilled),afterany:13_*``."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_JOB = re.compile(r"^(\d+)(?:_(\d+|\*))?(?:\+\d+)?(?:\((\w+)\))?$")


@dataclass(frozen=True, slots=True)
class Dependency:
    """What a dependency string asks for.

    Args:
        jobs: numbers that must end first: ``12``, one task ``12_3``, or all tasks ``12_*``.
        started: numbers that must have started (``after``); they count only while they are pending.
        singleton: waits for every earlier job of the same name and user.
        failed: one of them has failed already, so the job never starts.
        either: one of several would do (``?``); all of them are listed.
    """

    jobs: tuple[str, ...] = ()
    started: tuple[str, ...] = ()
    singleton: bool = False
    failed: bool = False
    either: bool = False


def parse_dependency(text: str) -> Dependency:
    """Return what ``text`` asks for; conditions marked as fulfilled and kinds that wait for no job are left out."""
    jobs: list[str] = []
    started: list[str] = []
    singleton = failed = False
    for condition in re.split(r"[,?]", text):
        kind, *targets = condition.strip().split(":")
        singleton |= kind.startswith("singleton") and "(fulfilled)" not in kind
        for target in targets:
            match = _JOB.match(target)
            if match is None or match[3] == "fulfilled" or not kind.startswith("after"):
                continue
            failed |= match[3] == "failed"
            (started if kind == "after" else jobs).append(match[1] + (f"_{match[2]}" if match[2] else ""))
    return Dependency(tuple(jobs), tuple(started), singleton, failed and "?" not in text, "?" in text)


def resolve(
    dependency: Dependency, ids: Mapping[str, Sequence[str]], pending: frozenset[str], earlier: Sequence[str]
) -> tuple[str, ...]:
    """Return the ids of the jobs waited for; those that the snapshot does not hold are over and left out.

    Args:
        dependency: what a pending job waits for.
        ids: number or array task, as in the string, to the ids of the jobs that it means.
        pending: ids of jobs that have not started.
        earlier: ids of the earlier jobs of the same name and user.
    """
    found = [job for text in dependency.jobs for job in ids.get(text, ())]
    found += [job for text in dependency.started for job in ids.get(text, ()) if job in pending]
    if dependency.singleton:
        found += earlier
    return tuple(dict.fromkeys(found))
