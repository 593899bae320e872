"""Fleets from the clouds' own lists: small ones that are spoilt on purpose, and the real ones."""

import os
from pathlib import Path
from typing import Any

import pytest

from data.errors import BadSource, SourceUnavailable
from data.readers.fleet.plan_file import read_fleet_plan
from flows.fleet import plan_fleet
from flows.fleet_params import FleetParams

DATA = Path(os.environ.get("QUANTUMFLOW_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))

PRICES = """InstanceType,AcceleratorName,AcceleratorCount,Price,SpotPrice,Region,AvailabilityZone
big,H100,8,50.0,20.0,north,north-a
big,H100,8,48.0,19.0,south,south-a
big,H100,8,52.0,21.0,east,east-a
"""
REGIONS = """vendor_id,region_id,name,api_reference,display_name,country_id,city,lon,lat,status
acme,north,N,north,N,DE,Berlin,13.4,52.5,ACTIVE
acme,south,S,south,S,IT,Rome,12.5,41.9,ACTIVE
acme,east,E,east,E,PL,Warsaw,21.0,52.2,ACTIVE
"""
USERS = """zone,country,latitude,longitude,demand
berlin,DE,52.5,13.4,40
rome,IT,41.9,12.5,30
"""


def lists(folder: Path, **texts: str) -> dict[str, Any]:
    """Write the lists, and return the source that names them."""
    found: dict[str, Any] = {"kind": "catalogue", "taken_at": "2026-01-31T12:00:00+00:00"}
    named = {"prices": PRICES, "regions": REGIONS, "demand": USERS} | texts
    for name, text in named.items():
        path = folder / "acme" / f"{name}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        found[name] = [path] if name == "prices" else path
    return found


def planned(folder: Path, source: dict[str, Any], **form: object) -> Path:
    given = {"source": source, "frontier": 0, "output": folder / "runs", "gap": 0.02, "solver": {"kind": "exact"}}
    return Path(plan_fleet(FleetParams.model_validate(given | form)))


def test_three_lists_make_a_plan_that_says_how_latencies_were_told(tmp_path: Path) -> None:
    plan = read_fleet_plan(planned(tmp_path, lists(tmp_path)))
    assert sum(each.change.after for each in plan.resource_changes) > 0
    assert any("0 pairs measured" in note and "by distance" in note for note in plan.notes), "no table knows any pair"
    assert any("carbon is not known" in note for note in plan.notes)


def test_latency_missing_one_way_is_that_of_the_way_back(tmp_path: Path) -> None:
    source = lists(tmp_path, azure_rtt="src,dst,rtt_ms\nnorth,south,31\n", regions=REGIONS.replace("acme,", "azure,"))
    users = "zone,country,latitude,longitude,demand\nazure:south,IT,41.9,12.5,30\n"
    source["demand"].write_text(users)
    (tmp_path / "azure").mkdir()
    source["prices"] = [source["prices"][0].rename(tmp_path / "azure" / "prices.csv")]
    plan = read_fleet_plan(planned(tmp_path, source, limits={"lost_regions": 0}))
    assert any("1 pairs measured" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("prices", "", r"prices\.csv"),
        ("prices", PRICES.splitlines()[0] + "\n", r"prices\.csv"),
        ("prices", PRICES.replace(".0,", "00.0,"), "cents|US dollars"),
        ("regions", REGIONS.splitlines()[0] + "\n", r"regions\.csv"),
        ("regions", REGIONS.replace("north", "x").replace("south", "y").replace("east", "z"), "a region with prices"),
        ("demand", "zone,country,latitude,longitude,demand\n", r"demand\.csv"),
        ("demand", USERS.replace("rome,IT,41.9", "rome,IT,419"), r"line 3\.latitude: .*found 419"),
        ("demand", USERS.replace(",30", ",-30"), r"line 3\.demand: .*found -30"),
        ("quotas", "region,machine,purchase,nodes\nacme:north,big,on_demand,-2\n", r"line 2\.nodes: .*found -2"),
        ("holdings", "region,machine,purchase,nodes\nacme:moon,big,on_demand,2\n", r"acme:moon/big/on_demand"),
        ("holdings", "region,machine,purchase,nodes\nacme:north,big,leased,2\n", r"one of reserved, on_demand, spot"),
    ],
)
def test_lists_of_no_use_are_refused_by_file_and_line(tmp_path: Path, name: str, text: str, named: str) -> None:
    with pytest.raises(BadSource, match=named):
        planned(tmp_path, lists(tmp_path, **{name: text}))
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_list_that_is_not_there_says_so(tmp_path: Path) -> None:
    source = lists(tmp_path)
    source["demand"] = tmp_path / "none.csv"
    with pytest.raises(SourceUnavailable, match=r"none\.csv"):
        planned(tmp_path, source)


@pytest.mark.skipif(not (DATA / "skypilot_catalog").is_dir(), reason=f"no price lists in {DATA}")
def test_the_real_lists_make_a_plan(tmp_path: Path) -> None:
    users = tmp_path / "users.csv"
    users.write_text(
        "zone,country,latitude,longitude,demand\nparis,FR,48.9,2.4,400\nnew-york,US,40.7,-74.0,900\ntokyo,JP,35.7,139.7,500\n"
    )
    source = {
        "kind": "catalogue",
        "prices": [DATA / "skypilot_catalog" / "aws_gpu_region_prices_v8.csv"],
        "regions": DATA / "sparecores_regions" / "regions.csv",
        "azure_rtt": DATA / "azure_rtt" / "azure_cosmos_region_rtt_ms.csv",
        "cloudping": DATA / "aws_latency" / "aws_cross_region_latency_240419.csv",
        "emission_factors": {"aws": DATA / "ccf" / "grid-emissions-factors-aws.csv"},
        "demand": users,
        "taken_at": "2026-01-31T12:00:00+00:00",
    }
    plan = read_fleet_plan(planned(tmp_path, source))
    assert {each.region.split(":")[0] for each in plan.resource_changes} == {"aws"}
    assert next(each for each in plan.metrics if each.name == "latency.p95_ms").after <= 120.0
    assert plan.bounds[0].gap is not None
    assert plan.bounds[0].gap < 0.02
