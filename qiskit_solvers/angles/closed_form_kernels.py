"""How are the averages of :mod:`~qiskit_solvers.angles.closed_form` computed? Compiled, for dense and sparse models."""

import numpy as np
from numba import njit

from qiskit_solvers.ising import Floats, Indices


@njit(cache=True)
def dense_averages(h: Floats, J: Floats, gamma: float) -> tuple[Floats, Floats, Floats]:  # pragma: no cover - compiled
    """Return single ``(n,)``, mixed and both ``(n, n)``, the upper triangles; J symmetric."""
    n = h.size
    C, S = np.ones((n, n)), np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            C[i, j] = C[j, i] = np.cos(2.0 * gamma * J[i, j])
            S[i, j] = S[j, i] = np.sin(2.0 * gamma * J[i, j])
    single, mixed, both = np.empty(n), np.zeros((n, n)), np.zeros((n, n))
    others = np.empty((n, n))  # product of the cosines of row i but for column j
    for i in range(n):
        product = 1.0
        for j in range(n):
            others[i, j] = product
            if j != i:
                product *= C[i, j]
        single[i] = np.sin(2.0 * gamma * h[i]) * product
        product = np.cos(2.0 * gamma * h[i])
        for j in range(n - 1, -1, -1):
            others[i, j] *= product
            if j != i:
                product *= C[i, j]
    for i in range(n):
        plus, minus = np.ones(n - i - 1), np.ones(n - i - 1)
        for k in range(n):
            if k == i:
                continue
            c, s, row_c, row_s = C[i, k], S[i, k], C[k, i + 1 :], S[k, i + 1 :]
            own = k - i - 1  # the place of j = k, which has no such factor: put back after a loop without branches
            kept_plus, kept_minus = (plus[own], minus[own]) if k > i else (1.0, 1.0)
            for j in range(plus.size):
                cosines, sines = c * row_c[j], s * row_s[j]
                plus[j] *= cosines - sines
                minus[j] *= cosines + sines
            if k > i:
                plus[own], minus[own] = kept_plus, kept_minus
        for j in range(i + 1, n):
            difference, total = np.cos(2.0 * gamma * (h[i] - h[j])), np.cos(2.0 * gamma * (h[i] + h[j]))
            both[i, j] = 0.5 * (difference * minus[j - i - 1] - total * plus[j - i - 1])
            mixed[i, j] = S[i, j] * (others[i, j] + others[j, i])
    return single, mixed, both


@njit(cache=True)
def sparse_averages(
    h: Floats,
    starts: Indices,
    neighbours: Indices,
    weights: Floats,
    back: Indices,
    gamma: float,
) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats]:  # pragma: no cover - compiled
    """Return single, mixed, both, then their derivatives by gamma; pairs row by row.

    Args:
        h: fields, ``(n,)``.
        starts: where the neighbours of each spin begin, ``(n + 1,)``.
        neighbours: ascending for each spin, both ways, ``(2 pairs,)``.
        weights: couplings to them, ``(2 pairs,)``.
        back: the entry of the same pair from its other spin, ``(2 pairs,)``.
        gamma: cost angle.
    """
    n, entries = h.size, neighbours.size
    C, S = np.cos(2.0 * gamma * weights), np.sin(2.0 * gamma * weights)
    dC, dS = -2.0 * weights * S, 2.0 * weights * C
    single, dsingle = np.empty(n), np.empty(n)
    others, dothers = np.empty(entries), np.empty(entries)  # as in the dense kernel, by entry
    for i in range(n):
        p, dp = 1.0, 0.0
        for e in range(starts[i], starts[i + 1]):
            others[e], dothers[e] = p, dp
            p, dp = p * C[e], dp * C[e] + p * dC[e]
        sine, cosine = np.sin(2.0 * gamma * h[i]), np.cos(2.0 * gamma * h[i])
        single[i], dsingle[i] = sine * p, sine * dp + 2.0 * h[i] * cosine * p
        p, dp = cosine, -2.0 * h[i] * sine
        for e in range(starts[i + 1] - 1, starts[i] - 1, -1):
            others[e], dothers[e] = others[e] * p, dothers[e] * p + others[e] * dp
            p, dp = p * C[e], dp * C[e] + p * dC[e]
    mixed, dmixed = np.empty(entries // 2), np.empty(entries // 2)
    both, dboth = np.empty(entries // 2), np.empty(entries // 2)
    pair = 0
    for i in range(n):
        for e in range(starts[i], starts[i + 1]):
            j = neighbours[e]
            if j < i:
                continue
            two, dtwo = others[e] + others[back[e]], dothers[e] + dothers[back[e]]
            mixed[pair], dmixed[pair] = S[e] * two, dS[e] * two + S[e] * dtwo
            total, difference = h[i] + h[j], h[i] - h[j]
            plus, dplus = np.cos(2.0 * gamma * total), -2.0 * total * np.sin(2.0 * gamma * total)
            minus, dminus = np.cos(2.0 * gamma * difference), -2.0 * difference * np.sin(2.0 * gamma * difference)
            at, to = starts[i], starts[j]
            while at < starts[i + 1] or to < starts[j + 1]:
                # merge the two neighbourhoods; a spin that is in one of them only counts as uncoupled to the other
                first = neighbours[at] if at < starts[i + 1] else n
                second = neighbours[to] if to < starts[j + 1] else n
                c, s, dc, ds = 1.0, 0.0, 0.0, 0.0
                o, r, do, dr = 1.0, 0.0, 0.0, 0.0
                if first <= second:
                    c, s, dc, ds = C[at], S[at], dC[at], dS[at]
                    at += 1
                if second <= first:
                    o, r, do, dr = C[to], S[to], dC[to], dS[to]
                    to += 1
                if min(first, second) == i or min(first, second) == j:
                    continue
                f, df = c * o - s * r, dc * o + c * do - ds * r - s * dr
                plus, dplus = plus * f, dplus * f + plus * df
                f, df = c * o + s * r, dc * o + c * do + ds * r + s * dr
                minus, dminus = minus * f, dminus * f + minus * df
            both[pair], dboth[pair] = 0.5 * (minus - plus), 0.5 * (dminus - dplus)
            pair += 1
    return single, mixed, both, dsingle, dmixed, dboth
