"""Is this machine fit for a run? Python, packages, compiled kernels, room on disks, memory, the clock."""

import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from flows.doctor.check import Check, Verdict
from tasks.report.quantities import counted, quantity

ROOT = Path(__file__).absolute().parents[2]  # links stay: numba names its folders by the path of the import
PROJECT = "quantumflow"
CONSTRAINTS = "constraints.txt"
LITTLE_DISK, NO_DISK = 2 << 30, 200 << 20
LITTLE_MEMORY, NO_MEMORY = 2 << 30, 500 << 20
LITTLE_INODES, NO_INODES = 0.05, 0.005
_GROUPS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)
"""Where a control group keeps its limit, what is used, and how much of that is cached files; version 2, version 1."""
_NAMED = 4
_COMPILED = re.compile(r"^\s*@(?:numba\.)?n?jit\(.*cache=True|^\s*@inner\b", re.MULTILINE)


def python_and_packages() -> Iterator[Check]:
    """Compare Python and the installed packages with what the project asks for, and with what was tested."""
    wanted = metadata(PROJECT)["Requires-Python"]
    found = ".".join(map(str, sys.version_info[:3]))
    fits = SpecifierSet(wanted).contains(found)
    yield Check("python", "ok" if fits else "fail", f"{found}, needed {wanted}", "" if fits else "run make setup")
    wrong = list(_unmet())
    told = f"{version(PROJECT)}; {counted(len(wrong), 'package')} missing or of a wrong version"
    if wrong:
        yield Check("packages", "fail", f"{told}: {_some(wrong)}", "run make setup, or pip install --editable .")
    else:
        yield Check("packages", "ok", f"{PROJECT} {version(PROJECT)}, every package that it needs is there")
    yield from _tested(ROOT / CONSTRAINTS)


def _unmet() -> Iterator[str]:
    """Yield the packages that the project needs and does not get."""
    for text in requires(PROJECT) or []:
        need = Requirement(text)
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(need.name)
        except PackageNotFoundError:
            yield f"{need.name} is missing"
            continue
        if not need.specifier.contains(found, prereleases=True):
            yield f"{need.name} {found} (needed {need.specifier})"


def _tested(file: Path) -> Iterator[Check]:
    """Compare with the versions that were tested together; those that are not installed are no concern."""
    if not file.is_file():
        return
    other, count = [], 0
    for line in file.read_text(encoding="utf-8").splitlines():
        name, equal, wanted = line.partition("#")[0].strip().partition("==")
        with suppress(PackageNotFoundError):
            if equal:
                found = version(name)
                count += 1
                if found.partition("+")[0] != wanted.partition("+")[0]:
                    other.append(f"{name} {found} (tested {wanted})")
    if other:
        advice = f"pip install --constraint {CONSTRAINTS} --editable . brings the tested ones"
        yield Check("tested versions", "warn", f"{len(other)} of {count} differ: {_some(other)}", advice)
    else:
        yield Check("tested versions", "ok", f"{counted(count, 'package')} as in {CONSTRAINTS}")


def kernels(root: Path = ROOT) -> Iterator[Check]:
    """See whether compiled arithmetic is ready, so that the first run need not wait for it."""
    missing, stale, ready = [], [], 0
    for folder in ("tasks", "qiskit_solvers"):
        for source in sorted((root / folder).rglob("*.py")):
            if not _COMPILED.search(source.read_text(encoding="utf-8", errors="replace")):
                continue
            kept = list(_cache(source).glob(f"{source.stem}.*.nbi"))
            if not kept:
                missing.append(source.stem)
            elif max(file.stat().st_mtime for file in kept) < source.stat().st_mtime:
                stale.append(source.stem)
            else:
                ready += 1
    total = ready + len(missing) + len(stale)
    if not ready and not stale:
        advice = "run python -m flows compile (a few minutes, once); until then the first run of each part waits"
        yield Check("compiled kernels", "warn", f"none of {counted(total, 'module')} is compiled", advice)
    elif stale:
        advice = "run python -m flows compile; else the next run that needs them waits"
        yield Check("compiled kernels", "warn", f"older than their source: {_some(stale)}", advice)
    else:
        left = f"; on first use: {_some(missing)}" if missing else ""
        yield Check("compiled kernels", "ok", f"{ready} of {counted(total, 'module')} ready{left}")


