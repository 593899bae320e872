"""How is a layer of QAOA over a product of factors made fast? Blocks in the cache, O(1) a number, few sines.

Real and imaginary parts are held apart. The mixer of a factor adds one multiple of their sum to all of its
levels, so it costs the same for 2 levels and for 50; its global phase is left to the caller. The lowest factors
are mixed while a block of the state sits in the cache, the others in strips that are gathered from all over the
state. Levels that lie close together make short loops: the lowest factors of a block
are mixed in its transpose.

A phase ``exp(-i gamma E)`` is a product over factors and pairs of factors. For one choice of the high factors,
what the low ones see is one number per level: these are multiplied up by an odometer, and the block is their
outer product times a table of the pairs within the block. Sines are taken only of the coefficients, and the
energy is split such that level 0 of every factor has none.

Offsets are unsigned: a signed index may be negative, and the compiler gives up its vector instructions for that.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from qiskit_solvers.simulation.layout import CHUNK, Floats, Layout

Reals = npt.NDArray[Any]
"""float64 or float32, as the state has it."""

_FAST = {"cache": True, "fastmath": True, "error_model": "numpy", "nogil": True}
_INNER = {**_FAST, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # only compiled code calls it
_U = np.uint64


@njit(**_FAST)
def write_costs(at: Layout, seen: Floats, out: Floats) -> None:
    """Write the energy of every string, ``(size,)``; ``seen`` is room for the strings of all factors but the last."""
    out[0] = at.constant
    for f in range(at.sizes.size):
        size = at.strides[f]
        for c in range(1, at.sizes[f]):
            level = at.starts[f] + c
            seen[0] = at.singles[level]
            for g in range(f):
                below = at.strides[g]
                for d in range(1, at.sizes[g]):
                    _shift(seen, d * below, below, at.pairs[level, at.starts[g] + d])
            _sum_of(out, c * size, seen, size)


@njit(**_INNER)
def _shift(x: Floats, to: int, count: int, by: float) -> None:
    o, n = _U(to), _U(count)
    for j in range(n):
        x[o + j] = x[j] + by


@njit(**_INNER)
def _sum_of(x: Floats, to: int, y: Floats, count: int) -> None:
    o, n = _U(to), _U(count)
    for j in range(n):
        x[o + j] = x[j] + y[j]


@njit(**_FAST)
def _turn(r: Reals, i: Reals, to: int, count: int, by_r: float, by_i: float) -> None:
    """Write the first ``count`` numbers times ``by`` at ``to``."""
    o, n = _U(to), _U(count)
    for j in range(n):
        a, b = r[j], i[j]
        r[o + j] = a * by_r - b * by_i
        i[o + j] = a * by_i + b * by_r


@njit(**_FAST)
def _product(r: Reals, i: Reals, to: int, at: int, pr: Reals, pi: Reals, by: int, count: int) -> None:
    """Write at ``to`` what stands at ``at``, times ``p`` at ``by``."""
    o, x, y, n = _U(to), _U(at), _U(by), _U(count)
    for j in range(n):
        a, b, c, d = r[x + j], i[x + j], pr[y + j], pi[y + j]
        r[o + j] = a * c - b * d
        i[o + j] = a * d + b * c


@njit(**_INNER)
def _times(r: Reals, i: Reals, to: int, pr: Reals, pi: Reals, count: int) -> None:
    """Multiply what stands at ``to`` by the first numbers of ``p``, in place."""
    o, n = _U(to), _U(count)
    for j in range(n):
        a, b, c, d = r[o + j], i[o + j], pr[j], pi[j]
        r[o + j] = a * c - b * d
        i[o + j] = a * d + b * c


class Phases(NamedTuple):
    """The sines of a layer, real and imaginary parts; in double, whatever the state is."""

    w: Floats  # (2, (factors + 1) * levels) row f: what a level gets once factors f and later have chosen
    p: Floats  # (2, levels * levels) row: a level, column: a level of an earlier factor
    t: Floats  # (2, factors + 1) what factors f and later get among themselves
    b: Floats  # (2, block) pairs within the block
    out: Floats  # (2, block) the block at hand
    c: Floats  # (factors, 2) what the mixer multiplies each factor's sums by


class Room(NamedTuple):
    """Where numbers are mixed, in the precision of the state."""

    work: Reals  # (parts, widest)
    sums: Reals  # (parts, CHUNK)


def phases(at: Layout) -> Phases:
    """Return room for the sines of a layer."""
    levels, factors, block = at.singles.size, at.sizes.size, int(at.strides[at.cuts[1]])
    return Phases(
        w=np.empty((2, (factors + 1) * levels)),
        p=np.empty((2, levels * levels)),
        t=np.empty((2, factors + 1)),
        b=np.empty((2, block)),
        out=np.empty((2, block)),
        c=np.empty((factors, 2)),
    )


def room(at: Layout, psi: Reals) -> Room:
    """Return room to mix states ``psi``, ``(parts, size)``."""
    parts = psi.shape[0]
    return Room(np.empty((parts, at.widest), psi.dtype), np.empty((parts, CHUNK), psi.dtype))


@njit(**_INNER)
def _outer(at: Layout, factors: int, wr: Reals, wi: Reals, row: int, outr: Reals, outi: Reals) -> None:
    """Multiply the numbers of the levels of factors ``0 .. factors - 1`` out, from ``out[0]`` on."""
    for f in range(factors):
        below = at.strides[f]
        for c in range(1, at.sizes[f]):
            level = row + at.starts[f] + c
            _turn(outr, outi, c * below, below, wr[level], wi[level])


@njit(**_INNER)
def _fill(at: Layout, gamma: float, beta: float, ph: Phases) -> None:
    """Take the sines of a layer."""
    levels, last = at.singles.size, at.sizes.size
    begin = np.int64(0)  # a literal would be compiled apart
    w, p, b, out = ph.w, ph.p, ph.b, ph.out
    ph.t[0, last], ph.t[1, last] = 1.0, 0.0
    for level in range(levels):
        w[0, last * levels + level] = np.cos(gamma * at.singles[level])
        w[1, last * levels + level] = -np.sin(gamma * at.singles[level])
    for f in range(last):
        ph.c[f, 0] = (np.cos(2 * beta) - 1) / at.sizes[f]
        ph.c[f, 1] = np.sin(2 * beta) / at.sizes[f]
        for level in range(at.starts[f], at.starts[f + 1]):
            for other in range(at.starts[f]):
                angle = gamma * at.pairs[level, other]
                there = level * levels + other
                if angle == 0.0:
                    p[0, there], p[1, there] = 1.0, 0.0
                else:
                    p[0, there], p[1, there] = np.cos(angle), -np.sin(angle)
    b[0, 0], b[1, 0] = 1.0, 0.0
    for f in range(at.cuts[1]):
        for c in range(1, at.sizes[f]):
            out[0, 0], out[1, 0] = 1.0, 0.0
            _outer(at, f, p[0], p[1], (at.starts[f] + c) * levels, out[0], out[1])
            _product(b[0], b[1], c * at.strides[f], begin, out[0], out[1], begin, at.strides[f])


@njit(**_INNER)
def _choose(at: Layout, ph: Phases, string: int) -> None:
    """Write the phases of the block that begins with ``string``, after those of the block before it."""
    low, last, levels = at.cuts[1], at.sizes.size, at.singles.size
    begin = np.int64(0)
    w, p, t, out = ph.w, ph.p, ph.t, ph.out
    top = low  # the highest factor that has just changed; the first block changes them all
    while top < last - 1 and string % at.strides[top + 1] == 0:
        top += 1
    for f in range(min(top, last - 1), low - 1, -1):
        level = at.starts[f] + string // at.strides[f] % at.sizes[f]
        above = (f + 1) * levels
        _product(w[0], w[1], f * levels, above, p[0], p[1], level * levels, at.starts[f])
        a, b = w[0, above + level], w[1, above + level]
        t[0, f] = t[0, f + 1] * a - t[1, f + 1] * b
        t[1, f] = t[0, f + 1] * b + t[1, f + 1] * a
    out[0, 0], out[1, 0] = t[0, low], t[1, low]
    _outer(at, low, w[0], w[1], low * levels, out[0], out[1])
    _times(out[0], out[1], begin, ph.b[0], ph.b[1], out.shape[1])


@njit(**_INNER)
def _sums(r: Reals, i: Reals, at: int, k: int, stride: int, sr: Reals, si: Reals, count: int) -> None:
    """Add up ``k`` runs of ``count`` numbers, ``stride`` apart."""
    o, step, n = _U(at), _U(stride), _U(count)
    for j in range(n):
        sr[j] = r[o + j]
        si[j] = i[o + j]
    for _ in range(1, k):
        o += step
        for j in range(n):
            sr[j] += r[o + j]
            si[j] += i[o + j]


@njit(**_INNER)
def _spread(r: Reals, i: Reals, at: int, k: int, stride: int, sr: Reals, si: Reals, count: int) -> None:
    """Add the same run to ``k`` of them."""
    o, step, n = _U(at), _U(stride), _U(count)
    for _ in range(k):
        for j in range(n):
            r[o + j] += sr[j]
            i[o + j] += si[j]
        o += step


@njit(**_INNER)
def _cross(x: Reals, count: int) -> float:
    """Return the imaginary part of the inner product of the state in rows 2 and 3 with that in rows 0 and 1."""
    out = x[2, 0] * x[1, 0] - x[3, 0] * x[0, 0]
    for j in range(1, count):
        out += x[2, j] * x[1, j] - x[3, j] * x[0, j]
    return float(out)


@njit(**_INNER)
def _mix(psi: Reals, at: int, count: int, k: int, stride: int, c: Floats, sums: Reals) -> float:
    """Add ``c`` times the sum over a factor's ``k`` levels, ``stride`` apart, to each; numbers ``at .. at + count``.

    Returns:
        ``Im <second| A |first>`` of two states, A the all-ones matrix of the factor; 0 for one state.
    """
    if k == 1:
        return 0.0
    overlap = 0.0
    for base in range(at, at + count, k * stride):
        for start in range(base, base + stride, CHUNK):
            width = min(CHUNK, base + stride - start)
            for row in range(0, psi.shape[0], 2):
                _sums(psi[row], psi[row + 1], start, k, stride, sums[row], sums[row + 1], width)
            if psi.shape[0] == 4:
                overlap += _cross(sums, width)
            for row in range(0, psi.shape[0], 2):
                _turn(sums[row], sums[row + 1], np.int64(0), width, c[0], c[1])
                _spread(psi[row], psi[row + 1], start, k, stride, sums[row], sums[row + 1], width)
    return float(overlap)


@njit(**_INNER)
def _transpose(x: Reals, at: int, rows: int, columns: int, y: Reals, to: int) -> None:
    """Write the matrix at ``x[at]`` turned to ``y[to]``, four of its rows at a time."""
    o, u, m, n, j = _U(at), _U(to), _U(rows), _U(columns), _U(0)
    while j + _U(4) <= m:
        a, b, c, d = o + j * n, o + j * n + n, o + (j + _U(2)) * n, o + (j + _U(3)) * n
        for e in range(n):
            v = u + e * m + j
            y[v], y[v + _U(1)], y[v + _U(2)], y[v + _U(3)] = x[a + e], x[b + e], x[c + e], x[d + e]
        j += _U(4)
    while j < m:
        for e in range(n):
            y[u + e * m + j] = x[o + j * n + e]
        j += _U(1)


@njit(**_INNER)
def _gather(x: Reals, at: int, stride: int, rows: int, y: Reals, width: int) -> None:
    o, u, step, n = _U(at), _U(0), _U(stride), _U(width)
    for _ in range(rows):
        for j in range(n):
            y[u + j] = x[o + j]
        o, u = o + step, u + n


@njit(**_INNER)
def _scatter(x: Reals, at: int, stride: int, rows: int, y: Reals, width: int) -> None:
    o, u, step, n = _U(at), _U(0), _U(stride), _U(width)
    for _ in range(rows):
        for j in range(n):
            x[o + j] = y[u + j]
        o, u = o + step, u + n


@njit(**_INNER)
def _low(at: Layout, c: Floats, room: Room, psi: Reals, start: int) -> float:
    """Mix the low factors of a block; returns as :func:`_high`."""
    work, sums = room.work, room.sums
    low, turned, begin = at.cuts[1], at.turned, np.int64(0)
    block, inner = at.strides[low], at.strides[turned]
    columns = block // inner
    overlap = 0.0
    if turned > 0:
        for row in range(psi.shape[0]):
            _transpose(psi[row], start, columns, inner, work[row], begin)
        for f in range(turned):
            overlap += _mix(work, begin, block, at.sizes[f], at.strides[f] * columns, c[f], sums) / at.sizes[f]
        for row in range(psi.shape[0]):
            _transpose(work[row], begin, inner, columns, psi[row], start)
    for f in range(turned, low):
        overlap += _mix(psi, start, block, at.sizes[f], at.strides[f], c[f], sums) / at.sizes[f]
    return 2 * overlap


@njit(**_INNER)
def _high(at: Layout, c: Floats, room: Room, psi: Reals) -> float:
    """Mix the high factors.

    Returns:
        ``Im <second| H |first>`` of two states, H the part of the mixer's generator; 0 for one state.
    """
    work, sums = room.work, room.sums
    overlap, begin = 0.0, np.int64(0)
    for p in range(1, at.cuts.size - 1):
        first, last = at.cuts[p], at.cuts[p + 1]
        stride, span = at.strides[first], at.strides[last]
        rows = span // stride
        for base in range(0, psi.shape[1], span):
            for start in range(base, base + stride, at.width):
                width = min(at.width, base + stride - start)
                for row in range(psi.shape[0]):
                    _gather(psi[row], start, stride, rows, work[row], width)
                for f in range(first, last):
                    run = width * (at.strides[f] // stride)
                    overlap += _mix(work, begin, rows * width, at.sizes[f], run, c[f], sums) / at.sizes[f]
                for row in range(psi.shape[0]):
                    _scatter(psi[row], start, stride, rows, work[row], width)
    return 2 * overlap


@njit(**_INNER)
def _reflect(psi: Reals, beta: float) -> float:
    """Apply ``exp(i beta |s><s|)``, s uniform; returns as :func:`_high`."""
    size = psi.shape[1]
    means = np.zeros((4, 1))
    for row in range(psi.shape[0]):
        for j in range(size):
            means[row, 0] += psi[row, j]
        means[row, 0] /= size
    c, d = np.cos(beta) - 1, np.sin(beta)
    for row in range(psi.shape[0]):
        other = means[row ^ 1, 0]
        add = np.array([c * means[row, 0] + (d * other if row & 1 else -d * other)]).astype(psi.dtype)
        for j in range(size):
            psi[row, j] += add[0]
    return float((means[2, 0] * means[1, 0] - means[3, 0] * means[0, 0]) * size)


@njit(**_INNER)
def _weigh(psi: Reals, start: int, count: int, costs: Floats, middle: float) -> float:
    """Return ``Im <second| costs - middle |first>`` over a block."""
    out, o = 0.0, _U(start)
    for j in range(_U(count)):
        x = o + j
        out += (costs[x] - middle) * (psi[2, x] * psi[1, x] - psi[3, x] * psi[0, x])
    return out


@njit(**_FAST)
def run(
    at: Layout,
    gammas: Floats,
    betas: Floats,
    grover: bool,
    psi: Reals,
    ph: Phases,
    room: Room,
    costs: Floats,
    slopes: Floats,
) -> None:
    """Apply all layers in place, but for the global phases of string 0's energy and of the complete mixer.

    One state, real and imaginary parts ``(2, size)``: forwards. Two states, the second an observable times the
    first, ``(4, size)``: backwards, undoing the layers and writing the observable's ``slopes``, ``(2, layers)``,
    by gammas and betas. Costs and slopes are used by the latter only.
    """
    size, block = psi.shape[1], at.strides[at.cuts[1]]
    back, layers = psi.shape[0] == 4, gammas.size
    for step in range(layers):
        layer, sign = (layers - 1 - step, -1.0) if back else (step, 1.0)
        beta = sign * betas[layer]
        _fill(at, sign * gammas[layer], beta, ph)
        mixed = weighed = 0.0
        if back:
            mixed = _reflect(psi, beta) if grover else _high(at, ph.c, room, psi)
        for start in range(0, size, block):
            if back:
                if not grover:
                    mixed += _low(at, ph.c, room, psi, start)
                weighed += _weigh(psi, start, block, costs, costs[0])
            _choose(at, ph, start)
            for row in range(0, psi.shape[0], 2):
                _times(psi[row], psi[row + 1], start, ph.out[0], ph.out[1], block)
            if not (back or grover):
                _low(at, ph.c, room, psi, start)
        if back:
            slopes[0, layer], slopes[1, layer] = 2 * weighed, -2 * mixed
        elif grover:
            _reflect(psi, beta)
        else:
            _high(at, ph.c, room, psi)


@njit(**_FAST)
def write_chances(psi: Reals, out: Floats) -> None:
    """Write squared moduli, ``(2, size) -> (size,)``."""
    for j in range(out.size):
        out[j] = psi[0, j] * psi[0, j] + psi[1, j] * psi[1, j]


@njit(**_FAST)
def expectation(psi: Reals, observable: Floats, times: bool) -> float:
    """Return the expectation of an observable; write it, less its first entry, times the state to rows 2 and 3."""
    out, middle = 0.0, observable[0]
    for j in range(psi.shape[1]):
        out += (psi[0, j] * psi[0, j] + psi[1, j] * psi[1, j]) * observable[j]
    if times:
        for row in range(2):
            for j in range(psi.shape[1]):
                psi[row + 2, j] = (observable[j] - middle) * psi[row, j]
    return out
