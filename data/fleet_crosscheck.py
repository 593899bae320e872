"""Does a fleet contradict itself? Checks that no single field can show."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from data.errors import BadRecord
from data.schemas.fleet import Fleet

Collection = Literal["regions", "skus", "offers", "zones", "latencies", "outages", "holdings", "limits"]

DEAREST_USD_PER_ACCELERATOR_HOUR = 100.0
"""Above this a price is no price: in cents, or the mark of some catalogues for one that nobody knows, 700.0."""

LONGEST_RTT_MS = 1_000.0


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A record that contradicts another, or common sense.

    Args:
        collection: field of the fleet that holds the record.
        index: its position there; None for the whole of it.
        field: path within the record; empty for the record as a whole.
        expected: what would have been consistent.
        found: what stands there.
    """

    collection: Collection
    index: int | None
    field: str
    expected: str
    found: object

    def record(self, source: str, index: int | None = None) -> BadRecord:
        """Return it as the error that a report shows; ``index`` is the position in the original file."""
        position = "" if self.index is None else f"[{self.index if index is None else index}]"
        dot = "." if self.field else ""
        return BadRecord(f"{source}: {self.collection}{position}{dot}{self.field}", self.expected, self.found)


def cross_check_fleet(fleet: Fleet) -> tuple[Contradiction, ...]:
    """Return every contradiction in ``fleet``; empty for a sound one."""
    return (
        *_repeated("regions", (region.id for region in fleet.regions)),
        *_repeated("skus", (sku.id for sku in fleet.skus)),
        *_repeated("zones", (zone.id for zone in fleet.zones)),
        *_repeated("offers", ((offer.region, offer.sku, offer.purchase) for offer in fleet.offers)),
        *_repeated("holdings", ((each.region, each.sku, each.purchase) for each in fleet.holdings)),
        *_offers(fleet),
        *_holdings(fleet),
        *_latencies(fleet),
        *_outages(fleet),
        *_limits(fleet),
    )


def _repeated(collection: Collection, keys: Iterable[object]) -> Iterator[Contradiction]:
    seen: set[object] = set()
    for index, key in enumerate(keys):
        if key in seen:
            yield Contradiction(collection, index, "", "each once", key)
        seen.add(key)


def _offers(fleet: Fleet) -> Iterator[Contradiction]:
    regions = {region.id for region in fleet.regions}
    skus = {sku.id: sku for sku in fleet.skus}
    for index, offer in enumerate(fleet.offers):
        if offer.region not in regions:
            yield Contradiction("offers", index, "region", "a region of the fleet", offer.region)
        sku = skus.get(offer.sku)
        if sku is None:
            yield Contradiction("offers", index, "sku", "a kind of machine of the fleet", offer.sku)
            continue
        most = DEAREST_USD_PER_ACCELERATOR_HOUR * max(1, sku.accelerators)
        if offer.usd_per_h > most:
            expected = f"at most {most:g} US dollars an hour; cents, or a mark for an unknown price, are none"
            yield Contradiction("offers", index, "usd_per_h", expected, offer.usd_per_h)
        if offer.purchase == "reserved" and offer.quota_nodes is None:
            yield Contradiction("offers", index, "quota_nodes", "the nodes committed", None)
        if offer.purchase != "reserved" and offer.usd_per_h == 0.0:
            yield Contradiction("offers", index, "usd_per_h", "a price above 0", 0.0)
        if offer.interruption > 0.0 and offer.purchase != "spot":
            yield Contradiction("offers", index, "interruption", "0: only spot is interrupted", offer.interruption)


def _holdings(fleet: Fleet) -> Iterator[Contradiction]:
    offered = {(offer.region, offer.sku, offer.purchase) for offer in fleet.offers}
    for index, holding in enumerate(fleet.holdings):
        key = (holding.region, holding.sku, holding.purchase)
        if key not in offered:
            yield Contradiction("holdings", index, "", "machines that the fleet is offered", "/".join(key))


def _latencies(fleet: Fleet) -> Iterator[Contradiction]:
    table = fleet.latencies
    for name, wanted, there in (
        ("zones", {zone.id for zone in fleet.zones}, table.zones),
        ("regions", {region.id for region in fleet.regions}, table.regions),
    ):
        twice = sorted(key for key, times in Counter(there).items() if times > 1)
        missing = sorted(wanted - set(there))
        if twice or missing:
            found = f"{', '.join(missing[:5])} missing" if missing else f"{', '.join(twice[:5])} more than once"
            yield Contradiction("latencies", None, name, f"each of the fleet's {name} once", found)
    shape = (len(table.zones), len(table.regions))
    for name, rows in (("rtt_ms", table.rtt_ms), ("error_ms", table.error_ms), ("told_by", table.told_by)):
        if not rows and name != "rtt_ms":
            continue
        lengths = sorted({len(row) for row in rows})
        if len(rows) != shape[0] or lengths not in ([shape[1]], []):
            yield Contradiction("latencies", None, name, f"{shape[0]} rows of {shape[1]}", f"{len(rows)} of {lengths}")
    for row, values in enumerate(table.rtt_ms):
        for column, value in enumerate(values):
            if value > LONGEST_RTT_MS:
                expected = f"at most {LONGEST_RTT_MS:g} milliseconds; microseconds are none"
                yield Contradiction("latencies", None, f"rtt_ms[{row}][{column}]", expected, value)


def _outages(fleet: Fleet) -> Iterator[Contradiction]:
    regions = {region.id for region in fleet.regions}
    for index, outage in enumerate(fleet.outages):
        unknown = [region for region in outage.regions if region not in regions]
        if unknown:
            yield Contradiction("outages", index, "regions", "regions of the fleet", ", ".join(unknown))
    weight = sum(outage.weight for outage in fleet.outages)
    if weight > 1.0 + 1e-9:
        yield Contradiction("outages", None, "weight", "shares of time of at most 1 together", weight)


def _limits(fleet: Fleet) -> Iterator[Contradiction]:
    clouds = {region.cloud for region in fleet.regions}
    for number, share in enumerate(fleet.limits.cloud_shares):
        if share.cloud not in clouds:
            expected = f"a cloud of the fleet: {', '.join(sorted(clouds))}"
            yield Contradiction("limits", None, f"cloud_shares[{number}].cloud", expected, share.cloud)
    named = [share.cloud for share in fleet.limits.cloud_shares]
    for cloud in sorted({cloud for cloud in named if named.count(cloud) > 1}):
        yield Contradiction("limits", None, "cloud_shares", "each cloud once", cloud)
    if fleet.limits.availability and not fleet.outages:
        yield Contradiction("limits", None, "availability", "0 where no outages are known", fleet.limits.availability)
