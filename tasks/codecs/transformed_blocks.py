"""How is a tensor made from what a linear transform left of its blocks?

The tensor was cut into blocks, each a vector; a transform turned every block into fewer numbers (latents), kept as
multiples of a step. Three transforms:

    kept      some entries of each block, the others are 0: pruned channels, where a block is a row
    linear    ``y = E x`` with a trained encoder E. Only E is stored: the decoder is its inversion,
              ``x = E' (E E')**-1 y``, so a Gram matrix is solved, which need not be the identity, since E is rounded
    fourier   the lowest frequencies of a real Fourier transform that keeps lengths

What is here reverses them by numpy; :mod:`tasks.codecs.restore_toggles` can do two of them by quantum circuits.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, with_config

from data.schemas.tensor import ELEMENT_TYPES
from data.schemas.units import RECORD
from tasks.codecs.autoencoder_recipe import read_runs
from tasks.codecs.quantise_chunk import octets_of

Floats = npt.NDArray[np.float64]
Transform = Literal["kept", "linear", "fourier"]

LENGTH_MAX = 4096
"""Elements of a block; the Gram matrix of as many latents takes 128 MB."""

ENCODER_SPARE = 1 << 18
"""Numbers of an encoder beyond those of the tensor that are taken; a larger one would cost more than the tensor."""

_SLAB = 1 << 20  # elements that are decoded at once: 8 MB


@dataclass(frozen=True, slots=True, eq=False)
class Latents:
    """What the content holds.

    Args:
        values: ``(latents, blocks)``.
        encoder: of a linear transform, ``(latents, length)``; else empty.
        places: of the entries that were kept, ``(latents,)``; else empty.
    """

    values: Floats
    encoder: Floats
    places: npt.NDArray[np.intp]


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class TransformedBlocks:
    """Blocks of a tensor after a linear transform.

    The content is what the transform needs: a bit for each entry of a block, lowest bit first, set where it is kept;
    or of each latent a float32 scale, then the encoder as int8, row by row; or nothing. Then runs of integers, each
    after its length as uint32: the latents.

    Args:
        transform: kept, linear or fourier.
        dtype: of the tensor.
        length: elements of a block; a power of two for fourier.
        latents: numbers that are kept of a block.
        step: whose multiples the latents are, in the unit of the elements.
        run_each: one run for each latent; else one for all.
        content_bytes: of the content.
    """

    transform: Transform
    dtype: Literal["F16", "BF16", "F32", "F64"]
    length: Annotated[int, Field(ge=2, le=LENGTH_MAX)]
    latents: Annotated[int, Field(ge=1, le=LENGTH_MAX)]
    step: Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
    run_each: bool
    content_bytes: Annotated[int, Field(ge=1, lt=2**40)]
    kind: Literal["transformed-blocks"] = "transformed-blocks"
    version: Literal[1] = 1

    def rebuild(self, content: npt.NDArray[np.uint8], raw_bytes: int) -> npt.NDArray[np.uint8]:
        """Return the tensor's bytes, ``(raw_bytes,)``.

        Raises:
            ValueError: the content is not what the recipe takes, or not for a tensor of this size.
        """
        elements, rest = divmod(raw_bytes, ELEMENT_TYPES[self.dtype].word_bytes)
        if rest or not elements:
            raise ValueError(f"expected elements of {self.dtype}, found {raw_bytes} bytes")
        return octets_of(self.restored(self.read(content, elements), elements), self.dtype)

    def read(self, content: npt.NDArray[np.uint8], elements: int) -> Latents:
        """Return the latents of a tensor of so many elements.

        Raises:
            ValueError: the content is not what the recipe takes.
        """
        if self.latents > self.length or (self.transform == "fourier" and self.length & (self.length - 1)):
            raise ValueError(f"expected latents within blocks of a fitting length, found {self.latents}, {self.length}")
        encoder, places = np.empty((0, 0)), np.empty(0, dtype=np.intp)
        at = 0
        if self.transform == "kept":
            at = -(-self.length // 8)
            places = np.flatnonzero(np.unpackbits(content[:at], bitorder="little")[: self.length])
            if len(content) < at or places.size != self.latents:
                raise ValueError(f"expected {self.latents} kept entries, found {places.size}")
        elif self.transform == "linear":
            at = self.latents * (4 + self.length)
            if self.latents * self.length > elements + ENCODER_SPARE:  # a Gram matrix out of proportion to the tensor
                raise ValueError(f"expected an encoder no larger than {elements} elements, found {self.latents} rows")
            if len(content) < at:
                raise ValueError(f"expected an encoder of {at} bytes, found {len(content)}")
            with np.errstate(invalid="ignore"):  # a signalling NaN
                scales = np.frombuffer(content[: 4 * self.latents].tobytes(), dtype="<f4").astype(np.float64)
            levels = content[4 * self.latents : at].view(np.int8).reshape(self.latents, self.length)
            if not np.isfinite(scales).all():
                raise ValueError("expected finite scales of the encoder, found others")
            encoder = levels * scales[:, None]
        blocks = -(-elements // self.length)
        integers = read_runs(content[at:], self.latents, blocks, each=self.run_each)
        with np.errstate(over="ignore"):  # a hostile step may overflow; the numbers are then infinite, no more
            return Latents(np.asarray(integers * self.step, dtype=np.float64), encoder, places)

    def restored(self, latents: Latents, elements: int) -> Floats:
        """Return the elements, ``(elements,)``, float64 for F64, else float32, not yet rounded to 16 bits.

        Raises:
            ValueError: the encoder has no inverse.
        """
        values: Floats = np.empty(
            -(-elements // self.length) * self.length, dtype=np.float64 if self.dtype == "F64" else np.float32
        )
        decoder = linear_decoder(latents.encoder) if self.transform == "linear" else latents.encoder
        per_slab = max(1, _SLAB // self.length)
        with np.errstate(over="ignore", invalid="ignore"):
            for first in range(0, latents.values.shape[1], per_slab):
                here = latents.values[:, first : first + per_slab]
                if self.transform == "linear":
                    blocks = here.T @ decoder
                elif self.transform == "kept":
                    blocks = np.zeros((here.shape[1], self.length))
                    blocks[:, latents.places] = here.T
                else:
                    blocks = np.fft.irfft(spectrum(here, self.length), self.length, axis=0).T
                values[first * self.length : first * self.length + blocks.size] = blocks.reshape(-1)
        return np.asarray(values[:elements])


def linear_decoder(encoder: Floats) -> Floats:
    """Return ``(E E')**-1 E``, ``(latents, length)``: the transpose of the decoder.

    Raises:
        ValueError: the Gram matrix is singular, or not finite.
    """
    gram = encoder @ encoder.T
    try:
        decoder = np.asarray(np.linalg.solve(gram, encoder))
    except np.linalg.LinAlgError as error:
        raise ValueError(f"expected an encoder of independent rows, found a singular one: {error}") from error
    if not np.isfinite(decoder).all():
        raise ValueError("expected an encoder of independent rows, found a singular one")
    return decoder


def spectrum(latents: Floats, length: int) -> npt.NDArray[np.complex128]:
    """Return the frequencies of blocks as numpy's ``rfft`` has them, ``(length // 2 + 1, blocks)``.

    Args:
        latents: ``(latents, blocks)``: the mean, then real and imaginary part of each frequency; lengths are kept.
        length: of a block, even.
    """
    whole = np.zeros((length, latents.shape[1]))
    whole[: latents.shape[0]] = latents
    found = np.zeros((length // 2 + 1, latents.shape[1]), dtype=np.complex128)
    found[0], found[-1] = whole[0], whole[-1]
    found[1:-1] = (whole[1:-1:2] + 1j * whole[2:-1:2]) / np.sqrt(2.0)
    return np.asarray(found * np.sqrt(length))


def frequencies(blocks: Floats) -> Floats:
    """Return the latents of :func:`spectrum`, all of them, ``(length, blocks)``, of blocks ``(blocks, length)``."""
    length = blocks.shape[1]
    found = np.fft.rfft(blocks, axis=1).T / np.sqrt(length)
    whole = np.empty((length, blocks.shape[0]))
    whole[0], whole[-1] = found[0].real, found[-1].real
    whole[1:-1:2], whole[2:-1:2] = np.sqrt(2.0) * found[1:-1].real, np.sqrt(2.0) * found[1:-1].imag
    return whole
