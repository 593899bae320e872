"""How does a tensor network stand in an archive?"""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, with_config

from data.schemas.tensor import ELEMENT_TYPES
from data.schemas.units import RECORD
from tasks.codecs.networks.quantised import from_bytes
from tasks.codecs.networks.rebuild import tensor_octets

Element = Literal["F16", "BF16", "F32", "F64"]
"""Types of elements that a network stands for."""


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class TensorNetwork:
    """A tensor as the coded cores of a network (``FORMAT.md``).

    To rebuild it takes, beside the tensor's bytes and a block of 16 MiB, the cores: at most half as many numbers as the
    tensor has elements, of 16 bytes each while they are decoded; for tensors below 32 M elements 256 MiB.

    Args:
        dtype: of the tensor.
        content_bytes: of the network.
    """

    dtype: Element
    content_bytes: Annotated[int, Field(ge=1, lt=2**40)]
    kind: Literal["tensor-network"] = "tensor-network"
    version: Literal[1] = 1

    def rebuild(self, content: npt.NDArray[np.uint8], raw_bytes: int) -> npt.NDArray[np.uint8]:
        """Return the tensor's bytes, ``(raw_bytes,)``.

        Raises:
            ValueError: the content is no network, or one of another tensor.
        """
        elements, rest = divmod(raw_bytes, ELEMENT_TYPES[self.dtype].word_bytes)
        if rest or not elements:
            raise ValueError(f"expected elements of {self.dtype}, found {raw_bytes} bytes")
        network = from_bytes(content.tobytes(), elements)
        with np.errstate(over="ignore", invalid="ignore"):
            return tensor_octets(network, self.dtype)
