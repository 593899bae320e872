"""How is the arithmetic of expert maps compiled? Division by zero gives infinity, as in numpy, and is not checked for.

Numba's cache does not notice when a function that another file calls has changed: after editing one of the compiled
files, remove the caches of those that call it.
"""

from numba import njit

outer = njit(cache=True, nogil=True, error_model="numpy")
"""For what Python calls."""

inner = njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For what only compiled code calls: half of the time to compile went into the wrappers."""

fused = njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, inline="always")
"""For what is called in the innermost loops: a call hands over every field of layout and state, which takes 100 ns."""
