"""What energy does QAOA reach on a sparse model that is too large for a state? Exact, from its light cones.

The expectation of a term after p layers depends only on the spins within p couplings of it (Farhi, Goldstone and
Gutmann 2014, arXiv:1411.4028): each term is simulated on that neighbourhood alone, and neighbourhoods that are
the same up to the numbering of their spins are simulated once.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from qiskit_solvers.errors import TooLarge
from qiskit_solvers.ising import Floats, Ising
from qiskit_solvers.simulation.full import FullSpace
from qiskit_solvers.simulation.space import Slope

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True, slots=True, eq=False)
class Cone:
    """The neighbourhood of terms that look alike.

    Args:
        ising: fields and couplings that the terms can feel; the terms' own spins come first.
        ends: number of spins in each term, 1 or 2.
        weight: sum of the coefficients of the terms.
    """

    ising: Ising
    ends: int
    weight: float


@dataclass(frozen=True, slots=True, eq=False)
class LightCones:
    """The distinct neighbourhoods of a model's terms under a number of layers.

    Args:
        ising: the model; its groups do not bind, the mixer is the transverse one.
        layers: of the circuit.
        max_spins: largest neighbourhood; memory and time double with each spin.

    Raises:
        ValueError: a negative number of layers.
        TooLarge: a neighbourhood has more spins.
    """

    ising: Ising
    layers: int
    max_spins: int = 22
    cones: tuple[Cone, ...] = field(init=False)

    def __post_init__(self) -> None:
        if self.layers < 0:
            raise ValueError(f"layers: expected at least 0, got {self.layers}")
        object.__setattr__(self, "cones", _distinct(self.ising, self.layers, self.max_spins))

    def energy(self, gammas: Floats, betas: Floats) -> float:
        """Return the expected energy, offset included; angles ``(layers,)``.

        Raises:
            ValueError: another number of angles.
        """
        self._check(gammas, betas)
        energy = self.ising.offset
        for cone in self.cones:
            signs = _signs(cone.ends)
            probabilities = FullSpace(cone.ising).probabilities(gammas, betas)
            energy += cone.weight * float(probabilities.reshape(-1, signs.size).sum(axis=0) @ signs)
        return float(energy)

    def slope(self, gammas: Floats, betas: Floats) -> Slope:
        """Return the expected energy and its derivatives by all angles.

        Raises:
            ValueError: another number of angles.
        """
        self._check(gammas, betas)
        value, by_gammas, by_betas = self.ising.offset, np.zeros(self.layers), np.zeros(self.layers)
        for cone in self.cones:
            space, signs = FullSpace(cone.ising), _signs(cone.ends)
            slope = space.slope(gammas, betas, np.tile(signs, space.size // signs.size))
            value += cone.weight * slope.value
            by_gammas += cone.weight * slope.gammas
            by_betas += cone.weight * slope.betas
        return Slope(float(value), by_gammas, by_betas)

    def _check(self, gammas: Floats, betas: Floats) -> None:
        if gammas.shape != (self.layers,) or betas.shape != (self.layers,):
            raise ValueError(
                f"gammas, betas: expected two shapes {(self.layers,)}, got {gammas.shape} and {betas.shape}"
            )


def _signs(ends: int) -> Floats:
    """Return the product of the first ``ends`` spins over their strings, ``(2**ends,)``."""
    return np.array([1.0, -1.0]) if ends == 1 else np.array([1.0, -1.0, -1.0, 1.0])


def _distinct(ising: Ising, layers: int, max_spins: int) -> tuple[Cone, ...]:
    """Return one cone for each class of terms whose neighbourhoods are isomorphic."""
    adjacent: list[dict[int, float]] = [{} for _ in range(ising.spins)]
    terms: list[tuple[tuple[int, ...], float]] = [((i,), h) for i, h in enumerate(ising.h.tolist()) if h]
    pairs = ising.pairs
    for i, j, value in zip(pairs.rows.tolist(), pairs.columns.tolist(), pairs.values.tolist(), strict=True):
        adjacent[i][j] = adjacent[j][i] = value
        terms.append(((i, j), value))

    colours: dict[object, int] = {}  # a number for each colour ever seen, so that cones can be compared
    alike: dict[tuple[int, ...], list[int]] = {}  # numbers of the cones with the same colours
    graphs: list[nx.Graph] = []
    cones: list[Cone] = []
    for ends, weight in terms:
        distances = _within(adjacent, ends, layers)
        if len(distances) > max_spins:
            found = f"{len(distances)} within {layers} couplings of {ends}"
            raise TooLarge(f"light cones: expected at most {max_spins} spins, got {found}")
        cone = _cone(ising.h, adjacent, distances, layers)
        graph = _coloured(cone, len(ends), colours)
        key = tuple(sorted(graph.nodes[spin]["colour"] for spin in graph))
        for number in alike.setdefault(key, []):
            if _isomorphic(graph, graphs[number]):
                same = cones[number]
                cones[number] = Cone(same.ising, same.ends, same.weight + weight)
                break
        else:
            alike[key].append(len(cones))
            graphs.append(graph)
            cones.append(Cone(cone, len(ends), weight))
    return tuple(cones)


def _within(adjacent: list[dict[int, float]], ends: tuple[int, ...], layers: int) -> dict[int, int]:
    """Return the distance of every spin within ``layers`` couplings of ``ends``, nearest first."""
    distances = dict.fromkeys(ends, 0)
    front = list(ends)
    for distance in range(1, layers + 1):
        front = sorted({j for i in front for j in adjacent[i]} - distances.keys())
        distances.update(dict.fromkeys(front, distance))
    return distances


def _cone(h: Floats, adjacent: list[dict[int, float]], distances: dict[int, int], layers: int) -> Ising:
    """Return the terms that touch a spin nearer than ``layers``.

    The others act on spins that no later mixer has reached, commute with all that follows and cancel.
    """
    place = {spin: at for at, spin in enumerate(distances)}
    fields, J = np.zeros(len(place)), np.zeros((len(place), len(place)))
    for i, distance in distances.items():
        if distance < layers:
            fields[place[i]] = h[i]
            for j, value in adjacent[i].items():
                J[min(place[i], place[j]), max(place[i], place[j])] = value
    return Ising(fields, J)


def _coloured(cone: Ising, ends: int, colours: dict[object, int]) -> "nx.Graph":
    """Return the cone as a graph whose spins are coloured by what they see around them.

    Colour refinement (Weisfeiler and Leman 1968): equal for isomorphic cones, and nearly always different for
    others.
    """
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(range(cone.spins))
    pairs = cone.pairs
    graph.add_weighted_edges_from(zip(pairs.rows.tolist(), pairs.columns.tolist(), pairs.values.tolist(), strict=True))
    colour = [colours.setdefault((spin < ends, field), len(colours)) for spin, field in enumerate(cone.h.tolist())]
    for _ in range(3):
        seen = [
            (colour[spin], tuple(sorted((edge["weight"], colour[other]) for other, edge in graph[spin].items())))
            for spin in graph
        ]
        colour = [colours.setdefault(one, len(colours)) for one in seen]
    nx.set_node_attributes(graph, dict(enumerate(colour)), "colour")
    return graph


def _isomorphic(graph: "nx.Graph", other: "nx.Graph") -> bool:
    from networkx.algorithms import isomorphism

    return bool(
        isomorphism.is_isomorphic(
            graph,
            other,
            node_match=isomorphism.categorical_node_match("colour", None),
            edge_match=isomorphism.categorical_edge_match("weight", None),
        )
    )
