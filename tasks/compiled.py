"""How is arithmetic compiled that Python never calls itself?"""

from numba import njit

inner = njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For what only compiled functions call: the way in from Python, which unpacks every array, takes long to compile."""
