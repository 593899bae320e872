"""How is a fleet's plan carried out by OpenTofu or Terraform? As configuration in JSON, a folder for each cloud.

Groups of machines that each cloud itself keeps at a size stand for the resources of the plan; their sizes come from one
variable, and there is a file of its values for each half of each wave::

    tofu apply -var-file=wave-001-1-start.tfvars.json -var-file=own.tfvars.json

Images, networks and keys are the user's: variables without a default. No credentials are written or asked for;
providers take theirs from the environment.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from data.schemas.fleet_plan import FleetPlan
from tasks.fleet.renderings.names import Nodes, Rendered, heading, label, named, states

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cloud:
    """A provider.

    Args:
        provider: its local name.
        source: where OpenTofu finds it.
        version: which of its versions the arguments are of.
        variables: names of those whose values, by region, the user gives; with what each holds.
        regional: whether a provider's configuration is of one region.
        resources: arguments of the resources of one group, by type.
    """

    provider: str
    source: str
    version: str
    variables: tuple[tuple[str, str], ...]
    regional: bool
    resources: Callable[[Nodes, str], Json]


def as_opentofu(plan: FleetPlan) -> Rendered:
    """Return ``<cloud>/main.tf.json`` and the sizes before, in each half of each wave, and after, for each cloud."""
    resources, left_out = named(plan)
    files: list[tuple[str, str]] = []
    out = [*left_out]
    for cloud in dict.fromkeys(each.cloud for each in resources):
        own = [each for each in resources if each.cloud == cloud]
        known = CLOUDS.get(cloud)
        if known is None:
            out += [f"{each.change.address}: no provider is known for the cloud {cloud}" for each in own]
            continue
        files.append((f"{known.provider}/main.tf.json", _written(_configuration(plan, known, own))))
        before = {each.change.address: each.before for each in own}
        after = {each.change.address: each.after for each in own}
        for name, nodes in (("before", before), *states(plan), ("after", after)):
            sizes = {_key(each): nodes[each.change.address] for each in own}
            files.append((f"{known.provider}/{name}.tfvars.json", _written({"nodes": sizes})))
    return Rendered(tuple(files), tuple(out))


def _configuration(plan: FleetPlan, cloud: Cloud, own: Sequence[Nodes]) -> Json:
    regions = list(dict.fromkeys(each.region for each in own))
    found: Json = {
        "//": list(heading(plan)),
        "terraform": {
            "required_version": ">= 1.6",
            "required_providers": {cloud.provider: {"source": cloud.source, "version": cloud.version}},
        },
        "variable": {
            "nodes": {"type": "map(number)", "description": "size of each group; a file for each half of each wave"},
            **{
                name: {"type": "map(string)", "description": f"{meaning}, by region"}
                for name, meaning in cloud.variables
            },
        },
        "provider": {
            cloud.provider: [{"alias": _alias(region), "region": region} for region in regions]
            if cloud.regional
            else [{"features": {}}]
        },
        "resource": {},
    }
    for each in own:
        for kind, arguments in cloud.resources(each, _key(each)).items():
            if cloud.regional:
                arguments["provider"] = f"{cloud.provider}.{_alias(each.region)}"
            found["resource"].setdefault(kind, {})[_key(each)] = arguments
    return found


def _key(each: Nodes) -> str:
    return label(each.region, each.machine, each.purchase, mark="_")


def _alias(region: str) -> str:
    return label(region, mark="_")


def _size(key: str) -> str:
    return f'${{var.nodes["{key}"]}}'


def _of_region(variable: str, region: str) -> str:
    return f'${{var.{variable}["{region}"]}}'


def _name(each: Nodes) -> str:
    return label("fleet", each.machine, each.purchase, most=40)


def _aws(each: Nodes, key: str) -> Json:
    template: Json = {
        "name_prefix": _name(each),
        "image_id": _of_region("images", each.region),
        "instance_type": each.machine,
    }
    if each.purchase == "spot":
        template["instance_market_options"] = {"market_type": "spot"}
    return {
        "aws_launch_template": template,
        "aws_autoscaling_group": {
            "name_prefix": _name(each),
            "min_size": _size(key),
            "max_size": _size(key),
            "desired_capacity": _size(key),
            "vpc_zone_identifier": f'${{split(",", var.subnets["{each.region}"])}}',
            "launch_template": {"id": f"${{aws_launch_template.{key}.id}}", "version": "$Latest"},
        },
    }


def _google(each: Nodes, key: str) -> Json:
    scheduling: Json = {"on_host_maintenance": "TERMINATE"}
    if each.purchase == "spot":
        scheduling |= {"provisioning_model": "SPOT", "preemptible": True, "automatic_restart": False}
    return {
        "google_compute_instance_template": {
            "name_prefix": f"{_name(each)[:36]}-",
            "machine_type": each.machine,
            "disk": {"source_image": _of_region("images", each.region), "auto_delete": True, "boot": True},
            "network_interface": {"subnetwork": _of_region("subnets", each.region)},
            "scheduling": scheduling,
            "lifecycle": {"create_before_destroy": True},
        },
        "google_compute_region_instance_group_manager": {
            "name": _name(each),
            "base_instance_name": _name(each)[:54],
            "region": each.region,
            "version": {"instance_template": f"${{google_compute_instance_template.{key}.self_link}}"},
            "target_size": _size(key),
        },
    }


def _azure(each: Nodes, key: str) -> Json:
    group: Json = {
        "name": _name(each),
        "resource_group_name": _of_region("resource_groups", each.region),
        "location": each.region,
        "sku": each.machine,
        "instances": _size(key),
        "admin_username": "fleet",
        "admin_ssh_key": {"username": "fleet", "public_key": _of_region("public_keys", each.region)},
        "source_image_id": _of_region("images", each.region),
        "os_disk": {"caching": "ReadOnly", "storage_account_type": "Standard_LRS"},
        "network_interface": {
            "name": "fleet",
            "primary": True,
            "ip_configuration": {"name": "fleet", "primary": True, "subnet_id": _of_region("subnets", each.region)},
        },
    }
    if each.purchase == "spot":
        group |= {"priority": "Spot", "eviction_policy": "Delete"}
    return {"azurerm_linux_virtual_machine_scale_set": group}


def _alicloud(each: Nodes, key: str) -> Json:
    return {
        "alicloud_ess_scaling_group": {
            "scaling_group_name": _name(each),
            "min_size": _size(key),
            "max_size": _size(key),
            "desired_capacity": _size(key),
            "vswitch_ids": f'${{split(",", var.subnets["{each.region}"])}}',
        },
        "alicloud_ess_scaling_configuration": {
            "scaling_group_id": f"${{alicloud_ess_scaling_group.{key}.id}}",
            "image_id": _of_region("images", each.region),
            "instance_type": each.machine,
            "security_group_id": _of_region("security_groups", each.region),
            "spot_strategy": "SpotAsPriceGo" if each.purchase == "spot" else "NoSpot",
            "active": True,
            "enable": True,
            "force_delete": True,
        },
    }


_IMAGES, _SUBNETS = ("images", "image that nodes start from"), ("subnets", "subnet of nodes; several, with commas")
_GOOGLE = Cloud(
    "google",
    "hashicorp/google",
    ">= 5.0",
    (_IMAGES, ("subnets", "subnetwork of nodes")),
    regional=True,
    resources=_google,
)
_AZURE = Cloud(
    "azurerm",
    "hashicorp/azurerm",
    ">= 3.0",
    (
        _IMAGES,
        ("subnets", "id of the subnet of nodes"),
        ("resource_groups", "resource group"),
        ("public_keys", "SSH public key of the administrator"),
    ),
    regional=False,
    resources=_azure,
)
_ALICLOUD = Cloud(
    "alicloud",
    "aliyun/alicloud",
    ">= 1.200",
    (_IMAGES, _SUBNETS, ("security_groups", "security group of nodes")),
    regional=True,
    resources=_alicloud,
)

CLOUDS: dict[str, Cloud] = {
    "aws": Cloud("aws", "hashicorp/aws", ">= 5.0", (_IMAGES, _SUBNETS), regional=True, resources=_aws),
    "gcp": _GOOGLE,
    "azure": _AZURE,
    "alicloud": _ALICLOUD,
}


def _written(content: Json) -> str:
    return json.dumps(content, indent=2, sort_keys=False) + "\n"
