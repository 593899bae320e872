"""What stands where, before and after? Two maps on which a gang has the same colour."""

from collections import defaultdict
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from markupsafe import Markup

from data.schemas.cluster import Node, Snapshot
from tasks.report.gangs import LETTERS, Holdings, coloured_gangs, holdings, usable_gpus
from tasks.report.plain import one_line
from tasks.report.quantities import counted
from tasks.report.svg import box, element, fitted, label, markup, picture, tile
from tasks.report.topology_bars import bar_maps
from tasks.report.topology_layout import WIDTH, Layout, lay_out

MOST_GPUS = 3_000
"""Above this, domains or racks are drawn as bars."""


@dataclass(frozen=True, slots=True)
class Key:
    """A line of the legend: class of the style sheet, letter, and what it stands for."""

    style: str
    letter: str
    text: str


@dataclass(frozen=True, slots=True)
class Maps:
    """The cluster before and after.

    Args:
        before: a picture.
        after: the same picture of the state after the plan.
        legend: gangs with a colour of their own.
        note: what one mark stands for.
    """

    before: Markup
    after: Markup
    legend: tuple[Key, ...]
    note: str


def topology_maps(before: Snapshot, after: Snapshot) -> Maps:
    """Return the maps of both states; ``after`` has the same nodes as ``before``."""
    coloured = coloured_gangs(before, after)
    rank = {gang: number for number, (gang, _) in enumerate(coloured)}
    legend = tuple(
        Key(f"g{number}", LETTERS[number], f"{one_line(gang, 60)} ({counted(gpus, 'GPU')})")
        for number, (gang, gpus) in enumerate(coloured)
    )
    held = (holdings(before), holdings(after))
    if sum(node.gpus for node in before.nodes) > MOST_GPUS:
        bars = bar_maps(before.nodes, held, rank)
        return Maps(markup(bars.before), markup(bars.after), legend, bars.note)
    layout = lay_out(before.nodes)
    numbers = _numbers(held)
    drawn = [
        markup(_Map(layout, held[number], held[1 - number], rank, numbers).draw(before.nodes, when))
        for number, when in enumerate(("before", "after"))
    ]
    note = (
        "One square is one GPU; a thin frame is an NVLink domain, a named block is a rack. "
        "A thick outline marks GPUs whose holder the plan changes."
    )
    return Maps(drawn[0], drawn[1], legend, note)


def _numbers(held: tuple[Holdings, Holdings]) -> dict[str, str]:
    """Return a short number for each gang, by which the page lights up its GPUs in both maps."""
    gangs = dict.fromkeys(gang for each in held for gang in each.gang_of.values())
    return {gang: str(number) for number, gang in enumerate(gangs)}


@dataclass(frozen=True, slots=True, eq=False)
class _Map:
    """One of the two maps: its holdings, and the other state's, to mark what differs."""

    layout: Layout
    held: Holdings
    other: Holdings
    rank: dict[str, int]
    numbers: dict[str, str]

    def draw(self, nodes: tuple[Node, ...], when: str) -> Element:
        parts: list[Element] = []
        for area in self.layout.racks:
            parts.append(box(area.x, area.y + 11, area.width, area.height - 11, "rack", round_by=3))
            parts.append(label(area.x + 1, area.y + 8, fitted(area.name, area.width, 9), "small"))
        for area in self.layout.domains:
            outline = box(area.x, area.y, area.width, area.height, "domain", round_by=2)
            outline.append(element("title", {}, text=f"NVLink domain {area.name}"))
            parts.append(outline)
        for node in nodes:
            parts += self._node(node)
        style = "fine" if self.layout.cell < 9 else ""
        return picture(WIDTH, self.layout.height, f"GPUs by gang, {when} the plan", *parts, style=style)

    def _node(self, node: Node) -> list[Element]:
        usable = usable_gpus(node)
        by_job: dict[str, list[int]] = defaultdict(list)
        idle: dict[str, list[int]] = defaultdict(list)
        for gpu in range(node.gpus):
            job = self.held.job_of.get(node.id, {}).get(gpu)
            if job is not None:
                by_job[job].append(gpu)
            elif gpu not in usable:
                idle["off"].append(gpu)
            else:
                idle["free" if node.state == "up" else "drained"].append(gpu)
        words = {"off": "not available", "free": "free", "drained": "free, but the node is drained"}
        parts = [
            self._squares(style, node, gpus, f"{node.id} GPU {_span(gpus)}: {words[style]}")
            for style, gpus in idle.items()
        ]
        for job, gpus in by_job.items():
            parts += self._job(node, job, gpus)
        return parts

    def _job(self, node: Node, job: str, gpus: list[int]) -> list[Element]:
        gang = self.held.gang_of[job]
        rank = self.rank.get(gang)
        # neighbours among the other gangs are told apart by their shade of grey
        style = f"other o{int(self.numbers[gang]) % 3}" if rank is None else f"g{rank}"
        of_gang = "" if gang == job else f", gang {gang}"
        state = "" if node.state == "up" else f", node is {node.state}"
        title = f"{job}{of_gang} · {node.id} GPU {_span(gpus)} · {node.nvlink_domain}, {node.rack}{state}"
        elsewhere = self.other.job_of.get(node.id, {})
        changed = [gpu for gpu in gpus if elsewhere.get(gpu) != job]
        parts = []
        for group, mark in (([gpu for gpu in gpus if gpu not in changed], ""), (changed, " changed")):
            if group:
                squares = self._squares(style + mark, node, group, title)
                squares.set("data-g", self.numbers[gang])
                parts.append(squares)
        if rank is not None and self.layout.cell >= 10:
            x, y = self.layout.square(node.id, gpus[0])
            half = self.layout.cell / 2
            parts.append(label(x + half, y + half + 3.2, LETTERS[rank], f"letter on{rank}", end="middle"))
        return parts

    def _squares(self, style: str, node: Node, gpus: list[int], title: str) -> Element:
        cell = self.layout.cell
        inset = 0.8 if style.endswith("changed") else 0.4 if style in ("free", "drained") else 0.0
        path = "".join(
            tile(x + inset, y + inset, cell - 2 * inset, cell - 2 * inset)
            for x, y in (self.layout.square(node.id, gpu) for gpu in gpus)
        )
        return element("path", {"class": style, "d": path}, element("title", {}, text=title))


def _span(gpus: list[int]) -> str:
    """Return sorted numbers as ranges, e.g. ``0-3, 6``."""
    runs: list[list[int]] = []
    for gpu in gpus:
        if runs and gpu == runs[-1][-1] + 1:
            runs[-1].append(gpu)
        else:
            runs.append([gpu])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
