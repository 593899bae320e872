"""How much slower does a GPU of some model run under a power cap? Curves from published sweeps, and what stands in.

The medians and the slow curves are over the training workloads that You et al. (NSDI 2023, "Zeus: Understanding and
Optimizing GPU Energy Consumption of DNN Training") measured under each cap on V100, A40, RTX 6000 and P100 GPUs;
:mod:`data.readers.power.zeus_sweep` computes them from the published files, and a test compares them with these.
A slow curve is the throughput that 19 workloads in 20 exceed. For other models no sweep is public: their median is
that of the V100, and their slow curve the slowest of the four at each share of the highest cap, which is an
assumption and no measurement.
"""

from dataclasses import dataclass

Points = tuple[tuple[float, float], ...]
"""Cap as a share of the highest, and relative throughput; both rise."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Throughput under caps, relative to the highest cap.

    Args:
        median: of the workloads.
        slow: what 19 workloads in 20 exceed.
        origin: where it is from, in words for reports.
    """

    median: Points
    slow: Points
    origin: str


def _shares(top_w: float, *measured: tuple[float, float, float]) -> tuple[Points, Points]:
    """Return both curves from caps in watts with the median and the slow throughput."""
    medians = tuple((cap_w / top_w, median) for cap_w, median, _ in measured)
    return medians, tuple((cap_w / top_w, slow) for cap_w, _, slow in measured)


MEASURED: dict[str, Curve] = {
    "V100": Curve(
        *_shares(
            250.0,
            (100.0, 0.725, 0.500), (125.0, 0.853, 0.658), (150.0, 0.899, 0.804), (175.0, 0.941, 0.891),
            (200.0, 0.965, 0.935), (225.0, 0.987, 0.965), (250.0, 1.0, 1.0),
        ),
        origin="68 workloads measured on V100",
    ),
    "A40": Curve(
        *_shares(
            300.0,
            (100.0, 0.354, 0.245), (125.0, 0.509, 0.370), (150.0, 0.751, 0.558), (175.0, 0.929, 0.763),
            (200.0, 0.956, 0.891), (225.0, 0.985, 0.934), (250.0, 0.989, 0.934), (275.0, 0.995, 0.934),
            (300.0, 1.0, 1.0),
        ),
        origin="53 workloads measured on A40",
    ),
    "RTX6000": Curve(
        *_shares(
            260.0,
            (100.0, 0.548, 0.375), (125.0, 0.821, 0.628), (150.0, 0.909, 0.774), (175.0, 0.951, 0.851),
            (200.0, 0.971, 0.900), (225.0, 0.982, 0.937), (250.0, 0.993, 0.937), (260.0, 1.0, 1.0),
        ),
        origin="52 workloads measured on RTX 6000",
    ),
    "P100": Curve(
        *_shares(
            250.0,
            (125.0, 0.944, 0.865), (150.0, 0.965, 0.925), (175.0, 0.984, 0.925), (200.0, 0.995, 0.945),
            (225.0, 0.999, 0.947), (250.0, 1.0, 1.0),
        ),
        origin="45 workloads measured on P100",
    ),
}  # fmt: skip

DEFAULT = Curve(
    MEASURED["V100"].median,
    ((0.4, 0.345), (0.5, 0.558), (0.6, 0.789), (0.7, 0.865), (0.8, 0.912), (0.9, 0.934), (1.0, 1.0)),
    origin="no public sweep of this model: medians of V100, slow curve the slowest of four models",
)


def curve_of(gpu_model: str | None) -> Curve:
    """Return the curve of a GPU model; variants such as ``V100-PCIe`` count as their model."""
    return MEASURED.get((gpu_model or "").split("-", maxsplit=1)[0], DEFAULT)
