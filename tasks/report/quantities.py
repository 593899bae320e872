"""How is a figure written? With its unit, and no more digits than a reader needs."""

import math

_LARGER = {
    "W": ("W", "kW", "MW", "GW"),
    "kWh": ("kWh", "MWh", "GWh"),
    "bytes": ("bytes", "kB", "MB", "GB", "TB", "PB"),
}
_COUNTED = frozenset({"GPUs", "domains", "racks", "replicas", "jobs", "gangs", "experts"})


def number(value: float) -> str:
    """Return ``value`` with up to four significant digits, or all of a whole number, and commas between thousands."""
    if not math.isfinite(value):
        return str(value)
    if value == round(value) and abs(value) < 1e15:
        return f"{value:,.0f}"
    digits = max(0, min(6, 3 - math.floor(math.log10(abs(value)))))
    text = f"{value:,.{digits}f}"
    text = text.rstrip("0").rstrip(".") if digits else text  # zeros before the point count
    return f"{value:.1e}" if text in ("0", "-0", "") else text


def quantity(value: float, unit: str) -> str:
    """Return ``value`` with its unit, in thousands or millions of it where that is shorter.

    Args:
        value: the figure.
        unit: as metrics name it: W, kWh, bytes, GB/s, h, ratio, share, or what is counted.
    """
    if unit == "share":
        return f"{100 * value:.1f} %"
    if unit == "ratio":
        return f"{value:.3f}"
    if unit in _COUNTED:
        return f"{number(round(value, 2))} {unit.removesuffix('s') if value == 1 else unit}"
    steps = _LARGER.get(unit, (unit,))
    step = 0
    while step + 1 < len(steps) and abs(value) >= 999.95:
        value /= 1000
        step += 1
    return f"{number(value)} {steps[step]}"


def duration(seconds: float) -> str:
    """Return ``seconds`` in the two largest units that fit."""
    if not math.isfinite(seconds):
        return str(seconds)
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{number(round(seconds, 1))} s"
    whole, rest = divmod(round(seconds), 60)
    if whole < 60:
        return f"{whole} min {rest:02d} s" if rest else f"{whole} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min" if minutes else f"{hours} h"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def percent(part: float, whole: float) -> str:
    """Return ``part`` as a percentage of ``whole``, or a dash where that means nothing."""
    if not whole or not math.isfinite(part / whole):
        return "-"
    value = 100 * part / abs(whole)
    return f"{value:.1f} %" if abs(value) >= 0.05 or not value else f"{value:.1g} %"


def counted(count: int, one: str, many: str = "") -> str:
    """Return e.g. ``1 job`` or ``1,200 jobs``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
