"""Are two values the same? Field by field and bit by bit, so that what one of them led to holds for the other."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass

import numpy as np


def same(one: object, other: object) -> bool:
    """Return whether two values are alike in type and content; what cannot be looked into must be equal.

    Args:
        one: of dataclasses, tuples, lists, mappings, arrays and what has an ``==`` of its own.
        other: likewise.
    """
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        alike = one.dtype == other.dtype and one.shape == other.shape and one.strides == other.strides
        return alike and not one.dtype.hasobject and one.tobytes() == other.tobytes()
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, float) and isinstance(other, float):
        return np.float64(one).tobytes() == np.float64(other).tobytes()
    if is_dataclass(one) and not isinstance(one, type):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    return bool(one == other)
