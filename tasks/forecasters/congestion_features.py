"""What do the counters of a link, and of its neighbourhood, say? A row of numbers for each link.

Three counters are read, by the names that their exporters give them: ``port_xmit_data`` (what a port sent) and
``port_xmit_wait`` (how long it had something to send and could not) of an InfiniBand or Ethernet port, and
``DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL`` of the GPUs at its end. Only what a snapshot knows is used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from data.generators.congestion import LinkHistory
from tasks.forecasters.protocol import Floats

SENT, WAITED, NVLINK = "port_xmit_data", "port_xmit_wait", "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL"

COUNTER_OF: Mapping[str, str] = MappingProxyType(
    {
        "load_mean": SENT,
        "load_std": SENT,
        "load_max": SENT,
        "load_now": SENT,
        "load_trend": SENT,
        "waits": WAITED,
        "waits_known": WAITED,
        "tight_mean": SENT,
        "tight_now": SENT,
        "full_share": SENT,
        "full_share_now": SENT,
        "waits_now": WAITED,
        "load_last": SENT,
        "before_load_now": SENT,
        "before_waits_now": WAITED,
        "behind_load_now": SENT,
        "behind_waits_now": WAITED,
        "nvlink_now": NVLINK,
        "nvlink_trend": NVLINK,
        "nvlink_known": NVLINK,
    }
)
"""Each feature, and the counter that it is made of."""

NAMES = tuple(COUNTER_OF)

FULL = 0.9
"""Load from which a link counts as full at a moment."""


@dataclass(frozen=True, slots=True, eq=False)
class Counters:
    """What the meters of one network show, oldest first.

    Args:
        bandwidth_gb_per_s: ``(links,)``.
        throughput_gb_per_s: ``(links, samples)``.
        waits_per_s: NaN in the rows of links that do not count them, ``(links, samples)``.
        nvlink_load: of the machine at one end, as a share of what its NVLinks carry; NaN where nobody knows,
            ``(links, samples)``.
        ends: the places where each link starts and ends, numbered from 0, ``(links, 2)``.
    """

    bandwidth_gb_per_s: Floats
    throughput_gb_per_s: Floats
    waits_per_s: Floats
    nvlink_load: Floats
    ends: NDArray[np.int64]


def link_features(counters: Counters) -> Floats:
    """Return what the counters say, ``(links, features)``, see ``NAMES``.

    Loads are shares of the bandwidth; the trend is the change over the whole series; "now" is its last sixth; tight is
    the logarithm of what is left of the link, since 0.98 is not 0.9 with a little more. How many waits a counter shows
    depends on the hardware, so what counts is the logarithm of waits per gigabyte against the network's median.
    "Before" is the mean over the metered links that end where this one starts, "behind" over those that start where it
    ends: a full link makes those before it wait for credits.
    """
    sent = counters.throughput_gb_per_s
    load = np.clip(sent / np.maximum(counters.bandwidth_gb_per_s, 1e-9)[:, None], 0.0, 1.0)
    samples = load.shape[1]
    last = max(1, samples // 6)
    now = load[:, -last:]
    known = np.asarray(np.isfinite(counters.waits_per_s).all(axis=1))
    waits, waits_now = (
        _waits(counters.waits_per_s[:, part], sent[:, part], known) for part in (slice(None), slice(-last, None))
    )
    nvlink = counters.nvlink_load
    inside = np.asarray(np.isfinite(nvlink).all(axis=1))
    nvlink = np.where(inside[:, None], nvlink, 0.0)
    own = np.column_stack([now.mean(axis=1), waits_now])
    before, behind = (
        _means(own, counters.ends[:, 1], counters.ends[:, 0]),
        _means(own, counters.ends[:, 0], counters.ends[:, 1]),
    )
    return np.column_stack(
        [
            load.mean(axis=1),
            load.std(axis=1),
            load.max(axis=1),
            now.mean(axis=1),
            _trend(load),
            waits,
            known,
            -np.log10(1.05 - load.mean(axis=1)),
            -np.log10(1.05 - now.mean(axis=1)),
            (load > FULL).mean(axis=1),
            (now > FULL).mean(axis=1),
            waits_now,
            load[:, -1],
            before,
            behind,
            nvlink[:, -last:].mean(axis=1),
            _trend(nvlink),
            inside,
        ]
    )


def labelled(histories: Sequence[LinkHistory]) -> tuple[Floats, NDArray[np.bool_]]:
    """Return features ``(links, features)`` and labels ``(links,)`` of all networks."""
    rows = [
        link_features(
            Counters(one.bandwidth_gb_per_s, one.throughput_gb_per_s, one.waits_per_s, one.nvlink_load, one.ends)
        )
        for one in histories
    ]
    return np.concatenate(rows), np.concatenate([one.congested for one in histories])


def _trend(series: Floats) -> Floats:
    time = np.linspace(-0.5, 0.5, series.shape[1])
    return np.asarray((series - series.mean(axis=1, keepdims=True)) @ time / float(time @ time))


def _waits(waits_per_s: Floats, sent_gb_per_s: Floats, known: NDArray[np.bool_]) -> Floats:
    """Return the logarithm of waits per gigabyte over the network's median, 0 where they are not counted."""
    waits, sent = np.where(known[:, None], waits_per_s, 0.0).sum(axis=1), sent_gb_per_s.sum(axis=1)
    each = np.log10((waits + 1.0) / np.maximum(sent, 1e-3))
    busy = known & (sent > 0.01 * sent.max(initial=0.0))
    middle = float(np.median(each[busy])) if busy.any() else 0.0
    return np.where(busy, np.clip(each - middle, -2.0, 3.0), 0.0)


def _means(values: Floats, of: NDArray[np.int64], at: NDArray[np.int64]) -> Floats:
    """Return for each link the means over the links that are ``of`` the place that it is ``at``, else 0.

    Args:
        values: of each link, ``(links, values)``.
        of: place that each link's values are counted for, ``(links,)``.
        at: place that each link asks about, ``(links,)``.
    """
    places = int(max(of.max(initial=-1), at.max(initial=-1))) + 1
    count = np.bincount(of, minlength=places)[:, None]
    sums = np.stack([np.bincount(of, column, minlength=places) for column in values.T], axis=1)
    return np.asarray(np.divide(sums, count, out=np.zeros_like(sums), where=count > 0)[at])
