"""What would a reader of tensor networks be that somebody wrote from the format's page, knowing none of our code?

Pure Python and numpy. It imports nothing of the code under test, and never should.
"""

import math
from collections import defaultdict
from typing import Any

import numpy as np


class Integers:
    """The integers of a range code, read from first to last."""

    def __init__(self, octets: bytes) -> None:
        self.octets, self.at = octets, 5
        self.code, self.range = int.from_bytes((octets + bytes(5))[1:5], "big"), 2**32 - 1
        self.ones: dict[tuple[int, str, int], list[int]] = defaultdict(lambda: [32768, 0])

    def normalise(self) -> None:
        while self.range < 2**24:
            self.range *= 256
            self.code = self.code * 256 + (self.octets[self.at] if self.at < len(self.octets) else 0)
            self.at += 1

    def plain(self) -> int:
        self.range >>= 1
        bit = int(self.code >= self.range)
        self.code -= self.range * bit
        self.normalise()
        return bit

    def adaptive(self, c: int, what: str, place: int = 0) -> int:
        state = self.ones[c, what, place]
        p, met = state
        bound = (self.range >> 16) * p
        bit = int(self.code >= bound)
        if bit:
            self.code -= bound
            self.range -= bound
        else:
            self.range = bound
        rate = round(65536 / (min(met, 159) + 1.6))
        state[:] = p + (((48 if bit else 65488) - p) * rate >> 16), met + 1
        self.normalise()
        return bit

    def take(self, c: int) -> int:
        """Return the next integer, of class ``c``."""
        q, h = max(0, (c - 12) // 2 - 1), 0
        while h < 18 and self.adaptive(c, "a", h):
            h += 1
        if h == 18:
            length, number = 0, 1
            while self.adaptive(c, "g", length):
                length += 1
            for _ in range(length):
                number = number * 2 + self.plain()
            h = 17 + number
        size = h
        for place in range(q):
            size = size * 2 + (self.plain() if place else self.adaptive(c, "t", min(h, 1)))
        return -size if size and c >= 6 and self.plain() else size


def half_octaves(length: int) -> int:
    return (length * length).bit_length() // 2


def sizes_of(integers: Integers, count: int) -> Any:
    steps = [integers.take(5) - 512] + [integers.take(4) for _ in range(count - 1)]
    return np.cumsum(steps)


def tensor(content: bytes) -> Any:
    """Return the tensor of a network, in float64."""
    integers = Integers(content)
    kind, dimensions, exponent, fineness = (integers.take(5) for _ in range(4))
    norm = integers.take(118) / 2**53 * 2.0 ** (exponent - 1100)
    fineness -= 960
    splits = [[integers.take(0) for _ in range(integers.take(0))] for _ in range(dimensions)]
    factors = [factor for split in splits for factor in split]
    left, order = list(range(len(factors))), []
    while len(left) > 1:
        order.append(left.pop(integers.take(1)))
    order += left
    groups: list[int] = []
    while sum(groups) < len(factors):
        length, more = integers.take(2), integers.take(2)
        groups += [length] * (more + 1)
    lengths, ends = [factors[place] for place in order], np.cumsum(groups)
    modes = [math.prod(lengths[end - group : end]) for end, group in zip(ends, groups, strict=True)]
    algebra = {0: canonical_sum, 1: tucker, 2: train, 3: train}[kind]
    whole = algebra(integers, modes, norm, fineness).reshape(lengths)
    assert integers.at >= len(content)
    return whole.transpose(np.argsort(order)).reshape([math.prod(split) for split in splits])


def core(integers: Integers, classes: Any) -> Any:
    bounded = np.clip(12 + classes, 6, 127)
    return np.array([integers.take(int(c)) for c in bounded.ravel()], float).reshape(bounded.shape)


def canonical_sum(integers: Integers, modes: list[int], norm: float, fineness: int) -> Any:
    rank = integers.take(3) + 1
    sizes = sizes_of(integers, rank)
    whole = np.ones((1, rank))
    for place, mode in enumerate(modes):
        classes = np.broadcast_to(fineness // 8 - sizes - half_octaves(mode), (mode, rank))
        unit = norm * 2.0 ** (-fineness / 16) if place == 0 else 2.0 ** (sizes / 2 - fineness / 16)
        whole = (whole[:, None] * (core(integers, classes) * unit)[None]).reshape(-1, rank)
    return whole.sum(axis=1)


def tucker(integers: Integers, modes: list[int], norm: float, fineness: int) -> Any:
    ranks = [integers.take(3) + 1 for _ in modes]
    sizes = [sizes_of(integers, rank) for rank in ranks]
    matrices = []
    for mode, rank, below in zip(modes, ranks, sizes, strict=True):
        classes = np.broadcast_to(fineness // 8 - below - half_octaves(mode), (mode, rank))
        matrices.append(core(integers, classes) * 2.0 ** (below / 2 - fineness / 16))
    total: Any = fineness // 8
    for place, below in enumerate(sizes):
        total = total - below.reshape([-1 if axis == place else 1 for axis in range(len(sizes))])
    whole = core(integers, total) * norm * 2.0 ** (-fineness / 16)
    for matrix in matrices:
        whole = np.tensordot(whole, matrix, axes=(0, 1))
    return whole


def train(integers: Integers, modes: list[int], norm: float, fineness: int) -> Any:
    ranks = [1, *(integers.take(3) + 1 for _ in modes[1:]), 1]
    sizes = [np.zeros(1, int), *(sizes_of(integers, rank) for rank in ranks[1:-1]), np.zeros(1, int)]
    whole = np.ones((1, 1))
    for place, mode in enumerate(modes):
        before, after = sizes[place], sizes[place + 1]
        expected = fineness // 8 - before[:, None, None] - after[None, None, :] - half_octaves(mode)
        classes = np.broadcast_to(expected, (ranks[place], mode, ranks[place + 1]))
        last = place == len(modes) - 1
        unit = norm * 2.0 ** (-fineness / 16) if last else 2.0 ** (after / 2 - fineness / 16)
        whole = np.tensordot(whole, core(integers, classes) * unit, axes=(1, 0)).reshape(-1, ranks[place + 1])
    return whole
