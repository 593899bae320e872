"""How are the kernels of codecs compiled? Without Python's lock, checked by their own tests, arrays never remade."""

from typing import Any

import numpy as np
from numba import njit

kernel = njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
"""For what Python calls: other threads go on meanwhile."""

inner = njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, boundscheck=False, error_model="numpy")
"""For what only kernels call."""

Scalar = Any
"""A number inside a kernel, whose type numba knows and Python's checkers do not."""

u8 = np.uint64
u4 = np.uint32
