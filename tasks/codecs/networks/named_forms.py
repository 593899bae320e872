"""Which forms are tried on a tensor when nobody searched for better ones?"""

import itertools

from tasks.codecs.networks.form import Kind, NetworkForm

LONGEST_PRIME = 13
"""Greatest factor of a mode that a quantised train is made of."""


def natural(kind: Kind, shape: tuple[int, ...]) -> NetworkForm:
    """Return the form whose modes are the tensor's, in their order."""
    modes = len(shape)
    return NetworkForm(kind, tuple((length,) for length in shape), tuple(range(modes)), (1,) * modes)


def interleaved(shape: tuple[int, ...], *, from_fine: bool = False) -> NetworkForm | None:
    """Return the quantised train that goes from coarse to fine in all modes at once, one core for each level.

    Args:
        shape: of the tensor.
        from_fine: where modes have unequal numbers of levels, whether the finest ones stand together, or the coarsest.

    Returns:
        The form; None where a mode has a prime factor above :data:`LONGEST_PRIME`, or none has two factors.
    """
    splits = tuple(prime_factors(length) for length in shape)
    if max(map(max, splits)) > LONGEST_PRIME or max(map(len, splits)) < 2:
        return None
    depth = max(map(len, splits))
    levels: list[list[int]] = [[] for _ in range(depth)]
    first = 0
    for factors in splits:
        shift = depth - len(factors) if from_fine else 0
        for level in range(len(factors)):
            levels[shift + level].append(first + level)
        first += len(factors)
    used = [level for level in levels if level]
    return NetworkForm("qtt", splits, tuple(itertools.chain.from_iterable(used)), tuple(map(len, used)))


def sequential(shape: tuple[int, ...]) -> NetworkForm | None:
    """Return the quantised train that goes through all levels of one mode before the next; None as above.

    For many modes of which each hangs together with its neighbours only: there a level of all modes is a wide core.
    """
    splits = tuple(prime_factors(length) for length in shape)
    if max(map(max, splits)) > LONGEST_PRIME or max(map(len, splits)) < 2:
        return None
    count = sum(map(len, splits))
    return NetworkForm("qtt", splits, tuple(range(count)), (1,) * count)


def fixed_forms(shape: tuple[int, ...]) -> dict[str, NetworkForm]:
    """Return the forms by name that are tried on any tensor of this shape."""
    forms = {"hosvd": natural("tucker", shape), "tt": natural("tt", shape)} if len(shape) > 1 else {}
    for name, from_fine in (("qtt", False), ("qtt from fine", True)):
        form = interleaved(shape, from_fine=from_fine)
        if form is not None and form not in forms.values():
            forms[name] = form
    in_turn = sequential(shape)
    if in_turn is not None and len(shape) > 1:
        forms["qtt in turn"] = in_turn
    return forms


def prime_factors(length: int) -> tuple[int, ...]:
    """Return the prime factors of a length, the greatest first; ``(1,)`` for 1."""
    factors, divisor = [], 2
    while divisor * divisor <= length:
        while length % divisor == 0:
            factors.append(divisor)
            length //= divisor
        divisor += 1
    if length > 1 or not factors:
        factors.append(length)
    return tuple(reversed(factors))
