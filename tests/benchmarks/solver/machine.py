"""On what was it measured?"""

import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

_PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "qiskit",
    "qiskit-aer",
    "qiskit-optimization",
    "dimod",
    "dwave-samplers",
    "ortools",
)


def machine() -> dict[str, str]:
    """Return the processor, the versions and the time, each as a string."""
    facts = {
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    return facts | {name: metadata.version(name) for name in _PACKAGES}


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