def _cache(source: Path) -> Path:
    """Return where numba keeps what it compiled of ``source``."""
    named, folder = os.environ.get("NUMBA_CACHE_DIR"), source.parent.absolute()
    if not named:
        return folder / "__pycache__"
    digest = hashlib.sha1(str(folder).encode(), usedforsecurity=False).hexdigest()  # as numba.core.caching names it
    return Path(named, f"{folder.name}_{digest}")


def room(places: Sequence[tuple[str, Path]]) -> Iterator[Check]:
    """See whether each folder can be written, and whether its disk has room and inodes; nothing is left there."""
    for name, folder in places:
        there = next((each for each in (folder.absolute(), *folder.absolute().parents) if each.exists()), Path("/"))
        if not there.is_dir():
            yield Check(name, "fail", f"{folder}: {there} is no folder", "move the file away, or name another folder")
            continue
        try:
            with tempfile.NamedTemporaryFile(dir=there, prefix=".doctor-") as probe:
                probe.write(b"x")
                probe.flush()
        except OSError as error:
            advice = f"give {_user()} the right to write there, make room, or name another folder"
            yield Check(name, "fail", f"{there} cannot be written: {error.strerror or error}", advice)
            continue
        made = "" if there == folder.absolute() else ", made by the first run"
        yield _disk(name, folder, there, made)


def _disk(name: str, folder: Path, there: Path, made: str) -> Check:
    free, state = shutil.disk_usage(there).free, os.statvfs(there)
    inodes = state.f_favail / state.f_files if state.f_files else 1.0
    verdict: Verdict = "ok"
    if free < NO_DISK or inodes < NO_INODES:
        verdict = "fail"
    elif free < LITTLE_DISK or inodes < LITTLE_INODES:
        verdict = "warn"
    told = f"{folder.absolute()}{made}: {quantity(free, 'bytes')} free, {inodes:.0%} of inodes free"
    advice = "" if verdict == "ok" else "make room: delete old runs, and leftovers with python -m flows doctor --clean"
    return Check(name, verdict, told, advice)


def memory(meminfo: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")) -> Iterator[Check]:
    """See how much memory a run may take: of the machine, and of the container that this runs in.

    Cached files that nobody uses are free: the kernel drops them before it refuses anything.
    """
    found = re.search(r"^MemAvailable:\s*(\d+) kB", meminfo.read_text(), re.MULTILINE) if meminfo.is_file() else None
    if found is None:
        yield Check("memory", "ok", "not known on this system")
        return
    free = int(found[1]) << 10
    for most, used, figures, cached in _GROUPS:
        with suppress(OSError, ValueError):  # "max", or no such controller
            left = int((group / most).read_text()) - int((group / used).read_text())
            free = min(free, left + _figure(group / figures, cached))
    verdict: Verdict = "fail" if free < NO_MEMORY else "warn" if free < LITTLE_MEMORY else "ok"
    advice = "" if verdict == "ok" else "end other programs, raise the container's limit, or use a smaller --effort"
    yield Check("memory", verdict, f"{quantity(max(0, free), 'bytes')} available", advice)


def _figure(file: Path, name: str) -> int:
    """Return a figure of a control group, in bytes; 0 where it is not told."""
    with suppress(OSError):
        for line in file.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name and value.isdecimal():
                return int(value)
    return 0


def clock() -> Iterator[Check]:
    """See whether the clock tells a time at which this code can exist."""
    now, written = time.time(), Path(__file__).stat().st_mtime
    told = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
    if now < written - 60:
        advice = "set the clock (timedatectl, chrony); plans would look expired or from the future"
        yield Check("clock", "fail", f"{told} is before this program was written", advice)
    else:
        yield Check("clock", "ok", told)


def _user() -> str:
    return f"user {os.geteuid()}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
