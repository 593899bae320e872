"""Where does the base of an archive lie, if it was moved or renamed?"""

from collections.abc import Sequence
from pathlib import Path

from data.errors import BadRecord, SourceUnavailable
from tasks.codecs.archive import Archive, FindBase
from tasks.codecs.index import Base


def bases_in(places: Sequence[Path], archive: Path) -> FindBase:
    """Return what finds the bases of ``archive``: beside it, or in ``places``, by hash and not by name alone.

    Args:
        places: archives, or folders in which a base has kept its name.
        archive: beside which they are looked for first.
    """

    def find(base: Base) -> Path:
        beside = archive.with_name(base.file)
        for place in (beside, *(place / base.file if place.is_dir() else place for place in places)):
            try:
                with Archive(place) as found:
                    if found.index_sha256 == base.index_sha256:
                        return place
            except (BadRecord, SourceUnavailable):
                continue
        return beside  # whoever opens it says what is wrong with it

    return find
