"""How is a tensor made from the bytes of its chunks, where they are not its own bytes?

Chunks hold a tensor piece by piece. A recipe holds it as a whole in another form, and needs the whole of it in memory.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, with_config

from data.schemas.units import RECORD
from tasks.codecs.autoencoder_recipe import EntangledBlocks
from tasks.codecs.networks.stored import TensorNetwork
from tasks.codecs.transformed_blocks import TransformedBlocks


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Filled:
    """A tensor whose every element is the same: the element is all there is."""

    kind: Literal["filled"] = "filled"
    version: Literal[1] = 1
    content_bytes: Annotated[int, Field(ge=1, le=16)] = 1

    def rebuild(self, content: npt.NDArray[np.uint8], raw_bytes: int) -> npt.NDArray[np.uint8]:
        """Return the tensor's bytes, ``(raw_bytes,)``.

        Raises:
            ValueError: the content is no divisor of the tensor.
        """
        if raw_bytes % self.content_bytes:
            raise ValueError(f"expected elements of {self.content_bytes} bytes, found {raw_bytes} bytes")
        return np.tile(content, raw_bytes // self.content_bytes)


Recipe = Annotated[Filled | TensorNetwork | EntangledBlocks | TransformedBlocks, Field(discriminator="kind")]
"""Every recipe that an archive may name; another kind or another version is refused when its index is read."""
