"""Is the archive that a plan registers still the one that was verified?"""

import hashlib
from pathlib import Path

from data.errors import ApplyFailed
from data.schemas.plan import Compress
from tasks.apply.executor import Found

_BLOCK_BYTES = 1 << 20


def look_at_archive(action: Compress, folder: Path | None) -> Found:
    """Return ``after`` where the archive lies beside the plan with the digest that the plan names.

    Nothing is changed by a registration: the original stays where it is, and undoing one leaves the archive.

    Args:
        action: what registers or forgets an archive.
        folder: of the plan.
    """
    if action.after is None:
        return Found("after", "an archive that is forgotten leaves nothing to be seen")
    try:
        path = archive_path(action, folder)
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except ApplyFailed as error:
        return Found("other", str(error))
    except OSError as error:
        return Found("other", f"the archive {path} cannot be read: {error.strerror or error}")
    if digest.hexdigest() != action.after.sha256:
        return Found("other", f"the archive {path} has sha256 {digest.hexdigest()}, expected {action.after.sha256}")
    return Found("after", f"the archive {path} has the digest that the plan names")


def check_archive(action: Compress, folder: Path | None) -> None:
    """Refuse an archive that is not there or not the one that was verified.

    Raises:
        ApplyFailed: saying which, and what was found.
    """
    found = look_at_archive(action, folder)
    if found.standing != "after":
        raise ApplyFailed(f"checkpoint {action.checkpoint}: {found.detail}")


def archive_path(action: Compress, folder: Path | None) -> Path:
    """Return where the archive lies.

    Raises:
        ApplyFailed: the folder of the plan is not known, or the plan's path leaves it.
    """
    if action.after is None or folder is None:
        raise ApplyFailed(f"checkpoint {action.checkpoint}: the folder of the plan, where its archives lie, is unknown")
    try:
        whole = (folder / action.after.path).resolve()
    except (OSError, ValueError) as error:
        raise ApplyFailed(f"checkpoint {action.checkpoint}: the path of its archive: {error}") from error
    if not whole.is_relative_to(folder.resolve()):
        raise ApplyFailed(f"checkpoint {action.checkpoint}: the archive {whole} lies outside of the plan's folder")
    return whole
