"""How do ids become names in files that others read? By an allow-list; what does not fit is told, not bent into shape.

Ids come from catalogues of unknown origin. A name that only labels something of ours may be made; a name that a cloud
looks up (its region, its kind of machine) must be right as it stands or is left out.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from data.schemas.fleet import Purchase
from data.schemas.fleet_plan import FleetPlan, ResourceChange

REGION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", re.ASCII)
"""Names of regions with every cloud that is rendered; no dots, slashes or templates."""

MACHINE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)
"""Kinds of machines likewise; they are valid values of Kubernetes labels too."""

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""Ten times as fast where libyaml is there; writes the same."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """Files, and what could not be put into them.

    Args:
        files: path below the folder of the rendering, and text; paths consist of names that were made here.
        left_out: resources of the plan that no file holds, each with the reason.
    """

    files: tuple[tuple[str, str], ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Nodes:
    """A resource of the plan whose names a cloud can look up.

    Args:
        change: of the plan.
        cloud: its name in the fleet.
        region: name of the region with its cloud.
        machine: name of the kind of machine with its cloud.
        purchase: how it is bought.
        before: nodes in force.
        after: nodes that are planned.
    """

    change: ResourceChange
    cloud: str
    region: str
    machine: str
    purchase: Purchase
    before: int
    after: int


def named(plan: FleetPlan) -> tuple[tuple[Nodes, ...], tuple[str, ...]]:
    """Return the resources of the plan whose names are sound, and the others with what is wrong with them."""
    kept: list[Nodes] = []
    left_out: list[str] = []
    for each in plan.resource_changes:
        cloud, colon, region = each.region.partition(":")
        if not colon or not REGION.fullmatch(cloud) or not REGION.fullmatch(region):
            left_out.append(f"{each.address}: expected a region like cloud:name-1, found {each.region}")
        elif not MACHINE.fullmatch(each.sku):
            left_out.append(f"{each.address}: expected a machine of letters, digits, dots and dashes, found {each.sku}")
        else:
            change = each.change
            kept.append(Nodes(each, cloud, region, each.sku, each.purchase, change.before, change.after))
    return tuple(kept), tuple(left_out)


def label(*parts: str, most: int = 63, mark: str = "-") -> str:
    """Return a name of lower-case letters, digits and ``mark``; it starts with a letter and ends with a digest.

    Args:
        parts: of anything; equal parts give equal names, and others others.
        most: characters.
        mark: between words.
    """
    safe = mark.join(re.sub(r"[^a-z0-9]+", mark, part.lower()).strip(mark) for part in parts)
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]
    start = "" if re.match(r"[a-z]", safe) else f"n{mark}"
    return f"{start}{safe}"[: most - 9].rstrip(mark) + mark + digest


def states(plan: FleetPlan) -> tuple[tuple[str, dict[str, int]], ...]:
    """Return the nodes of every resource, by address, after each half of each wave, with a name for the half."""
    nodes = {each.address: each.change.before for each in plan.resource_changes}
    found = []
    for wave in plan.waves:
        for half, steps in (("1-start", wave.starts), ("2-stop", wave.stops)):
            if not steps:
                continue
            for step in steps:
                nodes[step.address] = nodes.get(step.address, 0) + step.nodes
            found.append((f"wave-{wave.number:03d}-{half}", dict(nodes)))
    return tuple(found)


def heading(plan: FleetPlan, *lines: str) -> tuple[str, ...]:
    """Return what identifies ``plan``, as lines of a comment or a description."""
    return (
        "Rendered from a plan. REVIEW BEFORE APPLYING, wave by wave.",
        f"plan sha256 {plan.sha256}",
        f"state sha256 {plan.prior_state_sha256}",
        *lines,
    )


def clouds(resources: Sequence[Nodes]) -> tuple[str, ...]:
    """Return the names of the clouds, sorted."""
    return tuple(sorted({each.cloud for each in resources}))
