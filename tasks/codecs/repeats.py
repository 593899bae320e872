"""Do runs of bytes come back in a chunk, so that a search for them is worth its time?"""

import numpy as np

from tasks.codecs.compiled import kernel, u8
from tasks.codecs.rans import Bytes

_SLOT_BITS = 12
_MULTIPLIER = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio, odd (Knuth, The Art of Computer Programming 3, 6.4)


@kernel
def repeated_share(octets: Bytes, of: int) -> float:
    """Return the share of runs of 8 bytes, at every eighth byte, that were there before; of one in ``of`` of them.

    Which ones is decided by their content, so that a run is looked at each time that it comes, or never.

    Args:
        octets: ``(bytes,)``, a whole number of eights.
        of: a power of two, at most 256.
    """
    runs = octets.view(np.uint64)
    seen = np.zeros(1 << _SLOT_BITS, np.uint64)
    others = u8(of - 1)
    looked_at = 0
    found = 0
    for i in range(len(runs)):
        mixed = runs[i] * u8(_MULTIPLIER)
        if (mixed >> u8(40)) & others == u8(0):
            slot = mixed >> u8(64 - _SLOT_BITS)
            looked_at += 1
            found += seen[slot] == runs[i] + u8(1)
            seen[slot] = runs[i] + u8(1)  # a slot that nothing was put into is not a run of zeros
    return found / max(looked_at, 1)
