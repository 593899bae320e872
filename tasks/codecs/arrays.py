"""How are arrays of numpy and tensors of torch turned into tensors of a checkpoint, and back?"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from data.errors import BadRecord
from data.readers.checkpoint.numpy_file import DTYPES
from data.schemas.tensor import Octets, Tensor, tensor_bytes
from tasks.codecs.index import Stored

if TYPE_CHECKING:
    import torch

    Array = npt.NDArray[Any] | torch.Tensor

Framework = Literal["numpy", "torch"]

_NUMPY = {ours: np.dtype(theirs) for theirs, ours in DTYPES.items()}


@dataclass(frozen=True, slots=True, eq=False)
class ArrayTensor:
    """An array in memory (:class:`data.schemas.tensor.Tensor`)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    array: npt.NDArray[Any]

    def pieces(self, piece_bytes: int) -> Iterator[Octets]:
        """Yield the bytes in order, ``piece_bytes`` at a time; an array with gaps is copied first."""
        flat = np.ascontiguousarray(self.array).reshape(-1)
        octets = flat.view(np.uint8).data if flat.size else memoryview(b"")
        for start in range(0, len(octets), piece_bytes):
            yield octets[start : start + piece_bytes]


def tensor_of(name: str, value: "Array") -> Tensor:
    """Return an array or a torch tensor as a tensor of a checkpoint; one on another device is copied to the CPU.

    Raises:
        ValueError: it is neither, or its elements are of a type that archives do not know.
    """
    if isinstance(value, np.ndarray):
        little = value.astype(value.dtype.newbyteorder("<"), copy=False)
        dtype = DTYPES.get(little.dtype.str)
        if dtype is None:
            raise ValueError(f"{name}: expected an array of numbers, found {value.dtype}")
        return ArrayTensor(name, dtype, value.shape, little)
    import torch

    from data.readers.checkpoint.torch_state import pack_state

    if not isinstance(value, torch.Tensor):
        raise ValueError(f"{name}: expected an array or a torch tensor, found {type(value).__name__}")
    try:
        (tensor,) = pack_state(value.detach().cpu(), name).tensors
    except BadRecord as error:
        raise ValueError(str(error)) from error
    return type(tensor)(name, tensor.dtype, tensor.shape, tensor.tensor)


def array_of(octets: bytearray, name: str, dtype: str, shape: tuple[int, ...], framework: Framework) -> "Array":
    """Return an array over ``octets``, which it keeps.

    Args:
        octets: as long as the array.
        name: for messages.
        dtype: a key of :data:`data.schemas.tensor.ELEMENT_TYPES`.
        shape: of the array.
        framework: what to return.

    Raises:
        ValueError: the framework does not have the type.
    """
    if framework == "torch":
        from data.readers.checkpoint.torch_state import tensor_of_bytes

        return tensor_of_bytes(octets, dtype, shape)
    if dtype not in _NUMPY:
        raise ValueError(f"{name}: numpy has no {dtype}; load it with framework='torch'")
    return np.frombuffer(octets, dtype=_NUMPY[dtype]).reshape(shape)


def safetensors_header(tensors: "Sequence[Tensor | Stored]", metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the header of a safetensors file of these tensors, with its length before it.

    Raises:
        ValueError: a name that safetensors keeps for itself.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for tensor in tensors:
        if tensor.name == "__metadata__":
            raise ValueError("expected names of tensors, found '__metadata__', which safetensors keeps for itself")
        size = tensor_bytes(tensor.dtype, tensor.shape)
        header[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
