"""Which tensors show what tensor networks can do, and what they cannot? Functions, solutions, noise and pictures.

All of them are made from formulas and, where there is chance in them, from a generator. Some have structure that a
network finds (smooth kernels, transport, diffusion, phase space, a hidden order of modes), some have none (turbulence,
pictures): a comparison shows both.
"""

import itertools

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]


def hilbert(shape: tuple[int, ...] = (128, 128, 64)) -> Field:
    """Return ``1 / (i + j + ... + 1)``, the Hilbert matrix in more dimensions."""
    return np.asarray(1.0 / (np.indices(shape).sum(axis=0) + 1.0), dtype=np.float32)


def coulomb(shape: tuple[int, int, int] = (96, 96, 64), nearest: float = 0.05) -> Field:
    """Return the potential ``1 / r`` of a charge at the origin, on a grid of a cube's corner.

    Args:
        shape: points along each side.
        nearest: the first point of each side, the last being 1; below, ``1 / r`` is steeper.
    """
    x, y, z = np.meshgrid(*(np.linspace(nearest, 1.0, length) for length in shape), indexing="ij", sparse=True)
    return (1.0 / np.sqrt(x * x + y * y + z * z)).astype(np.float32)


def advected_pulse(shape: tuple[int, int, int] = (96, 96, 64), width: float = 0.07) -> Field:
    """Return a round pulse that the wind carries over a square, ``(x, y, time)``.

    Args:
        shape: points along each side, and moments.
        width: standard deviation of the pulse, in sides of the square.
    """
    x, y, t = np.meshgrid(*(np.linspace(0.0, 1.0, length) for length in shape), indexing="ij", sparse=True)
    return np.exp(-((x - 0.2 - 0.6 * t) ** 2 + (y - 0.3 - 0.4 * t) ** 2) / (2.0 * width**2)).astype(np.float32)


def heat(rng: np.random.Generator, shape: tuple[int, int, int] = (96, 96, 64), spots: int = 12) -> Field:
    """Return the temperature of a plate with hot and cold spots that spread, ``(x, y, time)``.

    The exact solution of the heat equation on the plane: each spot stays normal, its variance grows with time.

    Args:
        rng: places and heats of the spots.
        shape: points along each side, and moments.
        spots: number of them.
    """
    x, y, t = np.meshgrid(*(np.linspace(0.0, 1.0, length) for length in shape), indexing="ij", sparse=True)
    field = np.zeros(shape)
    for _ in range(spots):
        (at_x, at_y), heat_of_spot, size = rng.random(2), rng.normal(), rng.uniform(0.02, 0.08)
        variance = size**2 + 0.05 * t
        field += heat_of_spot * size**2 / variance * np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / (2.0 * variance))
    return field.astype(np.float32)


def vlasov(points: int = 10, shear: tuple[float, float, float] = (0.5, -0.4, 0.8)) -> Field:
    """Return a phase-space density over three places and three velocities, ``(x, y, z, u, v, w)``.

    Particles that streamed freely: each velocity is bound to its own place, which stands three modes away. Two such
    clouds overlap, so that no single product describes it.

    Args:
        points: along each of the six modes.
        shear: how far a place moves its velocity, for each pair.
    """
    grid = np.linspace(-1.0, 1.0, points)
    place, velocity = grid[:, None], grid[None, :]
    clouds = []
    for sign in (1.0, -0.5):
        pairs = [(1.0 + 0.3 * np.cos(3.0 * place)) * np.exp(-((velocity - sign * s * place) ** 2) / 0.1) for s in shear]
        clouds.append(np.einsum("ad,be,cf->abcdef", *pairs))
    return np.asarray(clouds[0] + 0.2 * clouds[1], dtype=np.float32)


def hidden_order(
    rng: np.random.Generator, modes: int = 6, points: int = 9, rank: int = 3, noise: float = 0.005
) -> Field:
    """Return a tensor train of low rank whose modes were shuffled, with noise on top.

    Args:
        rng: cores, order and noise.
        modes: number of them.
        points: along each mode.
        rank: of every bond in the hidden order.
        noise: Frobenius norm of the noise over that of the train.
    """
    ends = [1, *[rank] * (modes - 1), 1]
    train = np.ones((1, 1))
    for left, right in itertools.pairwise(ends):
        core = rng.normal(size=(left, points, right)) / np.sqrt(left)
        train = np.tensordot(train, core, axes=1).reshape(-1, right)
    tensor = train.reshape((points,) * modes).transpose(rng.permutation(modes))
    shock = rng.normal(size=tensor.shape)
    return (tensor + noise * np.linalg.norm(tensor) / np.linalg.norm(shock) * shock).astype(np.float32)


def turbulence(rng: np.random.Generator, points: int = 64, slope: float = -11.0 / 6.0) -> Field:
    """Return a random field whose modes fall as those of a turbulent scalar, ``(points, points, points)``.

    Amplitudes fall as ``k ** (-11 / 6)``, the spectrum then as ``k ** (-5 / 3)`` (Kolmogorov 1941; Obukhov 1949,
    Corrsin 1951 for scalars); phases are random, so nothing but that spectrum can be compressed.
    """
    k = np.fft.fftfreq(points) * points
    wave = np.sqrt(k[:, None, None] ** 2 + k[None, :, None] ** 2 + np.arange(points // 2 + 1)[None, None, :] ** 2)
    wave[0, 0, 0] = 1.0
    spectrum = np.fft.rfftn(rng.normal(size=(points,) * 3)) * wave**slope
    spectrum[0, 0, 0] = 0.0
    field = np.fft.irfftn(spectrum, s=(points,) * 3, axes=(0, 1, 2))
    return np.asarray(field / field.std(), dtype=np.float32)


def dead_leaves(rng: np.random.Generator, shape: tuple[int, int] = (420, 640), leaves: int = 3000) -> Field:
    """Return a picture of overlapping coloured discs, ``(rows, columns, 3)``, 0 to 255: edges as photographs have.

    Radii follow a power law of exponent -3, which gives pictures the statistics of natural ones at all scales (Lee,
    Mumford and Huang 2001, doi 10.1023/A:1011109015675). A little grain lies on top.
    """
    rows, columns = np.arange(shape[0]), np.arange(shape[1])
    picture = np.full((*shape, 3), 128.0)
    smallest, largest = 3.0, 0.5 * min(shape)
    share = rng.random(leaves)
    radii = (smallest**-2 + share * (largest**-2 - smallest**-2)) ** -0.5
    for radius in radii:
        row, column = rng.uniform(-radius, shape[0] + radius), rng.uniform(-radius, shape[1] + radius)
        colour = rng.uniform(0.0, 255.0) * 0.7 + rng.uniform(0.0, 255.0, 3) * 0.3
        top, bottom = np.searchsorted(rows, [row - radius, row + radius])
        left, right = np.searchsorted(columns, [column - radius, column + radius])
        near_rows, near_columns = rows[top:bottom, None], columns[None, left:right]
        inside = (near_rows - row) ** 2 + (near_columns - column) ** 2 <= radius**2
        picture[top:bottom, left:right][inside] = colour
    return np.clip(picture + rng.normal(0.0, 2.0, picture.shape), 0.0, 255.0).astype(np.float32)
