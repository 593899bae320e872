"""Where on the map is each GPU drawn? Racks side by side, NVLink domains in their rack, nodes in their domain."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from data.schemas.cluster import Node
from tasks.report.gangs import natural

WIDTH = 620.0
TALLEST = 640.0
SIZES = (16.0, 14.0, 12.0, 10.0, 8.0, 7.0, 6.0, 5.0, 4.0)
PER_ROW = 8
"""GPUs of a node that stand in one row."""

_CELL_GAP, _NODE_GAP, _DOMAIN_EDGE, _RACK_EDGE, _RACK_GAP, _RACK_TITLE = 1.0, 2.0, 3.0, 3.0, 7.0, 12.0


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of the map, with the name of what it shows."""

    name: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Layout:
    """A map in units of the picture.

    Args:
        cell: edge of a GPU's square.
        racks: their outlines, below their names.
        domains: their outlines.
        nodes: upper left corner of the first GPU of each node, by id.
        height: of the whole picture.
    """

    cell: float
    racks: tuple[Area, ...]
    domains: tuple[Area, ...]
    nodes: dict[str, tuple[float, float]]
    height: float

    def square(self, node: str, gpu: int) -> tuple[float, float]:
        """Return the upper left corner of a GPU's square."""
        x, y = self.nodes[node]
        row, column = divmod(gpu, PER_ROW)
        return x + column * (self.cell + _CELL_GAP), y + row * (self.cell + _CELL_GAP)


def lay_out(nodes: Sequence[Node]) -> Layout:
    """Return the map of ``nodes`` with the largest squares that keep it below :data:`TALLEST`, else the smallest."""
    racks: dict[str, dict[str, list[Node]]] = defaultdict(lambda: defaultdict(list))
    for node in sorted(nodes, key=lambda node: natural(node.id)):
        racks[node.rack][node.nvlink_domain].append(node)
    ordered = {rack: racks[rack] for rack in sorted(racks, key=natural)}
    layout = _lay_out(ordered, SIZES[0])
    for cell in SIZES[1:]:
        if layout.height <= TALLEST:
            break
        layout = _lay_out(ordered, cell)
    return layout


def _lay_out(racks: dict[str, dict[str, list[Node]]], cell: float) -> Layout:
    rack_areas: list[Area] = []
    domain_areas: list[Area] = []
    corners: dict[str, tuple[float, float]] = {}
    x = y = shelf = 0.0
    for rack, domains in racks.items():
        blocks = {domain: _Block.of(members, cell) for domain, members in domains.items()}
        wide = max(block.width for block in blocks.values()) + 2 * _DOMAIN_EDGE
        tall = max(block.height for block in blocks.values()) + 2 * _DOMAIN_EDGE
        columns = _columns(len(blocks), wide, tall)
        width = columns * (wide + _RACK_EDGE) + _RACK_EDGE
        height = math.ceil(len(blocks) / columns) * (tall + _RACK_EDGE) + _RACK_EDGE + _RACK_TITLE
        if x and x + width > WIDTH:
            x, y, shelf = 0.0, y + shelf + _RACK_GAP, 0.0
        rack_areas.append(Area(rack, x, y, width, height))
        for number, (domain, block) in enumerate(sorted(blocks.items(), key=lambda item: natural(item[0]))):
            row, column = divmod(number, columns)
            left = x + _RACK_EDGE + column * (wide + _RACK_EDGE)
            top = y + _RACK_TITLE + _RACK_EDGE + row * (tall + _RACK_EDGE)
            edge = 2 * _DOMAIN_EDGE
            domain_areas.append(Area(domain, left, top, block.width + edge, block.height + edge))
            for node, (dx, dy) in block.corners.items():
                corners[node] = (left + _DOMAIN_EDGE + dx, top + _DOMAIN_EDGE + dy)
        x, shelf = x + width + _RACK_GAP, max(shelf, height)
    return Layout(cell, tuple(rack_areas), tuple(domain_areas), corners, y + shelf)


@dataclass(frozen=True, slots=True)
class _Block:
    """The nodes of one domain; corners are relative to it."""

    width: float
    height: float
    corners: dict[str, tuple[float, float]]

    @classmethod
    def of(cls, members: Sequence[Node], cell: float) -> "_Block":
        step = cell + _CELL_GAP
        wide = max(min(node.gpus, PER_ROW) for node in members) * step
        tall = max(math.ceil(node.gpus / PER_ROW) for node in members) * step
        columns = _columns(len(members), wide, tall)
        corners: dict[str, tuple[float, float]] = {}
        rows = math.ceil(len(members) / columns)
        for number, node in enumerate(members):
            column, row = divmod(number, rows)
            corners[node.id] = (column * (wide + _NODE_GAP), row * (tall + _NODE_GAP))
        columns = math.ceil(len(members) / rows)
        width = columns * (wide + _NODE_GAP) - _NODE_GAP - _CELL_GAP
        return cls(width, rows * (tall + _NODE_GAP) - _NODE_GAP - _CELL_GAP, corners)


def _columns(count: int, width: float, height: float) -> int:
    """Return in how many columns ``count`` boxes make nearly a square, no wider than the map."""
    square = max(1, round(math.sqrt(count * height / width)))
    return min(count, square, max(1, int(WIDTH // width)))
