"""Where does compiled arithmetic get its chance from? A generator of one word, seeded by the caller's."""

import numpy as np
import numpy.typing as npt

from tasks.compiled import inner

Random = npt.NDArray[np.uint64]


@inner
def below(bound: int, state: Random) -> int:
    """Return a number in ``0..bound - 1`` and advance ``state`` (xorshift64*; Vigna 2016, doi 10.1145/2845077)."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return int(np.int64(((x * np.uint64(2685821657736338717)) >> np.uint64(33)) % np.uint64(bound)))
