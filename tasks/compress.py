"""How does a checkpoint become a smaller archive, and the same checkpoint again? As Prefect tasks."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.codecs.compress import Compressed, Progress, compress_checkpoint
from tasks.codecs.keeping import Packing
from tasks.codecs.restore import Restored, Restoring, restore_checkpoint
from tasks.codecs.verify import Verified, verify_archive


def _unheard(_phase: str, _done: int, _total: int) -> None:
    """Tell nobody."""


@task(name="compress-checkpoint", task_run_name="compress-{source.name}", cache_policy=NO_CACHE)
def compress_to_archive(
    source: Path,
    archive: Path,
    *,
    base: Path | None = None,
    packing: Packing = Packing(),  # noqa: B008  frozen
    progress: Progress = _unheard,
) -> Compressed:
    """Run :func:`tasks.codecs.compress.compress_checkpoint` as a Prefect task."""
    return compress_checkpoint(source, archive, base=base, packing=packing, progress=progress)


@task(name="restore-checkpoint", task_run_name="restore-{archive.name}", cache_policy=NO_CACHE)
def restore_from_archive(
    archive: Path,
    target: Path,
    *,
    restoring: Restoring = Restoring(),  # noqa: B008  frozen
    progress: Progress = _unheard,
) -> Restored:
    """Run :func:`tasks.codecs.restore.restore_checkpoint` as a Prefect task."""
    return restore_checkpoint(archive, target, restoring=restoring, progress=progress)


@task(name="verify-archive", task_run_name="verify-{archive.name}", cache_policy=NO_CACHE)
def verify_stored(
    archive: Path,
    *,
    bases: tuple[Path, ...] = (),
    workers: int = 1,
    quick: bool = False,
    progress: Progress = _unheard,
) -> Verified:
    """Run :func:`tasks.codecs.verify.verify_archive` as a Prefect task."""
    return verify_archive(archive, bases=bases, workers=workers, quick=quick, progress=progress)
