"""What does a source say once racks from a topology dump and measured series are laid over it?"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from data.readers.reading import Reading
from data.readers.topology.formats import read_topology
from data.readers.topology.merge import with_topology


def overlaid(
    read: Callable[[], Reading],
    topology: Path | None,
    match: Literal["name", "order"],
    telemetry: Callable[[Reading], Reading] | None,
) -> Reading:
    """Return what ``read`` reads, with racks and domains from a topology dump and series from a monitor.

    Args:
        read: a source.
        topology: any dump that :func:`data.readers.topology.formats.read_topology` knows; None leaves the source's.
        match: how nodes of the dump are found in the source: by name, or the first for the first.
        telemetry: a monitor; None leaves the source's series.

    Raises:
        SourceUnavailable: one of the three does not answer.
        BadSource: one of the three cannot be used.
    """
    reading = read()
    if topology is not None:
        placed = with_topology(reading.snapshot, read_topology(topology), match=match)
        reading = replace(
            placed,
            set_aside=(*reading.set_aside, *placed.set_aside),
            notes=(*reading.notes, *placed.notes),
        )
    return telemetry(reading) if telemetry is not None else reading
