"""What does a machine cost where? Price lists as SkyPilot's catalogues have them, and what is wrong with them.

Catalogues mark prices that nobody knows with a number that is too high to be chosen, 700.0; they repeat rows, leave
prices empty, and quote spot at the price of demand where it is capped. A planner that believes them rents nonsense.

Source: github.com/skypilot-org/skypilot-catalog, ``catalogs/v8/<cloud>/vms.csv``.
"""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from data.errors import BadRecord, BadSource
from data.fleet_crosscheck import DEAREST_USD_PER_ACCELERATOR_HOUR
from data.readers.csv_file import Row, read_csv

UNKNOWN_PRICE = 700.0
"""What SkyPilot's catalogues say of a TPU whose price they do not know."""

CENTS = 40.0
"""US dollars per accelerator and hour; where half of a list is dearer, it is most likely in cents."""

_NAMES = {
    "instance_type": ("InstanceType", "instance_type"),
    "accelerator": ("AcceleratorName", "accelerator"),
    "count": ("AcceleratorCount", "count"),
    "on_demand": ("Price", "ondemand_usd_h"),
    "spot": ("SpotPrice", "spot_usd_h", "min_spot_usd_h"),
    "region": ("Region", "region"),
    "zone": ("AvailabilityZone", "zone"),
    "cloud": ("cloud",),
}


@dataclass(frozen=True, slots=True)
class Price:
    """What one machine costs per hour in one region or zone, in US dollars; None where the list does not say."""

    cloud: str
    region: str
    zone: str
    machine: str
    accelerator: str
    accelerators: int
    on_demand_usd_per_h: float | None
    spot_usd_per_h: float | None


@dataclass(frozen=True, slots=True, eq=False)
class PriceList:
    """Prices that can be used, the rows and prices that cannot, and what was noticed."""

    prices: tuple[Price, ...]
    set_aside: tuple[BadRecord, ...]
    notes: tuple[str, ...]


def read_prices(path: Path, cloud: str | None = None) -> PriceList:
    """Read a price list; each price that is none is set aside, and the rest of its row kept.

    Args:
        path: CSV with columns as SkyPilot's (``InstanceType, AcceleratorName, AcceleratorCount, Price, SpotPrice,
            Region, AvailabilityZone``), or ``instance_type, accelerator, count, ondemand_usd_h, spot_usd_h, region`` or
            ``zone, cloud``.
        cloud: whose it is, where the file does not say; SkyPilot's folder does.

    Raises:
        SourceUnavailable: the file cannot be read.
        BadSource: it is no such file; it is in cents; or no row of it can be used. Every problem is named.
    """
    table = read_csv(path, ())
    columns = {key: next((name for name in names if name in table.columns), None) for key, names in _NAMES.items()}
    missing = [key for key in ("on_demand",) if columns[key] is None]
    if columns["region"] is None and columns["zone"] is None:
        missing.append("region or zone")
    if columns["instance_type"] is None and columns["accelerator"] is None:
        missing.append("instance_type or accelerator")
    if cloud is None and columns["cloud"] is None:
        missing.append("cloud")
    if missing:
        wanted = "columns of a price list: machine, place, price and cloud"
        raise BadSource(str(path), [BadRecord(f"{path.name}: line 1", wanted, f"no {', '.join(missing)}")])
    bad = list(table.set_aside)
    found: dict[tuple[str, str, str, str], Price] = {}
    repeated: Counter[str] = Counter()
    capped = 0
    for place, row in table.rows:
        try:
            price = _price(place, row, columns, cloud, bad)
        except BadRecord as error:
            bad.append(error)
            continue
        key = (price.cloud, price.region, price.zone, price.machine)
        if key in found:
            if found[key] == price:
                repeated["/".join(key)] += 1
            else:
                expected = f"one price of {'/'.join(key)}, {found[key].on_demand_usd_per_h} as in an earlier row"
                bad.append(BadRecord(place, expected, price.on_demand_usd_per_h))
            continue
        capped += price.spot_usd_per_h is not None and price.spot_usd_per_h == price.on_demand_usd_per_h
        found[key] = price
    if not found:
        raise BadSource(str(path), bad or [BadRecord(path.name, "at least one price", "none")])
    _refuse_cents(path, tuple(found.values()))
    notes = []
    if repeated:
        notes.append(f"{path.name}: {repeated.total()} rows were there more than once, e.g. {next(iter(repeated))}")
    if capped:
        notes.append(f"{path.name}: spot costs as much as on demand in {capped} rows; it is capped there")
    return PriceList(tuple(found.values()), tuple(bad), tuple(notes))


def region_of(cloud: str, zone: str) -> str:
    """Return the region that a zone is named after: AWS and Alibaba add a letter, Google a letter behind a dash."""
    if cloud == "gcp":
        return zone.rsplit("-", 1)[0]
    return zone[:-1] if zone[-1:].isalpha() and zone[-2:-1].isdigit() else zone


def _price(place: str, row: Row, columns: dict[str, str | None], cloud: str | None, bad: list[BadRecord]) -> Price:
    def cell(key: str) -> str:
        name = columns[key]
        return "" if name is None else row[name].strip()

    of = cell("cloud") or cloud or ""
    zone = cell("zone")
    region = cell("region") or (region_of(of, zone) if zone else "")
    accelerator = cell("accelerator")
    count = _count(place, cell("count"))
    machine = cell("instance_type") or f"{accelerator}x{count}"
    if not of or not region or not (cell("instance_type") or accelerator):
        raise BadRecord(place, "a cloud, a place and a machine", "an empty cell")
    amounts: list[float | None] = []
    for key in ("on_demand", "spot"):
        try:
            amounts.append(_amount(f"{place}.{columns[key]}", cell(key), max(1, count)))
        except BadRecord as error:
            bad.append(error)
            amounts.append(None)
    if amounts == [None, None]:
        raise BadRecord(place, "a price", f"none of {machine} in {zone or region}")
    return Price(of, region, zone, machine, accelerator, count, *amounts)


def _count(place: str, text: str) -> int:
    try:
        value = float(text or "0")
    except ValueError:
        value = math.nan
    if not (0 <= value <= 1024 and value == int(value)):
        raise BadRecord(f"{place}.count", "a whole number of accelerators from 0 to 1024", text)
    return int(value)


def _amount(place: str, text: str, accelerators: int) -> float | None:
    """Return a price, None where the cell is empty.

    Raises:
        BadRecord: it is none.
    """
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if value == UNKNOWN_PRICE:
        raise BadRecord(place, "a price; 700.0 marks one that nobody knows", text)
    most = DEAREST_USD_PER_ACCELERATOR_HOUR * accelerators
    if not 0.0 < value <= most:
        raise BadRecord(place, f"more than 0 and at most {most:g} US dollars an hour", text)
    return value


def _refuse_cents(path: Path, prices: tuple[Price, ...]) -> None:
    each = [
        price.on_demand_usd_per_h / max(1, price.accelerators)
        for price in prices
        if price.on_demand_usd_per_h is not None
    ]
    if each and median(each) > CENTS:
        expected = f"US dollars: at most {CENTS:g} per accelerator and hour in most rows"
        raise BadSource(str(path), [BadRecord(path.name, expected, f"{median(each):g} in the middle; cents, perhaps?")])
