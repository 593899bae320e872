"""How is a tensor made from the bytes of its chunks, where they are not its own bytes?

Chunks hold a tensor piece by piece. A recipe holds it as a whole in another form, and needs the whole of it in memory.
"""

from typing import Annotated

from pydantic import Field

from tasks.codecs.autoencoder_recipe import EntangledBlocks
from tasks.codecs.networks.stored import TensorNetwork
from tasks.codecs.transformed_blocks import TransformedBlocks

Recipe = Annotated[TensorNetwork | EntangledBlocks | TransformedBlocks, Field(discriminator="kind")]
"""Every recipe that an archive may name; another kind or another version is refused when its index is read."""
