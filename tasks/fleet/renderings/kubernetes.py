"""How is a fleet's plan carried out on Kubernetes? A file of objects for each region's cluster, and one of machines.

``<region>.workers.yaml`` holds a Namespace and a Deployment for each kind of machine, one pod to a node;
``<region>.machines.yaml`` holds a MachineDeployment of the Cluster API for each, which rents the nodes. Both have the
sizes of the state that is planned; ``sizes.yaml`` tells those of each half of each wave, for ``kubectl scale``.
"""

from collections.abc import Sequence
from typing import Any

import yaml

from data.schemas.fleet import Fleet, Sku
from data.schemas.fleet_plan import FleetPlan
from tasks.fleet.renderings.names import DUMPER, Nodes, Rendered, heading, label, named, states

NAMESPACE = "fleet"
MANAGED = {"app.kubernetes.io/managed-by": "quantumflow"}

GPU = "nvidia.com/gpu"
"""How pods ask for accelerators; where the device plugin calls them otherwise, it is changed here."""

IMAGE = "registry.invalid/fleet-worker:CHANGE-ME"
"""Nobody can pull it: what workers run is the user's to say."""


def as_kubernetes(plan: FleetPlan, fleet: Fleet) -> Rendered:
    """Return the objects of every region that has nodes before or after."""
    resources, left_out = named(plan)
    skus = {sku.id: sku for sku in fleet.skus}
    strange = [each.change.address for each in resources if each.machine not in skus]
    unknown = tuple(f"{key}: no such machine in the fleet" for key in strange)
    resources = tuple(each for each in resources if each.machine in skus)
    by_region: dict[str, list[Nodes]] = {}
    for each in resources:
        by_region.setdefault(each.change.region, []).append(each)
    files: list[tuple[str, str]] = []
    for region, own in by_region.items():
        name = label(region)
        workers = [_namespace(), *(_deployment(each, skus[each.machine]) for each in own)]
        files.append((f"{name}.workers.yaml", _written(plan, workers)))
        files.append((f"{name}.machines.yaml", _written(plan, [_machines(each, name) for each in own])))
    at = {each.change.address: each for each in resources}
    sizes = {name: {_name(at[key]): count for key, count in nodes.items() if key in at} for name, nodes in states(plan)}
    files.append(("sizes.yaml", _written(plan, [sizes])))
    return Rendered(tuple(files), (*left_out, *unknown))


def _name(each: Nodes) -> str:
    return label(each.region, each.machine, each.purchase)


def _namespace() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": dict(MANAGED)}}


def _deployment(each: Nodes, sku: Sku) -> dict[str, Any]:
    labels = {**MANAGED, "fleet/resource": _name(each)}
    container: dict[str, Any] = {"name": "worker", "image": IMAGE}
    if sku.accelerators:
        container["resources"] = {"limits": {GPU: str(sku.accelerators)}}
    apart = {"labelSelector": {"matchLabels": {"fleet/resource": _name(each)}}, "topologyKey": "kubernetes.io/hostname"}
    pod = {
        "nodeSelector": {
            "topology.kubernetes.io/region": each.region,
            "node.kubernetes.io/instance-type": each.machine,
            "fleet/purchase": each.purchase,
        },
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}},
        "containers": [container],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": _name(each), "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "replicas": each.after,
            "selector": {"matchLabels": {"fleet/resource": _name(each)}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _machines(each: Nodes, cluster: str) -> dict[str, Any]:
    """Return a MachineDeployment; the templates that it names, of machines and of their start, are the user's."""
    template = {
        "clusterName": cluster,
        "bootstrap": {
            "configRef": {
                "apiVersion": "bootstrap.cluster.x-k8s.io/v1beta1",
                "kind": "KubeadmConfigTemplate",
                "name": _name(each),
            }
        },
        "infrastructureRef": {
            "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1",
            "kind": TEMPLATES.get(each.cloud, "MachineTemplate"),
            "name": _name(each),
        },
    }
    labels = {**MANAGED, "fleet/purchase": each.purchase}
    return {
        "apiVersion": "cluster.x-k8s.io/v1beta1",
        "kind": "MachineDeployment",
        "metadata": {"name": _name(each), "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "clusterName": cluster,
            "replicas": each.after,
            "selector": {"matchLabels": {"fleet/resource": _name(each)}},
            "template": {"metadata": {"labels": {**labels, "fleet/resource": _name(each)}}, "spec": template},
        },
    }


TEMPLATES = {"aws": "AWSMachineTemplate", "gcp": "GCPMachineTemplate", "azure": "AzureMachineTemplate"}


def _written(plan: FleetPlan, documents: Sequence[dict[str, Any]]) -> str:
    head = "".join(f"# {line}\n" for line in heading(plan))
    return head + "".join(
        "---\n" + str(yaml.dump(each, Dumper=DUMPER, sort_keys=False, width=120)) for each in documents
    )
