"""How is a QAOA layer over all strings made fast? Real rotations in blocks that stay in the cache, and no trigonometry.

With S = diag(1, i) on every qubit, ``S^-1 exp(i beta X) S`` is the real rotation by beta, and S commutes with
the diagonal cost. So real and imaginary parts, held apart, go through the mixer without meeting; only the
phases mix them. Each rotation is done as ``(a - t b, b + t a)``, t = tan(beta), one fused multiply-add per
number; the factor cos(beta) per qubit waits for the next phases. Three qubits go together in a pass over a
block, on loops whose strides are constants, since only then does the compiler use vector instructions.

A phase ``exp(-i gamma E)`` of a quadratic E is a product of ``exp(-i gamma h_i s_i)`` and
``exp(-i gamma J_ij s_i s_j)``, so it is multiplied up by doubling, from the spins of a block outwards.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

Reals = npt.NDArray[np.float64]
"""float32 or float64."""

_FAST = {"cache": True, "fastmath": True, "error_model": "numpy", "nogil": True}
_INNER = {**_FAST, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # only compiled code calls it
_INLINE = {**_INNER, "inline": "always"}
_BLOCK = 11  # qubits of a block that the first cache holds: 16 kB of doubles
_LARGE_BLOCK = 14  # qubits of a block that the second one holds: 128 kB


@njit(**_INNER)
def _low(x: Reals, qubits: int, t: float) -> None:
    """Rotate the lowest one or two qubits."""
    if qubits == 1:
        for i in range(x.size // 2):
            a, b = x[2 * i], x[2 * i + 1]
            x[2 * i], x[2 * i + 1] = a - t * b, b + t * a
        return
    for i in range(x.size // 4):
        a0, a1, a2, a3 = x[4 * i], x[4 * i + 1], x[4 * i + 2], x[4 * i + 3]
        b0, b1 = a0 - t * a1, a1 + t * a0
        b2, b3 = a2 - t * a3, a3 + t * a2
        x[4 * i], x[4 * i + 2] = b0 - t * b2, b2 + t * b0
        x[4 * i + 1], x[4 * i + 3] = b1 - t * b3, b3 + t * b1


@njit(**_INNER)
def _one(x: Reals, stride: int, t: float) -> None:
    """Rotate one qubit."""
    for base in range(0, x.size, 2 * stride):
        v0, v1 = x[base : base + stride], x[base + stride : base + 2 * stride]
        for k in range(stride):
            a, b = v0[k], v1[k]
            v0[k], v1[k] = a - t * b, b + t * a


@njit(**_INNER)
def _two(x: Reals, stride: int, t: float) -> None:
    """Rotate two neighbouring qubits."""
    for base in range(0, x.size, 4 * stride):
        v0, v1 = x[base : base + stride], x[base + stride : base + 2 * stride]
        v2, v3 = x[base + 2 * stride : base + 3 * stride], x[base + 3 * stride : base + 4 * stride]
        for k in range(stride):
            a0, a1, a2, a3 = v0[k], v1[k], v2[k], v3[k]
            b0, b1 = a0 - t * a1, a1 + t * a0
            b2, b3 = a2 - t * a3, a3 + t * a2
            v0[k], v2[k] = b0 - t * b2, b2 + t * b0
            v1[k], v3[k] = b1 - t * b3, b3 + t * b1


@njit(**_INLINE)
def _three(x, stride, t):  # type: ignore[no-untyped-def] # inlined with a constant stride
    """Rotate three neighbouring qubits; only a constant stride tells the compiler that the eight parts are apart."""
    for base in range(0, x.size, 8 * stride):
        v = x[base : base + 8 * stride]
        for k in range(stride):
            a0, a1, a2, a3 = v[k], v[k + stride], v[k + 2 * stride], v[k + 3 * stride]
            a4, a5, a6, a7 = v[k + 4 * stride], v[k + 5 * stride], v[k + 6 * stride], v[k + 7 * stride]
            b0, b1 = a0 - t * a1, a1 + t * a0
            b2, b3 = a2 - t * a3, a3 + t * a2
            b4, b5 = a4 - t * a5, a5 + t * a4
            b6, b7 = a6 - t * a7, a7 + t * a6
            c0, c2 = b0 - t * b2, b2 + t * b0
            c1, c3 = b1 - t * b3, b3 + t * b1
            c4, c6 = b4 - t * b6, b6 + t * b4
            c5, c7 = b5 - t * b7, b7 + t * b5
            v[k], v[k + 4 * stride] = c0 - t * c4, c4 + t * c0
            v[k + stride], v[k + 5 * stride] = c1 - t * c5, c5 + t * c1
            v[k + 2 * stride], v[k + 6 * stride] = c2 - t * c6, c6 + t * c2
            v[k + 3 * stride], v[k + 7 * stride] = c3 - t * c7, c7 + t * c3


@njit(**_INNER)
def _turn(x: Reals, first: int, last: int, t: float) -> None:
    """Rotate qubits ``first`` to ``last - 1`` of a block; ``first`` is 0, 11 or 14."""
    qubit = first
    if qubit == 0:
        _low(x, min(2, last), t)
        qubit = 2
    while last - qubit >= 3:
        if qubit == 2:
            _three(x, 1 << 2, t)
        elif qubit == 5:
            _three(x, 1 << 5, t)
        elif qubit == 8:
            _three(x, 1 << 8, t)
        elif qubit == 11:
            _three(x, 1 << 11, t)
        elif qubit == 14:
            _three(x, 1 << 14, t)
        elif qubit == 17:
            _three(x, 1 << 17, t)
        elif qubit == 20:
            _three(x, 1 << 20, t)
        else:
            _three(x, 1 << 23, t)
        qubit += 3
    if last - qubit == 2:
        _two(x, 1 << qubit, t)
    elif last - qubit == 1:
        _one(x, 1 << qubit, t)


@njit(**_FAST)
def mix(work: Reals, source: Reals, spins: int, tangent: float, times: int) -> None:
    """Rotate every qubit of a state ``times`` times, up to a factor ``cos**spins`` each.

    Args:
        work: real and imaginary parts, ``(2, 2**spins)``; filled in.
        source: the state before, which may be ``work`` itself.
        spins: number of qubits.
        tangent: of the angle, at most 1 in size.
        times: how often.
    """
    t = work.dtype.type(tangent)
    near, low = min(spins, _BLOCK), min(spins, _LARGE_BLOCK)
    apart = work.ctypes.data != source.ctypes.data
    for turn in range(times):
        for part in range(2):
            x, before = work[part], source[part]
            for top in range(0, x.size, 1 << low):
                if apart and turn == 0:
                    for k in range(top, top + (1 << low)):
                        x[k] = before[k]
                for base in range(top, top + (1 << low), 1 << near):
                    _turn(x[base : base + (1 << near)], np.int64(0), near, t)  # a literal would compile a copy
                if low > near:
                    _turn(x[top : top + (1 << low)], near, low, t)
            if spins > low:
                _turn(x, low, spins, t)


@njit(**_FAST)
def slopes(left: Reals, right: Reals, costs: Reals, spins: int) -> tuple[float, float]:
    """Return ``Im <left| E |right>`` and ``Re <left| K |right>``.

    K is the derivative by the angle of the rotation of every qubit, at angle 0.
    """
    by_gamma = by_beta = 0.0
    near, low = min(spins, _BLOCK), min(spins, _LARGE_BLOCK)
    for top in range(0, costs.size, 1 << low):
        for base in range(top, top + (1 << low), 1 << near):
            end = base + (1 << near)
            by_gamma += _crossed(left[:, base:end], right[:, base:end], costs[base:end])
            for part in range(2):
                by_beta += _slope(left[part, base:end], right[part, base:end], np.int64(0), near)
        if low > near:
            end = top + (1 << low)
            for part in range(2):
                by_beta += _slope(left[part, top:end], right[part, top:end], near, low)
    if spins > low:
        for part in range(2):
            by_beta += _slope(left[part], right[part], low, spins)
    return by_gamma, by_beta


@njit(**_INNER)
def _crossed(left: Reals, right: Reals, costs: Reals) -> float:
    """Return ``Im <left| E |right>`` of a block."""
    xr, xi, yr, yi = left[0], left[1], right[0], right[1]
    total = 0.0
    for k in range(costs.size):
        total += costs[k] * (xr[k] * yi[k] - xi[k] * yr[k])
    return total


@njit(**_INNER)
def _slope(x: Reals, y: Reals, first: int, last: int) -> float:
    """Return the part of :func:`slopes` of qubits ``first`` to ``last - 1``, in real or imaginary parts."""
    total = 0.0
    qubit = first
    if qubit == 0 and last >= 2:
        total += _slope_low(x, y)
        qubit = 2
    while last - qubit >= 3:
        total += _slope_three(x, y, 1 << qubit)
        qubit += 3
    while qubit < last:
        total += _slope_one(x, y, 1 << qubit)
        qubit += 1
    return total


@njit(**_INNER)
def _slope_low(x: Reals, y: Reals) -> float:
    """Return the part of the two lowest qubits."""
    part = x[0] - x[0]
    for i in range(x.size // 4):
        y0, y1, y2, y3 = y[4 * i], y[4 * i + 1], y[4 * i + 2], y[4 * i + 3]
        part += (x[4 * i + 1] + x[4 * i + 2]) * (y0 - y3) + (x[4 * i + 3] - x[4 * i]) * (y1 + y2)
    return float(part)


@njit(**_INNER)
def _slope_one(x: Reals, y: Reals, stride: int) -> float:
    """Return the part of one qubit."""
    total = 0.0
    for base in range(0, x.size, 2 * stride):
        x0, x1 = x[base : base + stride], x[base + stride : base + 2 * stride]
        y0, y1 = y[base : base + stride], y[base + stride : base + 2 * stride]
        part = x[base] - x[base]
        for k in range(stride):
            part += x1[k] * y0[k] - x0[k] * y1[k]
        total += part
    return total


@njit(**_INNER)
def _slope_three(x: Reals, y: Reals, stride: int) -> float:
    """Return the part of three neighbouring qubits."""
    total = 0.0
    for base in range(0, x.size, 8 * stride):
        x0, x1 = x[base : base + stride], x[base + stride : base + 2 * stride]
        x2, x3 = x[base + 2 * stride : base + 3 * stride], x[base + 3 * stride : base + 4 * stride]
        x4, x5 = x[base + 4 * stride : base + 5 * stride], x[base + 5 * stride : base + 6 * stride]
        x6, x7 = x[base + 6 * stride : base + 7 * stride], x[base + 7 * stride : base + 8 * stride]
        v0, v1 = y[base : base + stride], y[base + stride : base + 2 * stride]
        v2, v3 = y[base + 2 * stride : base + 3 * stride], y[base + 3 * stride : base + 4 * stride]
        v4, v5 = y[base + 4 * stride : base + 5 * stride], y[base + 5 * stride : base + 6 * stride]
        v6, v7 = y[base + 6 * stride : base + 7 * stride], y[base + 7 * stride : base + 8 * stride]
        part = x[base] - x[base]
        for k in range(stride):
            y0, y1, y2, y3, y4, y5, y6, y7 = v0[k], v1[k], v2[k], v3[k], v4[k], v5[k], v6[k], v7[k]
            part += (
                x1[k] * (y0 - y3 - y5)
                - x0[k] * (y1 + y2 + y4)
                + x2[k] * (y0 - y3 - y6)
                + x3[k] * (y1 + y2 - y7)
                + x4[k] * (y0 - y5 - y6)
                + x5[k] * (y1 + y4 - y7)
                + x6[k] * (y2 + y4 - y7)
                + x7[k] * (y3 + y5 + y6)
            )
        total += part
    return total


@njit(**_FAST)
def multiply_phases(work: Reals, h: Reals, J: Reals, gamma: float, scale: float, first: bool, low: int) -> None:
    """Multiply the state by ``scale * exp(-i gamma E)``, E without its offset; all in double precision but the state.

    Args:
        work: real and imaginary parts, ``(2, 2**spins)``.
        h: fields.
        J: couplings, upper triangular.
        gamma: cost angle.
        scale: factor.
        first: ignore the state and start from the uniform one, in the frame of real rotations.
        low: spins of a block: 12, or all if there are fewer.
    """
    re, im = work[0], work[1]
    high = h.size - low
    near_re, near_im = np.empty(1 << low), np.empty(1 << low)
    _phases(near_re, near_im, h[:low], J[:low, :low], gamma, scale, first)
    if high == 0:
        _apply(re, im, near_re.astype(re.dtype), near_im.astype(re.dtype), first)
        return
    far_re, far_im = np.empty(1 << high), np.empty(1 << high)
    _phases(far_re, far_im, h[low:], J[low:, low:], gamma, 1.0, first)
    cross_re, cross_im = np.empty((1 << high, low)), np.empty((1 << high, low))
    _crossings(cross_re, cross_im, J[:low, low:], gamma)
    half = low // 2
    rows, columns = 1 << (low - half), 1 << half
    one_re, one_im = near_re.astype(re.dtype), near_im.astype(re.dtype)
    row_re, row_im = np.empty(rows, re.dtype), np.empty(rows, re.dtype)
    column_re, column_im = np.empty(columns, re.dtype), np.empty(columns, re.dtype)
    for top in range(1 << high):
        _product(row_re, row_im, cross_re[top, half:], cross_im[top, half:], far_re[top], far_im[top])
        _product(column_re, column_im, cross_re[top, :half], cross_im[top, :half], 1.0, 0.0)
        for row in range(rows):
            begin = (top << low) + row * columns
            _apply_row(
                re[begin : begin + columns],
                im[begin : begin + columns],
                one_re[row * columns : (row + 1) * columns],
                one_im[row * columns : (row + 1) * columns],
                column_re,
                column_im,
                row_re[row],
                row_im[row],
                first,
            )


@njit(**_INNER)
def _apply(re: Reals, im: Reals, c: Reals, s: Reals, first: bool) -> None:
    if first:
        for k in range(re.size):
            re[k] = c[k]
            im[k] = s[k]
        return
    for k in range(re.size):
        a, b = re[k], im[k]
        re[k], im[k] = a * c[k] - b * s[k], a * s[k] + b * c[k]


@njit(**_INNER)
def _apply_row(re: Reals, im: Reals, c: Reals, s: Reals, cc: Reals, ss: Reals, u: float, v: float, first: bool) -> None:
    """Multiply a row by (c + i s) (cc + i ss) (u + i v)."""
    if first:
        for k in range(re.size):
            p, q = c[k] * cc[k] - s[k] * ss[k], c[k] * ss[k] + s[k] * cc[k]
            re[k], im[k] = p * u - q * v, p * v + q * u
        return
    for k in range(re.size):
        p, q = c[k] * cc[k] - s[k] * ss[k], c[k] * ss[k] + s[k] * cc[k]
        p, q = p * u - q * v, p * v + q * u
        a, b = re[k], im[k]
        re[k], im[k] = a * p - b * q, a * q + b * p


@njit(**_INNER)
def _phases(re: Reals, im: Reals, h: Reals, J: Reals, gamma: float, scale: float, first: bool) -> None:
    """Fill in ``scale * exp(-i gamma E)`` for all strings of ``h.size`` spins, by doubling.

    With ``first``, each spin of -1 brings a factor of -i: |+> in the frame of real rotations.
    """
    re[0], im[0] = scale, 0.0
    field_re, field_im = np.empty(max(1, re.size // 2)), np.empty(max(1, re.size // 2))
    for i in range(h.size):
        size = 1 << i
        field_re[0], field_im[0] = np.cos(gamma * h[i]), -np.sin(gamma * h[i])
        for j in range(i):
            _double(field_re, field_im, 1 << j, np.cos(gamma * J[j, i]), -np.sin(gamma * J[j, i]))
        low_re, low_im, high_re, high_im = re[:size], im[:size], re[size : 2 * size], im[size : 2 * size]
        for k in range(size):
            a, b, c, s = low_re[k], low_im[k], field_re[k], field_im[k]
            ac, bs, as_, bc = a * c, b * s, a * s, b * c
            low_re[k], low_im[k] = ac - bs, as_ + bc
            up, vp = ac + bs, bc - as_
            if first:
                up, vp = vp, -up
            high_re[k], high_im[k] = up, vp


@njit(**_INNER)
def _double(re: Reals, im: Reals, size: int, c: float, s: float) -> None:
    """Put the first ``size`` numbers times (c - i s) behind themselves, and times (c + i s) in their own place."""
    low_re, low_im, high_re, high_im = re[:size], im[:size], re[size : 2 * size], im[size : 2 * size]
    for k in range(size):
        a, b = low_re[k], low_im[k]
        ac, bs, as_, bc = a * c, b * s, a * s, b * c
        low_re[k], low_im[k] = ac - bs, as_ + bc
        high_re[k], high_im[k] = ac + bs, bc - as_


@njit(**_INNER)
def _product(re: Reals, im: Reals, c: Reals, s: Reals, u: float, v: float) -> None:
    """Fill in ``(u + i v) prod_i (c_i + i s_i sigma_i)`` for all strings sigma, ``(2**c.size,)``."""
    re[0], im[0] = u, v
    for i in range(c.size):
        _double(re, im, 1 << i, c[i], s[i])


@njit(**_INNER)
def _crossings(re: Reals, im: Reals, J: Reals, gamma: float) -> None:
    """Fill in ``exp(-i gamma sum_j J_ij sigma_j)`` for low spins i and all strings of the high, ``(2**high, low)``."""
    low, high = J.shape
    column_re, column_im = np.empty(1 << high), np.empty(1 << high)
    for i in range(low):
        column_re[0], column_im[0] = 1.0, 0.0
        for j in range(high):
            _double(column_re, column_im, 1 << j, np.cos(gamma * J[i, j]), -np.sin(gamma * J[i, j]))
        for k in range(1 << high):
            re[k, i], im[k, i] = column_re[k], column_im[k]


@njit(**_FAST)
def rescale(work: Reals, scale: float) -> None:
    """Multiply a state by a number."""
    for part in work:
        for k in range(part.size):
            part[k] *= scale


@njit(**_FAST)
def expectation(work: Reals, observable: Reals) -> float:
    """Return ``sum_x |psi_x|**2 O_x``."""
    re, im = work[0], work[1]
    total = 0.0
    for k in range(re.size):
        total += (re[k] * re[k] + im[k] * im[k]) * observable[k]
    return total


@njit(**_FAST)
def weigh(work: Reals, observable: Reals, scale: float, out: Reals) -> float:
    """Fill in ``scale * O psi`` and return ``scale * sum_x |psi_x|**2 O_x``."""
    re, im, out_re, out_im = work[0], work[1], out[0], out[1]
    total = 0.0
    for k in range(re.size):
        a, b, weight = re[k], im[k], observable[k]
        total += (a * a + b * b) * weight
        out_re[k], out_im[k] = scale * weight * a, scale * weight * b
    return scale * total


@njit(**_FAST)
def squares(work: Reals, scale: float, out: Reals) -> None:
    """Fill in the probabilities, ``scale * |psi_x|**2``."""
    re, im = work[0], work[1]
    for k in range(re.size):
        out[k] = scale * (re[k] * re[k] + im[k] * im[k])


@njit(**_FAST)
def unturned(work: Reals, scale: float, out: npt.NDArray[np.complex128]) -> None:
    """Fill in the amplitudes in the usual frame: times i for every spin of -1."""
    re, im = work[0], work[1]
    for k in range(re.size):
        ones, rest = 0, k
        while rest:
            ones += 1
            rest &= rest - 1
        a, b = scale * re[k], scale * im[k]
        if ones & 1:
            a, b = -b, a
        if ones & 2:
            a, b = -a, -b
        out[k] = complex(a, b)
