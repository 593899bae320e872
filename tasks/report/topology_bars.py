"""How full is each NVLink domain or rack of a cluster that is too large to show its GPUs? One bar each."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from data.schemas.cluster import Node
from tasks.report.gangs import LETTERS, Holdings, natural, usable_gpus
from tasks.report.quantities import counted
from tasks.report.svg import box, element, label, picture, tile

MOST_BARS = 1_500
"""Bars of one map; above this domains give way to racks, and racks to those that change most."""

WIDTH = 620.0
_GAP = 3.0
_SEGMENTS = 6
"""Parts of one bar that are named in its title."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Two pictures, and what one bar stands for."""

    before: Element
    after: Element
    note: str


@dataclass(frozen=True, slots=True, eq=False)
class _Fill:
    """GPUs of one bar by gang, in one state; ``idle`` by kind: free, drained, off."""

    gangs: Counter[str]
    idle: Counter[str]


def bar_maps(nodes: Sequence[Node], held: tuple[Holdings, Holdings], rank: Mapping[str, int]) -> Bars:
    """Return one bar per NVLink domain, or per rack where domains are too many.

    Args:
        nodes: of both states.
        held: who holds what, before and after.
        rank: number of the colour of each coloured gang.
    """
    by_domain = len({node.nvlink_domain for node in nodes}) <= MOST_BARS
    what = "NVLink domain" if by_domain else "rack"
    groups: dict[tuple[str, str], list[Node]] = defaultdict(list)
    for node in nodes:
        groups[(node.rack, node.nvlink_domain) if by_domain else (node.rack, "")].append(node)
    fills = {place: (_fill(members, held[0]), _fill(members, held[1])) for place, members in groups.items()}
    changes = {place: _difference(*both) for place, both in fills.items()}
    shown = list(groups)
    note = f"One bar is one {what}, filled in proportion. A thick outline marks bars whose holders the plan changes."
    if len(shown) > MOST_BARS:
        shown.sort(key=lambda place: (-changes[place], _order(place)))
        shown = shown[:MOST_BARS]
        left = len(groups) - MOST_BARS
        unchanged = "unchanged " if not any(changes[place] for place in groups.keys() - set(shown)) else ""
        note += f" The {MOST_BARS:,} that change most are shown; {left:,} {unchanged}{what}s are not."
    shown.sort(key=_order)
    pictures = []
    columns = _columns(len(shown))
    for number, when in enumerate(("before", "after")):
        drawn = [
            _bar(position, columns, place, fills[place][number], rank, changed=bool(changes[place]))
            for position, place in enumerate(shown)
        ]
        rows = -(-len(shown) // columns)
        title = f"GPUs of each {what} by gang, {when} the plan"
        pictures.append(picture(WIDTH, rows * _height(columns), title, *(part for parts in drawn for part in parts)))
    return Bars(pictures[0], pictures[1], note)


def _columns(bars: int) -> int:
    return 8 if bars <= 200 else 12 if bars <= 600 else 18


def _height(columns: int) -> float:
    return {8: 16.0, 12: 12.0, 18: 9.0}[columns]


def _order(place: tuple[str, str]) -> tuple[object, ...]:
    return natural(place[0]), natural(place[1])


def _fill(members: Sequence[Node], held: Holdings) -> _Fill:
    gangs: Counter[str] = Counter()
    idle: Counter[str] = Counter()
    for node in members:
        here = held.job_of.get(node.id, {})
        for job in here.values():
            gangs[held.gang_of[job]] += 1
        free = len(usable_gpus(node) - here.keys())
        idle["free" if node.state == "up" else "drained"] += free
        idle["off"] += node.gpus - free - len(here)
    return _Fill(gangs, idle)


def _difference(before: _Fill, after: _Fill) -> int:
    return (before.gangs - after.gangs).total() + (after.gangs - before.gangs).total()


def _bar(
    position: int, columns: int, place: tuple[str, str], fill: _Fill, rank: Mapping[str, int], *, changed: bool
) -> list[Element]:
    row, column = divmod(position, columns)
    width = WIDTH / columns - _GAP
    height = _height(columns) - _GAP
    x, y = column * (width + _GAP) + 0.5, row * (height + _GAP) + 0.5
    shares: Counter[str] = Counter()
    for gang, gpus in fill.gangs.items():
        shares["other" if gang not in rank else f"g{rank[gang]}"] += gpus
    styles = sorted(shares, key=lambda style: (style == "other", style))
    total = shares.total() + fill.idle.total()
    for style in ("drained", "off"):
        if fill.idle[style]:
            shares[style] = fill.idle[style]
            styles.append(style)
    parts = [box(x, y, width, height, "bar changed" if changed else "bar")]
    left = x
    for style in styles:
        share = width * shares[style] / max(1, total)
        parts.append(element("path", {"class": style, "d": tile(left, y, share, height)}))
        if style.startswith("g") and height >= 9 and share >= 10:
            number = int(style[1:])
            middle = left + share / 2
            parts.append(label(middle, y + height / 2 + 3.2, LETTERS[number], f"letter on{number}", end="middle"))
        left += share
    parts[0].append(element("title", {}, text=_title(place, fill, total)))
    if changed:  # the outline goes over the filling, which it would otherwise hide
        parts.append(parts.pop(0))
    return parts


def _title(place: tuple[str, str], fill: _Fill, total: int) -> str:
    rack, domain = place
    name = f"{domain} in {rack}" if domain and domain != rack else rack
    gangs = ", ".join(f"{gang} {gpus}" for gang, gpus in fill.gangs.most_common(_SEGMENTS))
    more = f" and {len(fill.gangs) - _SEGMENTS} more gangs" if len(fill.gangs) > _SEGMENTS else ""
    return f"{name}: {fill.idle['free']} of {counted(total, 'GPU')} free{'; ' if gangs else ''}{gangs}{more}"
