"""How is a fleet's plan carried out by SkyPilot? As a service for each kind of machine and way of buying it.

A service keeps as many replicas as the plan has nodes of the kind, in any of the regions where the plan has them.
SkyPilot chooses among those regions by itself; how many the plan wants in each stands in ``envs``.
"""

import json
from typing import Any

import yaml

from data.schemas.fleet_plan import FleetPlan
from tasks.fleet.renderings.names import DUMPER, Nodes, Rendered, heading, label, named

CLOUDS = ("aws", "gcp", "azure")
"""Clouds that SkyPilot and our catalogues call by the same name; it has none for others."""


def as_skypilot(plan: FleetPlan) -> Rendered:
    """Return ``<machine>-<purchase>.yaml`` for every kind of which nodes are planned."""
    resources, left_out = named(plan)
    elsewhere = [each for each in resources if each.cloud not in CLOUDS]
    out = (*left_out, *(f"{each.change.address}: SkyPilot knows no cloud {each.cloud}" for each in elsewhere))
    kinds: dict[tuple[str, str], list[Nodes]] = {}
    for each in resources:
        if each.after and each.cloud in CLOUDS:
            kinds.setdefault((each.machine, each.purchase), []).append(each)
    files = [(f"{label(*kind)}.yaml", _task(plan, own)) for kind, own in kinds.items()]
    return Rendered(tuple(files), out)


def _task(plan: FleetPlan, own: list[Nodes]) -> str:
    nodes = {f"{each.cloud}/{each.region}": each.after for each in own}
    task: dict[str, Any] = {
        "name": label(own[0].machine, own[0].purchase),
        "resources": {
            "any_of": [
                {
                    "infra": f"{each.cloud}/{each.region}",
                    "instance_type": each.machine,
                    "use_spot": each.purchase == "spot",
                }
                for each in own
            ],
            "ports": 8080,
        },
        "service": {"readiness_probe": "/health", "replicas": sum(nodes.values())},
        "envs": {"PLANNED_NODES": json.dumps(nodes, sort_keys=True)},
        "run": "echo 'say here what a worker runs' >&2; exit 1\n",
    }
    head = "".join(f"# {line}\n" for line in heading(plan))
    return head + str(yaml.dump(task, Dumper=DUMPER, sort_keys=False, width=120))
