"""How is a tensor made from what a trained circuit left of its blocks?

The tensor was cut into blocks of ``2**qubits`` elements, each a vector of amplitudes times its norm; a circuit of
strongly entangling layers turned them all, and only the entries were kept in which every discarded qubit reads 0, as
multiples of a step. To restore, the discarded entries are set to 0 and the circuit is undone, here by arithmetic: the
rotations are real (RY and controlled NOT), so this is a product with an orthogonal matrix that takes a few hundred
bytes to write down. The norm of a block goes with its entries, so it takes no bytes of its own.
"""

import struct
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, with_config

from data.schemas.tensor import ELEMENT_TYPES
from data.schemas.units import RECORD
from tasks.codecs.quantise_chunk import octets_of, unwritable
from tasks.codecs.quantise_integers import RUN_BYTES_MAX
from tasks.codecs.quantise_kernels import read_integers, write_integers

Integers = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

QUBITS_MAX = 10
LAYERS_MAX = 32
_SLAB = 1 << 19  # amplitudes that are turned at once: 8 MB

Qubit = Annotated[int, Field(ge=0, lt=QUBITS_MAX)]


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class EntangledBlocks:
    """Blocks of a tensor after a trained circuit.

    The content is the RY angles, float32, layer by layer; then one run of integers for each kept entry, or one for all
    of them, entry by entry, after its length as uint32.

    Args:
        dtype: of the tensor.
        qubits: of the circuit.
        layers: of the circuit.
        retained: qubits whose entries are kept, ascending.
        step: whose multiples the kept entries are, in the unit of the elements.
        run_each: one run for each kept entry; else one for all.
        content_bytes: of the content.
    """

    dtype: Literal["F16", "BF16", "F32", "F64"]
    qubits: Annotated[int, Field(ge=1, le=QUBITS_MAX)]
    layers: Annotated[int, Field(ge=1, le=LAYERS_MAX)]
    retained: Annotated[tuple[Qubit, ...], Field(max_length=QUBITS_MAX)]
    step: Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
    run_each: bool
    content_bytes: Annotated[int, Field(ge=1, lt=2**40)]
    kind: Literal["entangled-blocks"] = "entangled-blocks"
    version: Literal[1] = 1

    def rebuild(self, content: npt.NDArray[np.uint8], raw_bytes: int) -> npt.NDArray[np.uint8]:
        """Return the tensor's bytes, ``(raw_bytes,)``.

        Raises:
            ValueError: the content is not what the recipe takes, or not for a tensor of this size.
        """
        elements, rest = divmod(raw_bytes, ELEMENT_TYPES[self.dtype].word_bytes)
        if rest or not elements:
            raise ValueError(f"expected elements of {self.dtype}, found {raw_bytes} bytes")
        angle_bytes = 4 * self.layers * self.qubits
        if len(content) < angle_bytes:
            raise ValueError(f"expected {angle_bytes} bytes of angles, found {len(content)}")
        angles = np.frombuffer(content[:angle_bytes].tobytes(), dtype="<f4")
        if not np.isfinite(angles).all():
            raise ValueError(f"expected {len(angles)} finite angles, found others")
        blocks = -(-elements // 2**self.qubits)
        integers = read_runs(content[angle_bytes:], self.kept, blocks, each=self.run_each)
        return octets_of(self.restored(angles.reshape(self.layers, self.qubits), integers, elements), self.dtype)

    @property
    def kept(self) -> int:
        """Kept entries of a block."""
        return 1 << len(self.retained)

    def restored(self, angles: npt.ArrayLike, integers: Integers, elements: int) -> npt.NDArray[np.floating]:
        """Return the elements, ``(elements,)``, float64 for F64, else float32, not yet rounded to 16 bits.

        Args:
            angles: of the RY turns, ``(layers, qubits)``.
            integers: multiples of the step, ``(kept, blocks)``.
            elements: of the tensor; the last block may be shorter.

        Raises:
            ValueError: qubits are retained that there are not, or twice.
        """
        from qiskit_solvers.variational.autoencoder import kept_indices  # not until an archive has such a tensor
        from qiskit_solvers.variational.entangling_layers import applied, of_real_turns

        places = kept_indices(self.qubits, self.retained)
        turns = of_real_turns(angles)
        size = 2**self.qubits
        values = np.empty(integers.shape[1] * size, dtype=np.float64 if self.dtype == "F64" else np.float32)
        slab = max(1, _SLAB // size)
        for first in range(0, integers.shape[1], slab):
            here = integers[:, first : first + slab]
            states = np.zeros((size, here.shape[1]))
            with np.errstate(all="ignore"):  # a hostile step may overflow; the numbers are then infinite, no more
                states[places] = here * self.step
                blocks = applied(turns, states, inverse=True).real.T
                values[first * size : first * size + blocks.size] = blocks.reshape(-1)
        return values[:elements]


def written_runs(integers: Integers, *, each: bool) -> bytes:
    """Return integers ``(kept, blocks)`` as runs, each after its length.

    Args:
        integers: none at :data:`tasks.codecs.quantise_integers.REACH` or beyond.
        each: one run for each row; else one for all.
    """
    parts = []
    for row in integers if each else integers.reshape(1, -1):
        out = np.empty(6 * row.size + RUN_BYTES_MAX, dtype=np.uint8)
        length = write_integers(np.ascontiguousarray(row), out)
        parts += [struct.pack("<I", length), out[:length].tobytes()]
    return b"".join(parts)


def read_runs(content: npt.NDArray[np.uint8], kept: int, blocks: int, *, each: bool) -> Integers:
    """Return what :func:`written_runs` wrote, ``(kept, blocks)``.

    Raises:
        ValueError: other bytes.
    """
    integers = np.empty((kept, blocks) if each else (1, kept * blocks), dtype=np.int32)
    at = 0
    for number, row in enumerate(integers):
        if at + 4 > len(content):
            raise ValueError(f"expected {len(integers)} runs, found {number}")
        (length,) = struct.unpack("<I", content[at : at + 4].tobytes())
        at += 4
        if length > len(content) - at or not read_integers(unwritable(content[at : at + length].tobytes()), row):
            raise ValueError(f"run {number}: expected {row.size} integers, found other bytes")
        at += length
    if at != len(content):
        raise ValueError(f"expected {at} bytes of runs, found {len(content)}")
    return integers.reshape(kept, blocks)
