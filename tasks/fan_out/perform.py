"""What does a worker do with a step? It takes it if it computes exactly as the one that asks does, and times it."""

import hashlib
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tasks.fan_out.workers import Done, Step, Unlike

ARITHMETIC = ("numpy", "scipy", "numba", "llvmlite", "ortools")
"""Packages that say what sums come to, beside our own code."""

CODE = ("qiskit_solvers/**/*.py", "tasks/problems/*.py", "tasks/refine_steps.py")
"""Our own that do."""


@cache
def fingerprint() -> tuple[tuple[str, str], ...]:
    """Return what an answer's bytes depend on beside the step: source, versions, and kind of processor.

    Numpy and BLAS take other instructions on another processor, whose last digits may differ.
    """
    from llvmlite.binding import get_host_cpu_name  # type: ignore[import-untyped]

    root = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for file in sorted(file for pattern in CODE for file in root.glob(pattern)):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(root).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return (
        ("source", digest.hexdigest()[:16]),
        ("python", ".".join(str(part) for part in sys.version_info[:3])),
        ("processor", f"{platform.machine()} {get_host_cpu_name()}"),
        *((name, version(name)) for name in ARITHMETIC),
    )


def differences(ours: tuple[tuple[str, str], ...], theirs: tuple[tuple[str, str], ...]) -> str:
    """Return in words where two fingerprints differ; empty where they agree."""
    other = dict(theirs)
    return ", ".join(f"{name} {other.get(name)} instead of {value}" for name, value in ours if other.get(name) != value)


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A step as it is sent to another process.

    Args:
        work: a function of a module.
        given: its arguments.
        fingerprint: of the process that asks.
    """

    work: Callable[..., Any]
    given: tuple[Any, ...]
    fingerprint: tuple[tuple[str, str], ...]


def asked(step: Step[Any]) -> Asked:
    """Return what is sent of a step."""
    return Asked(step.work, step.given, fingerprint())


def perform(asked: Asked) -> Done:
    """Take a step for another process.

    Raises:
        Unlike: this process would perhaps answer otherwise.
    """
    if wrong := differences(asked.fingerprint, fingerprint()):
        raise Unlike(f"a worker has {wrong}")
    began = time.monotonic()
    value = asked.work(*asked.given)
    return Done(value, time.monotonic() - began)
