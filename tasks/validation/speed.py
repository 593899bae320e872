"""How fast is a job under a power cap? The published curves, and how a job's own points go before them.

Medians, and what 19 workloads in 20 exceed, of the measurements of You et al. (NSDI 2023, "Zeus") on four GPU models;
caps are shares of the highest. A GPU model that was not measured has the median of the V100, and at each share the
slowest of the four slow curves.
"""

from itertools import pairwise

from data.schemas.job import Job

Curve = tuple[tuple[float, float], ...]

_V100 = (100, 125, 150, 175, 200, 225, 250)
_A40 = (100, 125, 150, 175, 200, 225, 250, 275, 300)
_RTX6000 = (100, 125, 150, 175, 200, 225, 250, 260)
_P100 = (125, 150, 175, 200, 225, 250)


def _curve(caps_w: tuple[int, ...], speeds: tuple[float, ...]) -> Curve:
    return tuple((cap_w / caps_w[-1], speed) for cap_w, speed in zip(caps_w, speeds, strict=True))


MEDIAN: dict[str, Curve] = {
    "V100": _curve(_V100, (0.725, 0.853, 0.899, 0.941, 0.965, 0.987, 1.0)),
    "A40": _curve(_A40, (0.354, 0.509, 0.751, 0.929, 0.956, 0.985, 0.989, 0.995, 1.0)),
    "RTX6000": _curve(_RTX6000, (0.548, 0.821, 0.909, 0.951, 0.971, 0.982, 0.993, 1.0)),
    "P100": _curve(_P100, (0.944, 0.965, 0.984, 0.995, 0.999, 1.0)),
}
SLOW: dict[str, Curve] = {
    "V100": _curve(_V100, (0.500, 0.658, 0.804, 0.891, 0.935, 0.965, 1.0)),
    "A40": _curve(_A40, (0.245, 0.370, 0.558, 0.763, 0.891, 0.934, 0.934, 0.934, 1.0)),
    "RTX6000": _curve(_RTX6000, (0.375, 0.628, 0.774, 0.851, 0.900, 0.937, 0.937, 1.0)),
    "P100": _curve(_P100, (0.865, 0.925, 0.925, 0.945, 0.947, 1.0)),
}
SLOW_ELSEWHERE: Curve = (
    (0.4, 0.345),
    (0.5, 0.558),
    (0.6, 0.789),
    (0.7, 0.865),
    (0.8, 0.912),
    (0.9, 0.934),
    (1.0, 1.0),
)


def speed(job: Job, model: str | None, cap_w: float, full_w: float, top_w: float, *, slow: bool) -> float:
    """Return the speed of ``job`` under a cap, relative to none.

    Args:
        job: its ``power_levels`` go before the published curves.
        model: of its GPUs; what follows a dash (``V100-PCIe``) does not count.
        cap_w: on each GPU.
        full_w: draw of each GPU without a cap.
        top_w: highest cap.
        slow: on the slow curve.
    """
    if job.power_levels:
        points = [(level.cap_w, level.speed) for level in job.power_levels]
        if points[-1][0] < top_w:
            points.append((top_w, 1.0))
    elif cap_w >= full_w:
        return 1.0
    else:
        name = (model or "").partition("-")[0]
        curve = SLOW.get(name, SLOW_ELSEWHERE) if slow else MEDIAN.get(name, MEDIAN["V100"])
        points = [(share * top_w, each) for share, each in curve]
    first_w, first = points[0]
    if cap_w <= first_w:
        return first * cap_w / first_w
    for (left_w, left), (right_w, right) in pairwise(points):
        if cap_w <= right_w:
            return left + (right - left) * (cap_w - left_w) / (right_w - left_w)
    return points[-1][1]
