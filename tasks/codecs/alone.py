"""How many bytes does a tensor take in an archive of its own? What rivals are compared by."""

import io

from data.schemas.tensor import Tensor, tensor_bytes
from tasks.codecs.index import Source
from tasks.codecs.treatment import Treatment
from tasks.codecs.writer import write_archive


def archive_bytes(tensor: Tensor, treatment: Treatment) -> int:
    """Return the length of an archive that holds this tensor and nothing else."""
    file = io.BytesIO()
    source = Source("arrays", "0" * 64, tensor_bytes(tensor.dtype, tensor.shape))
    write_archive(file, source, b"", [tensor], policy=lambda _tensor, _base: treatment)
    return len(file.getvalue())
