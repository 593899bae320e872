"""Does compose.yaml describe the server of COMPOSE.md: every part, loopback alone, no secret, all of it healthy?"""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from deployments.passwords import SERVER_FILE, WORKER_FILE, write
from flows.serve import KEPT

FOLDER = Path(__file__).resolve().parents[2] / "deployments"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
OURS = ("migrate", "server", "services", "worker-1", "worker-2", "metrics")


def settings(name):
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_every_part_is_there():
    assert set(SERVICES) == {"postgresql", "redis", *OURS}


def test_only_the_api_and_metrics_are_published_and_only_on_loopback():
    published = {name: each["ports"] for name, each in SERVICES.items() if "ports" in each}
    assert published == {"server": ["127.0.0.1:4200:4200"], "metrics": ["127.0.0.1:9464:9464"]}
    assert COMPOSE["networks"]["database"]["internal"] is True
    assert all(each.get("network_mode") is None and not each.get("privileged") for each in SERVICES.values())


def test_workers_reach_neither_database_nor_its_password():
    for name in ("worker-1", "worker-2"):
        assert SERVICES[name]["networks"] == ["api"]
        assert SERVICES[name]["env_file"] == ["worker.env", "secrets/worker.secrets.env"]
        assert "DATABASE" not in str(SERVICES[name])


def test_automations_reach_the_addresses_that_they_tell():
    outward = {name for name, network in COMPOSE["networks"].items() if not network.get("internal")}
    assert outward & set(SERVICES["services"]["networks"])
    assert not outward & {*SERVICES["postgresql"]["networks"], *SERVICES["redis"]["networks"]}


@pytest.mark.parametrize("name", OURS)
def test_our_containers_have_no_rights_that_they_do_not_need(name):
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service["read_only"] is (not name.startswith("worker"))


def test_each_waits_for_what_it_needs():
    for name, each in SERVICES.items():
        for needed, how in each.get("depends_on", {}).items():
            assert needed in SERVICES
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[needed], (
                    f"{name} waits for the health of {needed}, which nobody checks"
                )
    assert SERVICES["server"]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_no_secret_stands_in_the_files():
    for name in ("compose.yaml", "server.env", "worker.env"):
        assert "PASSWORD=" not in (FOLDER / name).read_text(encoding="utf-8")
    assert not {"PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"} & {
        *settings("server.env"),
        *settings("worker.env"),
    }


def test_the_commands_are_those_of_the_units():
    units = "".join(path.read_text(encoding="utf-8") for path in (FOLDER / "systemd").glob("*.service"))
    for name in OURS:
        words, _, _ = " ".join(SERVICES[name]["command"]).partition(" --host")  # of its container
        assert words in units.replace(" --name %H-%i", "").replace("/opt/quantumflow/.venv/bin/", "")


def test_every_setting_is_one_that_prefect_knows(monkeypatch, tmp_path):
    """Prefect ignores what it does not know, so a misspelt line would do nothing, silently."""
    from prefect.settings import Settings

    write(tmp_path)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    known = {name.upper() for name in _names(Settings)}
    files = [FOLDER / "server.env", FOLDER / "worker.env", tmp_path / SERVER_FILE, tmp_path / WORKER_FILE]
    for file in files:
        for name in settings(file):
            if name.startswith("PREFECT_") and not name.startswith("PREFECT_REDIS_"):
                assert name in known, f"{file.name}: {name}"


def _names(model, prefix="prefect"):
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if hasattr(annotation, "model_fields"):
            yield from _names(annotation, f"{prefix}_{name}")
        yield f"{prefix}_{name}"


def test_redis_settings_are_those_of_prefect_redis():
    client = pytest.importorskip("prefect_redis.client")
    known = {f"PREFECT_REDIS_MESSAGING_{name.upper()}" for name in client.RedisMessagingSettings.model_fields}
    assert {name for name in settings("server.env") if name.startswith("PREFECT_REDIS_")} <= known


def test_docker_reads_the_file(tmp_path):
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("not installed: docker compose")
    shutil.copytree(FOLDER, tmp_path / "deployments", ignore=shutil.ignore_patterns("__pycache__"))
    write(tmp_path / "deployments/secrets")
    words = ["compose", "--env-file", "deployments/secrets/server.secrets.env", "--file", "deployments/compose.yaml"]
    done = subprocess.run(
        [docker, *words, "config", "--quiet"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_laptop_keeps_what_a_server_keeps():
    assert settings("server.env").items() >= KEPT.items()
