"""Which method suits how many tokens? The table of recommended settings, as data."""

from dataclasses import dataclass
from typing import Literal

Method = Literal["hash", "bounded-hash", "qaoa", "hqc"]
Hardware = Literal["online", "overloaded", "none"]

SMALL, LARGE = 1_000, 10_000
"""Tokens below which, and above which, the table's rows change."""

MOST_IN_WINDOW = 4_096
"""Tokens that are refined at once: those on the fullest experts; of a larger stream the rest stays as it was routed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a stream is routed.

    Args:
        start: the router whose answer is in force before anything is refined.
        refine: whether windows of it are then refined: ``quantum`` by QAOA, ``classical`` by annealing, or not at all.
        layers: of the QAOA circuit.
        why: the row of the table, in words.
    """

    start: Literal["hash", "bounded-hash"]
    refine: Literal["quantum", "classical", "none"]
    layers: int
    why: str


def recommended(tokens: int, hardware: Hardware) -> Settings:
    """Return the table's settings for a stream of ``tokens`` on ``hardware`` for quantum circuits.

    Deterministic means hashing alone. HQC means that the classical router's answer is refined: a warm start.
    """
    if hardware == "none":
        return Settings("bounded-hash", "none", 0, "no device for circuits: deterministic, at once")
    if hardware == "overloaded":
        return Settings("bounded-hash", "classical", 0, "the device is overloaded: the classical warm start, annealed")
    if tokens < SMALL:
        return Settings("bounded-hash", "quantum", 20, f"fewer than {SMALL:,} tokens: QAOA from the classical start")
    if tokens <= LARGE:
        return Settings("hash", "quantum", 2, f"{SMALL:,} to {LARGE:,} tokens: QAOA with 2 layers")
    return Settings(
        "bounded-hash",
        "quantum",
        20,
        f"more than {LARGE:,} tokens: deterministic for all, then QAOA on the fullest experts' tokens",
    )


def settings_of(method: Method) -> Settings:
    """Return the settings of a method that is asked for by name."""
    chosen: dict[Method, Settings] = {
        "hash": Settings("hash", "none", 0, "asked for"),
        "bounded-hash": Settings("bounded-hash", "none", 0, "asked for"),
        "qaoa": Settings("hash", "quantum", 20, "asked for: QAOA from the hash"),
        "hqc": Settings("bounded-hash", "quantum", 20, "asked for: QAOA from the classical router's answer"),
    }
    return chosen[method]
