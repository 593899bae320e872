"""How are the kernels of codecs compiled? Without Python's lock, checked by their own tests, arrays never remade."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from data.schemas.tensor import Octets

kernel = njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
"""For what Python calls: other threads go on meanwhile."""

inner = njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, boundscheck=False, error_model="numpy")
"""For what only kernels call."""

Scalar = Any
"""A number inside a kernel, whose type numba knows and Python's checkers do not."""

u8 = np.uint64
u4 = np.uint32


def read_only(octets: Octets) -> npt.NDArray[np.uint8]:
    """Return bytes as the kind of array that kernels are compiled for wherever they only read, without a copy."""
    array = np.frombuffer(octets, dtype=np.uint8)
    array.flags.writeable = False
    return array
