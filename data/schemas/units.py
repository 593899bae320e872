"""Which numbers are plausible? Annotated types with the unit in the name; a value outside is refused at the door.

The lower ends are there to catch wrong units: a GPU limit of 0.7 is a kilowatt figure where watts are asked for.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

RECORD = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)
"""How every record is read: no unknown field, no NaN, no silent conversion."""

Id = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[\w.\-:/@+=\[\]]+$")]
"""Identifier; no spaces and no shell metacharacters, since plans are rendered as commands."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
GpuPowerW = Annotated[float, Field(ge=20.0, le=5_000.0, description="watts of one GPU")]
NodePowerW = Annotated[float, Field(ge=0.0, le=200_000.0, description="watts of one node without its GPUs")]
ClusterPowerW = Annotated[float, Field(ge=100.0, le=5e9, description="watts of the whole cluster")]
GigabytesPerSecond = Annotated[float, Field(ge=0.0, le=1e6, description="gigabytes (1e9 bytes) per second")]
Gigabytes = Annotated[float, Field(ge=0.0, le=1e9, description="gigabytes (1e9 bytes)")]
Seconds = Annotated[float, Field(ge=0.0, le=1e9, description="seconds")]
Fraction = Annotated[float, Field(ge=0.0, le=1.0, description="share of one")]
Celsius = Annotated[float, Field(ge=-40.0, le=150.0, description="degrees Celsius")]
GpuIndex = Annotated[int, Field(ge=0, lt=1024, description="index of a GPU within its node")]
Count = Annotated[int, Field(ge=0, le=10_000_000)]
