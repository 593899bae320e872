"""What was measured? Series of nodes and links, equally spaced, oldest first, ending at the snapshot's time."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, with_config

from data.schemas.units import RECORD, Celsius, Fraction, GigabytesPerSecond, Id

Watts = Annotated[float, Field(ge=0.0, le=1e6)]


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class NodeSeries:
    """Series of one node: mean draw of one of its GPUs, mean utilisation, hottest GPU; each ``(samples,)`` or empty."""

    node: Id
    interval_s: Annotated[float, Field(gt=0.0, le=1e6)]
    gpu_power_w: tuple[Watts, ...] = ()
    utilisation: tuple[Fraction, ...] = ()
    temperature_c: tuple[Celsius, ...] = ()


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class LinkSeries:
    """Series of one link: throughput, and waits per second (congestion marks, XmitWait) where counted."""

    link: Id
    interval_s: Annotated[float, Field(gt=0.0, le=1e6)]
    throughput_gb_per_s: tuple[GigabytesPerSecond, ...] = ()
    waits_per_s: tuple[Annotated[float, Field(ge=0.0, le=1e12)], ...] = ()
