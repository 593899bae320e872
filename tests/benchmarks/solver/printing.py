"""How does a table look on a terminal?"""

import math
from collections.abc import Sequence


def show(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print ``rows`` under ``head``; the first column stands left, the others right."""
    print(f"\n{title}")
    widths = [max(len(str(line[column])) for line in (head, *rows)) for column in range(len(head))]
    for line in (head, *rows):
        first, *others = zip(line, widths, strict=True)
        cells = [f"{first[0]:<{first[1]}}", *(f"{cell:>{width}}" for cell, width in others)]
        print("  ".join(cells).rstrip())


def brief(value: float) -> str:
    """Return a figure in three significant digits or so."""
    if math.isinf(value) or math.isnan(value):
        return "-" if math.isnan(value) else "inf"
    size = abs(value)
    if size >= 1e6 or 0.0 < size < 1e-4:
        return f"{value:.1e}"
    return f"{value:,.0f}" if size >= 100 else f"{value:.3g}"
