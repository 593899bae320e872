"""What a solver raises when it cannot answer, as a caller must tell it apart."""


class TooLarge(Exception):
    """The model has more spins than the solver can hold; a smaller window may do."""


class SolverFailed(Exception):
    """The solver died, stalled or ran out of memory; the caller falls back and says so."""
