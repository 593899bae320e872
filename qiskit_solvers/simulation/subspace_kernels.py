"""How is a layer of QAOA over a product of factors made fast? Blocks in the cache, O(1) a number, few sines.

Real and imaginary parts are held apart. The mixer of a factor adds one multiple of their sum to all of its
levels, so it costs the same for 2 levels and for 50; its global phase is left to the caller. The lowest factors
are mixed while a block of the state sits in the first cache, the others in strips that are gathered from all
over the state into the second. Levels that lie close together make short loops: the lowest factors of a block
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

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Reals = npt.NDArray[Any]
"""float64 or float32, as the state has it."""

_FAST = {"cache": True, "fastmath": True, "error_model": "numpy", "nogil": True}
_BLOCK = 1024  # strings of a block at most: both parts and their phases fit into 32 KiB
_LEAST = 64  # strings of a block at least, or too much time goes into the odometer
_ROWS = 512  # rows of a strip
_WIDTH = 32  # numbers of a row: whole cache lines
_CHUNK = 256  # levels' sums that are held at a time
_U = np.uint64


class Layout(NamedTuple):
    """Where the levels of each factor stand, and which factors go together."""

    sizes: Ints  # (factors,)
    strides: Ints  # (factors + 1,) the last is the number of strings
    starts: Ints  # (factors + 1,) first level of each factor
    cuts: Ints  # (passes + 1,) factors cuts[i] .. cuts[i + 1] - 1 are mixed together, those of pass 0 in blocks
    turned: int  # factors 0 .. turned - 1 are mixed in the transpose of a block
    constant: float  # energy of string 0
    singles: Floats  # (levels,) 0 at level 0 of each factor
    pairs: Floats  # (levels, levels) [later factor, earlier factor], 0 where either is at level 0


def layout(starts: Ints, constant: float, singles: Floats, pairs: Floats) -> Layout:
    """Return the layout of at least one factor.

    Args:
        starts: factor f has levels ``starts[f] .. starts[f + 1] - 1``.
        constant: in energy.
        singles: ``(levels,)``.
        pairs: ``(levels, levels)``, factors [earlier, later], zero elsewhere.
    """
    sizes = np.diff(starts)
    cuts, rows = [0], 1
    for f, k in enumerate(sizes.tolist()):
        first = len(cuts) == 1
        if rows * k > (_BLOCK if first else _ROWS) and rows >= (_LEAST if first else 2):
            cuts.append(f)
            rows = 1
        rows *= k
    strides = np.cumprod([1, *sizes.tolist()], dtype=np.int64)
    low = cuts[1] if len(cuts) > 1 else sizes.size
    zero = starts[:-1]
    own = np.repeat(zero, sizes)  # level 0 of each level's factor
    both = pairs + pairs.T
    seen = both[:, zero].sum(axis=1)  # by a level, when all others are at their level 0
    split = both - both[own] - both[:, own] + both[np.ix_(own, own)]
    return Layout(
        sizes=sizes,
        strides=strides,
        starts=starts,
        cuts=np.array([*cuts, sizes.size], dtype=np.int64),
        turned=min(range(low), key=lambda turned: _effort(strides[: low + 1], turned)),
        constant=float(constant + singles[zero].sum() + seen[zero].sum() / 2),
        singles=singles - singles[own] + seen - seen[own],
        pairs=np.where(own[:, None] > own, split, 0.0),
    )


def _effort(strides: Ints, turned: int) -> float:
    """Return about how many ns a number it takes to mix a block, by the lengths of the loops."""
    runs = strides[:-1] * np.where(np.arange(strides.size - 1) < turned, strides[-1] // strides[turned], 1)
    return float((1 + 24 / runs).sum()) + 2 * (turned > 0)


@njit(**_FAST)
def costs(at: Layout) -> Floats:
    """Return the energy of every string, ``(size,)``."""
    out = np.empty(at.strides[-1])
    seen = np.empty(at.strides[-2])
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
    return out


@njit(**_FAST)
def _shift(x: Floats, to: int, count: int, by: float) -> None:
    o, n = _U(to), _U(count)
    for j in range(n):
        x[o + j] = x[j] + by


@njit(**_FAST)
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


@njit(**_FAST)
def _times(r: Reals, i: Reals, to: int, pr: Reals, pi: Reals, count: int) -> None:
    """Multiply what stands at ``to`` by the first numbers of ``p``, in place."""
    o, n = _U(to), _U(count)
    for j in range(n):
        a, b, c, d = r[o + j], i[o + j], pr[j], pi[j]
        r[o + j] = a * c - b * d
        i[o + j] = a * d + b * c


class Phases(NamedTuple):
    """The phases of one layer; a row is as long as there are levels."""

    wr: Reals  # ((factors + 1) * levels,) row f: what a level gets once factors f and later have chosen
    wi: Reals
    pr: Reals  # (levels * levels,) row: a level, column: a level of an earlier factor
    pi: Reals
    tr: Reals  # (factors + 1,) what factors f and later get among themselves
    ti: Reals
    br: Reals  # (block,) pairs within the block
    bi: Reals
    outr: Reals  # (block,) the block at hand
    outi: Reals


@njit(**_FAST)
def _room(at: Layout, like: Reals) -> Phases:
    levels, factors, block = at.singles.size, at.sizes.size, at.strides[at.cuts[1]]
    w = np.empty((2, (factors + 1) * levels), like.dtype)
    p = np.empty((2, levels * levels), like.dtype)
    t = np.empty((2, factors + 1), like.dtype)
    b = np.empty((4, block), like.dtype)
    return Phases(w[0], w[1], p[0], p[1], t[0], t[1], b[0], b[1], b[2], b[3])


@njit(**_FAST)
def _outer(at: Layout, factors: int, wr: Reals, wi: Reals, row: int, outr: Reals, outi: Reals) -> None:
    """Multiply the numbers of the levels of factors ``0 .. factors - 1`` out, from ``out[0]`` on."""
    for f in range(factors):
        below = at.strides[f]
        for c in range(1, at.sizes[f]):
            level = row + at.starts[f] + c
            _turn(outr, outi, c * below, below, wr[level], wi[level])


@njit(**_FAST)
def _fill(at: Layout, gamma: float, ph: Phases) -> None:
    """Take the sines of a layer."""
    levels, last = at.singles.size, at.sizes.size
    ph.tr[last], ph.ti[last] = 1.0, 0.0
    for level in range(levels):
        ph.wr[last * levels + level] = np.cos(gamma * at.singles[level])
        ph.wi[last * levels + level] = -np.sin(gamma * at.singles[level])
    for f in range(last):
        for level in range(at.starts[f], at.starts[f + 1]):
            for other in range(at.starts[f]):
                angle = gamma * at.pairs[level, other]
                there = level * levels + other
                if angle == 0.0:
                    ph.pr[there], ph.pi[there] = 1.0, 0.0
                else:
                    ph.pr[there], ph.pi[there] = np.cos(angle), -np.sin(angle)
    ph.br[0], ph.bi[0] = 1.0, 0.0
    for f in range(at.cuts[1]):
        for c in range(1, at.sizes[f]):
            ph.outr[0], ph.outi[0] = 1.0, 0.0
            _outer(at, f, ph.pr, ph.pi, (at.starts[f] + c) * levels, ph.outr, ph.outi)
            _product(ph.br, ph.bi, c * at.strides[f], 0, ph.outr, ph.outi, 0, at.strides[f])


@njit(**_FAST)
def _choose(at: Layout, ph: Phases, string: int) -> None:
    """Write the phases of the block that begins with ``string``, after those of the block before it."""
    low, last, levels = at.cuts[1], at.sizes.size, at.singles.size
    top = low  # the highest factor that has just changed; the first block changes them all
    while top < last - 1 and string % at.strides[top + 1] == 0:
        top += 1
    for f in range(min(top, last - 1), low - 1, -1):
        level = at.starts[f] + string // at.strides[f] % at.sizes[f]
        above = (f + 1) * levels
        _product(ph.wr, ph.wi, f * levels, above, ph.pr, ph.pi, level * levels, at.starts[f])
        a, b = ph.wr[above + level], ph.wi[above + level]
        ph.tr[f] = ph.tr[f + 1] * a - ph.ti[f + 1] * b
        ph.ti[f] = ph.tr[f + 1] * b + ph.ti[f + 1] * a
    ph.outr[0], ph.outi[0] = ph.tr[low], ph.ti[low]
    _outer(at, low, ph.wr, ph.wi, low * levels, ph.outr, ph.outi)
    _times(ph.outr, ph.outi, 0, ph.br, ph.bi, ph.outr.size)


@njit(**_FAST)
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


@njit(**_FAST)
def _spread(r: Reals, i: Reals, at: int, k: int, stride: int, sr: Reals, si: Reals, count: int) -> None:
    """Add the same run to ``k`` of them."""
    o, step, n = _U(at), _U(stride), _U(count)
    for _ in range(k):
        for j in range(n):
            r[o + j] += sr[j]
            i[o + j] += si[j]
        o += step


@njit(**_FAST)
def _cross(x: Reals, count: int) -> float:
    """Return the imaginary part of the inner product of the state in rows 2 and 3 with that in rows 0 and 1."""
    out = x[2, 0] * x[1, 0] - x[3, 0] * x[0, 0]
    for j in range(1, count):
        out += x[2, j] * x[1, j] - x[3, j] * x[0, j]
    return float(out)


@njit(**_FAST)
def _mix(psi: Reals, at: int, count: int, k: int, stride: int, c: Reals, sums: Reals) -> float:
    """Add ``c`` times the sum over a factor's ``k`` levels, ``stride`` apart, to each; numbers ``at .. at + count``.

    Returns:
        ``Im <second| A |first>`` of two states, A the all-ones matrix of the factor; 0 for one state.
    """
    if k == 1:
        return 0.0
    overlap = 0.0
    for base in range(at, at + count, k * stride):
        for start in range(base, base + stride, _CHUNK):
            width = min(_CHUNK, base + stride - start)
            for row in range(0, psi.shape[0], 2):
                _sums(psi[row], psi[row + 1], start, k, stride, sums[row], sums[row + 1], width)
            if psi.shape[0] == 4:
                overlap += _cross(sums, width)
            for row in range(0, psi.shape[0], 2):
                _turn(sums[row], sums[row + 1], 0, width, c[0], c[1])
                _spread(psi[row], psi[row + 1], start, k, stride, sums[row], sums[row + 1], width)
    return overlap


@njit(**_FAST)
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


@njit(**_FAST)
def _gather(x: Reals, at: int, stride: int, rows: int, y: Reals, width: int) -> None:
    o, u, step, n = _U(at), _U(0), _U(stride), _U(width)
    for _ in range(rows):
        for j in range(n):
            y[u + j] = x[o + j]
        o, u = o + step, u + n


@njit(**_FAST)
def _scatter(x: Reals, at: int, stride: int, rows: int, y: Reals, width: int) -> None:
    o, u, step, n = _U(at), _U(0), _U(stride), _U(width)
    for _ in range(rows):
        for j in range(n):
            x[o + j] = y[u + j]
        o, u = o + step, u + n


@njit(**_FAST)
def _widest(at: Layout) -> int:
    """Return how many numbers the largest strip or block has."""
    most = at.strides[at.cuts[1]]
    for p in range(1, at.cuts.size - 1):
        first = at.strides[at.cuts[p]]
        most = max(most, min(first, _WIDTH) * (at.strides[at.cuts[p + 1]] // first))
    return int(most)


@njit(**_FAST)
def _low(at: Layout, c: Reals, psi: Reals, start: int, work: Reals, sums: Reals) -> float:
    """Mix the low factors of a block; returns as :func:`_high`."""
    low, turned = at.cuts[1], at.turned
    block, inner = at.strides[low], at.strides[turned]
    columns = block // inner
    overlap = 0.0
    if turned > 0:
        for row in range(psi.shape[0]):
            _transpose(psi[row], start, columns, inner, work[row], 0)
        for f in range(turned):
            overlap += _mix(work, 0, block, at.sizes[f], at.strides[f] * columns, c[f], sums) / at.sizes[f]
        for row in range(psi.shape[0]):
            _transpose(work[row], 0, inner, columns, psi[row], start)
    for f in range(turned, low):
        overlap += _mix(psi, start, block, at.sizes[f], at.strides[f], c[f], sums) / at.sizes[f]
    return 2 * overlap


@njit(**_FAST)
def _high(at: Layout, c: Reals, psi: Reals, work: Reals, sums: Reals) -> float:
    """Mix the high factors.

    Returns:
        ``Im <second| H |first>`` of two states, H the part of the mixer's generator; 0 for one state.
    """
    overlap = 0.0
    for p in range(1, at.cuts.size - 1):
        first, last = at.cuts[p], at.cuts[p + 1]
        stride, span = at.strides[first], at.strides[last]
        rows = span // stride
        for base in range(0, psi.shape[1], span):
            for start in range(base, base + stride, _WIDTH):
                width = min(_WIDTH, base + stride - start)
                for row in range(psi.shape[0]):
                    _gather(psi[row], start, stride, rows, work[row], width)
                for f in range(first, last):
                    run = width * (at.strides[f] // stride)
                    overlap += _mix(work, 0, rows * width, at.sizes[f], run, c[f], sums) / at.sizes[f]
                for row in range(psi.shape[0]):
                    _scatter(psi[row], start, stride, rows, work[row], width)
    return 2 * overlap


@njit(**_FAST)
def _coefficients(at: Layout, beta: float, c: Reals) -> None:
    for f in range(at.sizes.size):
        c[f, 0] = (np.cos(2 * beta) - 1) / at.sizes[f]
        c[f, 1] = np.sin(2 * beta) / at.sizes[f]


@njit(**_FAST)
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
    return _cross(means, 1) * size


@njit(**_FAST)
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
    costs: Floats,
    by_gamma: Floats,
    by_beta: Floats,
) -> None:
    """Apply all layers in place, but for the global phases of string 0's energy and of the complete mixer.

    One state, real and imaginary parts ``(2, size)``: forwards. Two states, the second an observable times the
    first, ``(4, size)``: backwards, undoing the layers and writing the observable's derivatives. The costs, and
    where to write, are used by the latter only.
    """
    size, block = psi.shape[1], at.strides[at.cuts[1]]
    states, layers = psi.shape[0] // 2, gammas.size
    ph = _room(at, psi)
    work = np.empty((psi.shape[0], _widest(at)), psi.dtype)
    sums = np.empty((psi.shape[0], _CHUNK), psi.dtype)
    c = np.empty((at.sizes.size, 2), psi.dtype)
    for step in range(layers):
        layer, sign = (step, 1) if states == 1 else (layers - 1 - step, -1)
        _fill(at, sign * gammas[layer], ph)
        _coefficients(at, sign * betas[layer], c)
        mixed = weighed = 0.0
        if states == 2:
            mixed = _reflect(psi, -betas[layer]) if grover else _high(at, c, psi, work, sums)
        for start in range(0, size, block):
            if states == 2:
                if not grover:
                    mixed += _low(at, c, psi, start, work, sums)
                weighed += _weigh(psi, start, block, costs, costs[0])
            _choose(at, ph, start)
            for row in range(0, psi.shape[0], 2):
                _times(psi[row], psi[row + 1], start, ph.outr, ph.outi, block)
            if states == 1 and not grover:
                _low(at, c, psi, start, work, sums)
        if states == 2:
            by_gamma[layer], by_beta[layer] = 2 * weighed, -2 * mixed
        elif grover:
            _reflect(psi, betas[layer])
        else:
            _high(at, c, psi, work, sums)


@njit(**_FAST)
def chances(psi: Reals) -> Floats:
    """Return squared moduli, ``(2, size) -> (size,)``."""
    out = np.empty(psi.shape[1])
    for j in range(out.size):
        out[j] = psi[0, j] * psi[0, j] + psi[1, j] * psi[1, j]
    return out


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
