"""How fast is QOKit? Its wheel is downloaded once, its C sources are compiled, all outside the repository.

QOKit: Lykov et al. 2023, arXiv:2309.04841, Apache-2.0. Its package looks for a library that its wheel does not
hold, and falls back on a loop in Python. The wheel has the three C sources without their headers, so the
declarations are written here, and these are timed:

- *its makefile*: the sources under the flags of the project's makefile, which ask for no optimisation;
- *-O3 -march=native*: the same sources under these flags;
- *wheel's binary*: the extension module in the wheel, made by setuptools at -O3 for any x86-64, which the package
  itself never loads;
- *Python fallback*: what an installed package runs.
"""

import ctypes
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.solver.intervals import Floats

VERSION = "0.1.4"
_SOURCES = ("diagonal.c", "fur.c", "qaoa_fur.c")
_HEADERS = {
    "diagonal.h": ("void apply_diagonal(double*, double*, double, double* const, size_t);",),
    "fur.h": (
        "void furx_all(double*, double*, double, unsigned int, size_t);",
        "void furxy(double*, double*, double, unsigned int, unsigned int, size_t);",
        "void furxy_ring(double*, double*, double, unsigned int, size_t);",
        "void furxy_complete(double*, double*, double, unsigned int, size_t);",
    ),
    "qaoa_fur.h": (),
}
_BUILDS = {
    "makefile": ("-fopenmp", "-fPIC", "-Wall"),
    "o3": ("-fopenmp", "-fPIC", "-O3", "-march=native"),
}

Energy = Callable[[Floats, Floats], float]
"""The expected energy for cost angles and mixer angles in this project's convention."""


@dataclass(frozen=True, slots=True, eq=False)
class Qokit:
    """What could be had of it.

    Args:
        libraries: compiled simulators by name.
        fallback: its Python module of rotations, or None.
        missing: why something is missing; empty if nothing is.
    """

    libraries: Mapping[str, ctypes.CDLL]
    fallback: Any
    missing: tuple[str, ...]


def qokit(folder: Path) -> Qokit:
    """Return QOKit from ``folder``, downloading and compiling into it what is not there yet."""
    missing: list[str] = []
    wheel = folder / f"wheel-{VERSION}"
    try:
        _unpack(folder, wheel)
    except (OSError, subprocess.SubprocessError, zipfile.BadZipFile) as error:
        return Qokit({}, None, (f"QOKit: no wheel of version {VERSION} ({_said(error)})",))
    libraries: dict[str, ctypes.CDLL] = {}
    for name, flags in _BUILDS.items():
        try:
            libraries[name] = ctypes.CDLL(str(_compiled(wheel, folder / f"libcsim-{VERSION}-{name}.so", flags)))
        except (OSError, subprocess.SubprocessError) as error:
            missing.append(f"QOKit, build {name}: {_said(error)}")
    try:
        libraries["wheel"] = ctypes.CDLL(str(next(wheel.glob("simulator*.so"))))
    except (OSError, StopIteration) as error:
        missing.append(f"QOKit, the wheel's binary: {_said(error)}")
    return Qokit(libraries, _loaded(wheel / "qokit" / "fur" / "python" / "fur.py"), tuple(missing))


def compiled_energy(library: ctypes.CDLL, costs: Floats, spins: int) -> Energy:
    """Return its C simulator's energy, the arrays made anew for each call as its own class does."""
    pointer = np.ctypeslib.ndpointer(np.float64, flags="C_CONTIGUOUS")
    simulate = library.apply_qaoa_furx
    simulate.restype = None
    simulate.argtypes = [*[pointer] * 5, ctypes.c_uint, ctypes.c_size_t, ctypes.c_size_t]
    size = costs.size

    def energy(gammas: Floats, betas: Floats) -> float:
        real, imaginary = np.full(size, 1.0 / np.sqrt(size)), np.zeros(size)
        # its layer is exp(i gamma C / 2), then exp(-i beta X)
        simulate(real, imaginary, 2.0 * gammas, -betas, costs, spins, size, gammas.size)
        return float(costs @ (real**2 + imaginary**2))

    return energy


def fallback_energy(module: Any, costs: Floats, spins: int) -> Energy:
    """Return the energy by its rotations in Python."""

    def energy(gammas: Floats, betas: Floats) -> float:
        state = np.full(costs.size, 1.0 / np.sqrt(costs.size), dtype=complex)
        for gamma, beta in zip(gammas.tolist(), betas.tolist(), strict=True):
            state *= np.exp(-1j * gamma * costs)
            module.furx_all(state, -beta, spins)
        return float(costs @ np.abs(state) ** 2)

    return energy


def _unpack(folder: Path, wheel: Path) -> None:
    if wheel.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*command, "--dest", scratch, f"qokit=={VERSION}"], check=True, capture_output=True, timeout=120)
        archive = next(iter(Path(scratch).glob("*.whl")), None)
        if archive is None:
            raise FileNotFoundError("pip left no wheel")
        with zipfile.ZipFile(archive) as packed:
            wanted = [name for name in packed.namelist() if "/fur/" in name or name.endswith(".so")]
            packed.extractall(Path(scratch) / "wheel", wanted)
        (Path(scratch) / "wheel").rename(wheel)


def _compiled(wheel: Path, target: Path, flags: tuple[str, ...]) -> Path:
    if target.is_file():
        return target
    sources = wheel / "qokit" / "fur" / "c" / "csim" / "src"
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        for name, declarations in _HEADERS.items():
            (Path(scratch) / name).write_text("\n".join(("#pragma once", "#include <stddef.h>", *declarations, "")))
        made = Path(scratch) / target.name
        files = [str(sources / name) for name in _SOURCES]
        command = [os.environ.get("CC", "cc"), *flags, f"-I{scratch}", "-shared", *files, "-o", str(made), "-lm"]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        made.rename(target)
    return target


def _loaded(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("qokit_python_rotations", path)
    if spec is None or spec.loader is None or not path.is_file():
        return None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _said(error: BaseException) -> str:
    stderr = getattr(error, "stderr", None)
    last = stderr.decode(errors="replace").strip().splitlines()[-1:] if stderr else []
    return last[0] if last else f"{type(error).__name__}: {error}"
