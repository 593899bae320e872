"""Where do the journals of applies lie? In a folder that only the environment names, the same for all who apply."""

import os
from pathlib import Path

APPLIES = "QUANTUMFLOW_APPLIES"
"""Environment variable: the folder of leases and journals."""


def applies_folder() -> Path:
    """Return the folder of leases and journals, which only the environment can name."""
    return Path(os.environ.get(APPLIES) or "runs/applies")


def journal_folders(runs: Path) -> tuple[Path, ...]:
    """Return where journals of the plans in ``runs`` may lie: in the folder of applies, and beside the runs.

    Two names of one folder are one. A folder that nobody named and that is not there is left out: nobody applied yet.
    """
    found: dict[str, Path] = {}
    for folder, named in ((applies_folder(), bool(os.environ.get(APPLIES))), (runs / "applies", False)):
        if named or not _missing(folder):
            found.setdefault(os.path.realpath(folder), folder)
    return tuple(found.values())


def _missing(folder: Path) -> bool:
    """Tell whether ``folder`` is not there; one that cannot be looked at may be."""
    try:
        folder.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False
