"""One server as deployments/SERVER.md sets it up: PostgreSQL, Redis, an API, its services, and two workers."""

import json
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import yaml

from data.readers.plan import check_fresh, read_plan
from data.readers.snapshot import read_snapshot
from tasks.validate import validate

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
SERVER_ENV, WORKER_ENV = (ROOT / "deployments" / name for name in ("server.env", "worker.env"))
RUN = "20261122T120000Z-abcdef"
PAGE = (ROOT / "deployments/SERVER.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent
AUTH = ("quantumflow", "a password: with signs")
LIMIT_S = 600.0


def settings(file):
    """Return the settings of one of the files that systemd and compose read."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture(scope="module")
def authorised(prefect_api):
    """The API, asked with the password."""
    prefect_api.client.auth = AUTH
    return prefect_api


@pytest.fixture(scope="module")
def server_environment(prefect_environment, prefect_api, postgresql, redis):
    """deployments/server.env, with ports and passwords of this test."""
    return {
        **prefect_environment,
        **settings(SERVER_ENV),
        **postgresql.settings,
        **redis.settings,
        "PREFECT_SERVER_API_PORT": str(prefect_api.port),
        "PREFECT_SERVER_API_AUTH_STRING": ":".join(AUTH),
        "PATH": f"{BIN}{os.pathsep}{postgresql.binaries}{os.pathsep}{os.environ['PATH']}",
    }


@pytest.fixture(scope="module")
def worker_environment(prefect_environment, prefect_api, tmp_path_factory):
    """deployments/worker.env, with the address of this test, and asking more often."""
    return {
        **prefect_environment,
        **settings(WORKER_ENV),
        "PREFECT_HOME": str(tmp_path_factory.mktemp("worker-home")),
        "PREFECT_API_URL": f"http://127.0.0.1:{prefect_api.port}/api",
        "PREFECT_API_AUTH_STRING": ":".join(AUTH),
        "QUANTUMFLOW_ROOT": str(ROOT),
        "QUANTUMFLOW_ROOTS": f"{ROOT}{os.pathsep}{tmp_path_factory.getbasetemp()}",
        "PREFECT_WORKER_QUERY_SECONDS": "5",
    }


def of_page(begin, **instead):
    """Return the one command of the page that begins so, as words, parts of it replaced by what is tried here."""
    (line,) = (line.strip() for line in PAGE.splitlines() if line.startswith(f"    {begin}"))
    return as_here(line, **instead)


def of_unit(name, **instead):
    """Return what a unit starts, likewise."""
    unit = (ROOT / "deployments/systemd" / name).read_text(encoding="utf-8")
    (line,) = re.findall("(?m)^ExecStart=/opt/quantumflow/(.*)$", unit)
    return as_here(line, **instead)


def as_here(line, **instead):
    words = shlex.split(line)
    assert all(any(old in word for word in words) for old in instead)
    program = {".venv/bin/prefect": str(BIN / "prefect"), ".venv/bin/python": sys.executable}
    for old, new in instead.items():
        words = [word.replace(old, str(new)) for word in words]
    return [program.get(word, word) for word in words if not re.match(r"[A-Z_]+=", word)]


def run(environment, *words):
    """Run a command in the project's folder to its end, and return what it printed."""
    done = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def server(authorised, server_environment, background, until, tmp_path_factory):
    """The API of a migrated server whose background services run in a process of their own."""
    folder = tmp_path_factory.mktemp("logs")
    run(server_environment, BIN / "prefect", "server", "database", "upgrade", "-y")
    api = [BIN / "prefect", "server", "start", "--no-services"]
    services = [BIN / "prefect", "server", "services", "start"]
    with background(api, folder / "api.log", server_environment):
        until(authorised.healthy, LIMIT_S, folder / "api.log")
        with background(services, folder / "services.log", server_environment) as process:
            yield authorised
            assert process.poll() is None, (folder / "services.log").read_text()


@pytest.fixture(scope="module")
def deployed(server, worker_environment):
    """The API of a server with the pool and the deployments."""
    for begin in (".venv/bin/python -m deployments.provision", ".venv/bin/prefect --no-prompt"):
        run(worker_environment, *of_page(begin))
    return server


@pytest.fixture(scope="module")
def worked(deployed, worker_environment, background, tmp_path_factory):
    """The API of a server whose pool has two workers, each for one run at a time."""
    folder = tmp_path_factory.mktemp("workers")
    command = [BIN / "prefect", "worker", "start", "--pool", "quantumflow", "--type", "process", "--limit", "1"]
    with (
        background([*command, "--name", "one"], folder / "one.log", worker_environment),
        background([*command, "--name", "two"], folder / "two.log", worker_environment),
    ):
        yield deployed


def create(api, params):
    """Start a run of the manual deployment, and return its id."""
    return api.begin("manual", parameters={"params": params})


def verify(folder):
    """Do what ``python -m flows plan verify`` does."""
    plan, state = read_plan(folder / "plan.json"), read_snapshot(folder / "snapshot.json").snapshot
    check_fresh(plan, state)
    verdict = validate(plan, state, folder)
    assert verdict.passed, verdict


def test_the_database_is_postgresql_and_the_migrations_are_all_there(server, postgresql):
    assert int(postgresql.query("select count(*) from pg_tables where schemaname = 'public'")) > 20
    assert postgresql.query("show default_transaction_isolation") == "read committed"


def test_probes_need_no_password_and_everything_else_does(server):
    with httpx.Client(base_url=server.client.base_url, trust_env=False, timeout=30.0) as anybody:
        assert anybody.get("/api/health").status_code == 200
        assert anybody.get("/api/ready").status_code == 200
        for path in ("/api/metrics", "/api/admin/settings", "/api/admin/version"):
            assert anybody.get(path).status_code == 401
            assert anybody.get(path, auth=("quantumflow", "guess")).status_code == 401
        assert anybody.post("/api/deployments/filter", json={}).status_code == 401


def test_metrics_are_what_prometheus_reads(server):
    answer = server.client.get("/api/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert "process_resident_memory_bytes " in answer.text


def test_the_server_uses_what_the_file_says(server):
    told = server.client.get("/api/admin/settings").json()["server"]
    assert set(told["services"]["db_vacuum"]["enabled"]) == {"events", "flow_runs"}
    assert told["database"]["migrate_on_start"] is False
    assert told["analytics_enabled"] is False
    assert told["concurrency"]["lease_storage"] == "prefect_redis.lease_storage"
    assert told["events"]["messaging_broker"] == "prefect_redis.messaging"


@pytest.fixture(scope="module")
def proxy(server, background, until, free_port, tmp_path_factory):
    """The address of nginx as nginx.conf sets it up, with ports and a certificate of this test; and its authority."""
    if shutil.which("nginx") is None or shutil.which("openssl") is None:
        pytest.skip("not installed: nginx, openssl (see .ci/install_nginx.sh)")
    folder = tmp_path_factory.mktemp("nginx")
    certificate, key, port = folder / "fullchain.pem", folder / "privkey.pem", free_port()
    name = ["-subj", "/CN=quantumflow.example.com", "-addext", "subjectAltName=DNS:localhost"]
    openssl = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    run(os.environ, *openssl, "-days", "1", "-keyout", key, "-out", certificate, *name)
    site = (ROOT / "deployments/nginx.conf").read_text(encoding="utf-8")
    for old, new in {
        "listen [::]": "# listen [::]",
        "listen 80;": f"listen 127.0.0.1:{free_port()};",
        "listen 443": f"listen 127.0.0.1:{port}",
        "quantumflow.example.com": "localhost",
        "/etc/ssl/quantumflow": str(folder),
        "127.0.0.1:4200": f"127.0.0.1:{server.port}",
        "/opt/quantumflow/runs": str(folder / "runs"),
        "/etc/quantumflow/htpasswd": str(folder / "htpasswd"),
    }.items():
        assert old in site
        site = site.replace(old, new)
    (folder / "site.conf").write_text(site)
    (made,) = re.findall(r"openssl passwd [^)]*", PAGE)
    hashed = subprocess.run(made.split(), input=AUTH[1], capture_output=True, text=True, check=True).stdout
    (folder / "htpasswd").write_text(f"{AUTH[0]}:{hashed}")
    (folder / "runs" / RUN).mkdir(parents=True)
    for name in ("report.html", "plan.json", "snapshot.json"):
        (folder / "runs" / RUN / name).write_text("<p>told</p>")
    for each in (folder, *folder.parents[:3], *folder.rglob("*")):  # its workers may be nobody's
        each.chmod(each.stat().st_mode | 0o055)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"pid {folder}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; {temporary} include {folder}/site.conf; }}\n"
    )
    command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    run(os.environ, *command, "-t")
    trust = ssl.create_default_context(cafile=str(certificate))

    def answers():
        try:
            return httpx.get(f"https://localhost:{port}/api/health", verify=trust, trust_env=False).is_success
        except httpx.TransportError:
            return False

    with background([*command, "-g", "daemon off;"], folder / "log"):
        until(answers, log=folder / "log")
        yield f"https://localhost:{port}", trust


def test_behind_tls_the_ui_asks_the_address_that_it_came_from(proxy):
    address, trust = proxy
    with httpx.Client(base_url=address, verify=trust, trust_env=False, timeout=30.0) as client:
        assert client.get("/api/admin/version").status_code == 401
        assert client.get("/api/admin/version", auth=AUTH).status_code == 200
        page = client.get("/", headers={"Accept": "text/html"}, follow_redirects=True)
        assert page.url.host == "localhost"
        assert page.url.scheme == "https"
        assert "<html" in page.text
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert client.get("/ui-settings").json()["api_url"] == "/api"


def test_pages_of_runs_are_served_to_who_knows_the_password_and_nothing_else_is(proxy):
    address, trust = proxy
    with httpx.Client(base_url=address, verify=trust, trust_env=False, timeout=30.0) as client:
        assert client.get(f"/runs/{RUN}/report.html").status_code == 401
        page = client.get(f"/runs/{RUN}/report.html", auth=AUTH)
        assert (page.status_code, page.text) == (200, "<p>told</p>")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "sandbox allow-scripts" in page.headers["content-security-policy"], "its origin is nobody's"
        assert client.get(f"/runs/{RUN}/plan.json").status_code == 401
        plan = client.get(f"/runs/{RUN}/plan.json", auth=AUTH)
        assert (plan.status_code, plan.headers["content-type"]) == (200, "application/json")
        for path in (f"{RUN}/snapshot.json", "", RUN, f"{RUN}/..%2f..%2fhtpasswd", "latest/report.html"):
            assert client.get(f"/runs/{path}", auth=AUTH).status_code in (400, 404), path


def test_events_go_through_the_proxy_as_websockets(proxy):
    from websockets.exceptions import ConnectionClosedError
    from websockets.sync.client import connect

    address, trust = proxy[0].replace("https", "wss"), proxy[1]

    def answer(password):
        events = f"{address}/api/events/out"
        with connect(events, ssl=trust, subprotocols=["prefect"], proxy=None) as connection:
            connection.send(json.dumps({"type": "auth", "token": f"{AUTH[0]}:{password}"}))
            return json.loads(connection.recv(timeout=60))["type"]

    assert answer(AUTH[1]) == "auth_success"
    with pytest.raises(ConnectionClosedError, match="Invalid token"):
        answer("guess")


def test_prometheus_scrapes_as_the_page_says(server, background, until, free_port, tmp_path):
    if shutil.which("prometheus") is None:
        pytest.skip("not installed: prometheus (see .ci/install_prometheus.sh)")
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    plans, runs = free_port(), tmp_path / "runs"
    runs.mkdir()
    here = {
        "127.0.0.1:4200": f"127.0.0.1:{server.port}",
        "127.0.0.1:9464": f"127.0.0.1:{plans}",
        "/etc/prometheus/quantumflow.password": str(tmp_path / "password"),
        "/opt/quantumflow/": f"{ROOT}/",
    }
    for there, instead in here.items():
        assert there in block
        block = block.replace(there, instead)
    configuration = yaml.safe_load(block)
    (tmp_path / "password").write_text(AUTH[1])
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"global": {"scrape_interval": "1s"}, **configuration}))
    port = free_port()

    def up():
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": "up"}, trust_env=False).json()
        except (httpx.TransportError, ValueError):
            return False
        return [each["value"][1] for each in answer["data"]["result"]] == ["1", "1"]

    metrics = [sys.executable, "-m", "flows", "metrics", str(runs), "--port", str(plans)]
    store = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    prometheus = ["prometheus", *store, f"--web.listen-address=127.0.0.1:{port}"]
    with background(metrics, tmp_path / "metrics.log"), background(prometheus, tmp_path / "log"):
        until(up, LIMIT_S, tmp_path / "log")


def test_without_the_database_the_server_is_alive_but_not_ready_and_comes_back(server, postgresql, until):
    def ready():
        return server.client.get("/api/ready").status_code

    assert ready() == 200
    postgresql.stop()
    try:
        until(lambda: ready() == 503)
        assert server.healthy()
    finally:
        postgresql.start()
    until(lambda: ready() == 200)
    assert server.client.post("/api/deployments/filter", json={}).status_code == 200


def test_two_runs_at_once_on_two_workers(worked, until, tmp_path):
    params = {"source": {"kind": "sample", "name": "over-cap"}, "effort": "quick", "nouns": ["power"]}
    folders = [tmp_path / name for name in ("first", "second")]
    runs = [create(worked, {**params, "output": str(folder)}) for folder in folders]
    until(lambda: all(worked.ended(each) for each in runs), LIMIT_S)
    found = [worked.client.get(f"/api/flow_runs/{each}").json() for each in runs]
    states = [each["state_type"] for each in found]
    assert states == ["COMPLETED", "COMPLETED"], [worked.of_run("logs", each) for each in runs]
    assert found[0]["start_time"] < found[1]["end_time"]
    assert found[1]["start_time"] < found[0]["end_time"]
    for folder in folders:
        verify(folder / "latest")


def test_a_schedule_starts_runs_by_itself(worked, until, tmp_path):
    manual = worked.deployments()["manual"]["id"]
    params = {"source": {"kind": "sample"}, "effort": "quick", "nouns": ["power"], "output": str(tmp_path)}
    # the scheduler looks once a minute; a run that is due beside a younger one would be skipped, so the next is far off
    soon = datetime.now(UTC) + timedelta(seconds=90)
    schedule = {
        "schedule": {"interval": 600.0, "anchor_date": soon.isoformat()},
        "active": True,
        "slug": "soon",
        "parameters": {"params": params},
    }
    made = worked.client.post(f"/api/deployments/{manual}/schedules", json=[schedule])
    assert made.status_code == 201, made.text
    of_schedule = {"flow_runs": {"tags": {"all_": ["auto-scheduled"]}, "state": {"type": {"any_": ["COMPLETED"]}}}}
    until(lambda: worked.client.post("/api/flow_runs/filter", json=of_schedule).json(), LIMIT_S)
    worked.client.delete(f"/api/deployments/{manual}/schedules/{made.json()[0]['id']}")
    verify(tmp_path / "latest")


@pytest.mark.long
def test_a_run_outlives_a_minute_without_the_database(worked, postgresql, until, tmp_path, record_property):
    effort = {"evaluations": 2_000_000, "rounds": 4, "window": 10, "patience": 4, "tries": 8}
    params = {"source": {"kind": "sample"}, "custom_effort": effort, "nouns": ["placement", "power"]}
    run = create(worked, {**params, "output": str(tmp_path)})
    until(lambda: worked.state(run) == "RUNNING", LIMIT_S)
    until((tmp_path / f".stages-{run}").is_dir, LIMIT_S)
    postgresql.stop("immediate")
    gone = time.monotonic()
    try:
        assert worked.client.get("/api/ready").status_code == 503
        time.sleep(60.0)
    finally:
        postgresql.start()
    back = time.monotonic()
    until(lambda: worked.client.get(f"/api/flow_runs/{run}").is_success, LIMIT_S)
    until(lambda: worked.ended(run), LIMIT_S)
    assert worked.state(run) == "COMPLETED", worked.of_run("logs", run)
    assert len([each for each in tmp_path.glob("*/plan.json") if not each.parent.is_symlink()]) == 1
    verify(tmp_path / "latest")
    following = create(worked, {**params, "effort": "quick", "custom_effort": None, "output": str(tmp_path / "next")})
    until(lambda: worked.ended(following), LIMIT_S)
    assert worked.state(following) == "COMPLETED", worked.of_run("logs", following)
    happened = f"the run waited for it and ended well; the next one too; gone for {back - gone:.0f} s"
    record_property("fault", ("PostgreSQL killed", happened, "nothing", time.monotonic() - back))


@pytest.mark.long
def test_two_schedulers_plan_each_run_once(worked, server_environment, background, until, tmp_path, record_property):
    """A second `prefect server services start` races the first one, both looking far more often than by default."""
    eager = {**server_environment, "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "1"}
    command = [BIN / "prefect", "server", "services", "start"]
    manual = worked.deployments()["manual"]["id"]
    params = {"source": {"kind": "sample"}, "effort": "quick", "nouns": ["power"], "output": str(tmp_path / "runs")}
    schedule = {
        "schedule": {"interval": 60.0}, "active": True, "slug": "raced", "parameters": {"params": params},
    }  # fmt: skip
    of_schedule = {"flow_runs": {"tags": {"all_": ["auto-scheduled"]}}, "limit": 200}
    begun = time.monotonic()
    with (
        background(command, tmp_path / "second.log", eager) as second,
        background(command, tmp_path / "third.log", eager) as third,
    ):
        made = worked.client.post(f"/api/deployments/{manual}/schedules", json=[schedule])
        assert made.status_code == 201, made.text
        until(lambda: len(list((tmp_path / "runs").glob("[0-9]*/plan.json"))) >= 2, LIMIT_S)
        assert second.poll() is None, (tmp_path / "second.log").read_text()
        assert third.poll() is None, (tmp_path / "third.log").read_text()
        found = worked.client.post("/api/flow_runs/filter", json=of_schedule).json()
    worked.client.delete(f"/api/deployments/{manual}/schedules/{made.json()[0]['id']}")
    times = [each["expected_start_time"] for each in found if each["parameters"] == schedule["parameters"]]
    assert len(set(times)) == len(times) > 2, times
    verify(tmp_path / "runs" / "latest")
    happened = f"{len(times)} runs, each for another time"
    record_property("fault", ("three schedulers at once", happened, "nothing", time.monotonic() - begun))


def test_a_backup_restores_into_a_fresh_database(
    deployed, postgresql, server_environment, background, until, free_port, tmp_path
):
    backups = tmp_path / "backups"
    dump = of_unit("quantumflow-backup.service", **{"/var/lib/quantumflow/backups": backups, "14": 2})
    for _ in range(3):
        run(server_environment, *dump)
        time.sleep(1.1)  # backups are named by the second
    files = sorted(backups.iterdir())
    assert len(files) == 2
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    before = deployed.deployments()

    name = "/var/lib/quantumflow/backups/quantumflow-DATE.dump"
    restore = of_page("PREFECT_SERVER_DATABASE_NAME=restored .venv/bin/python", **{name: files[-1]})
    refused = subprocess.run(restore, cwd=ROOT, env=server_environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "database quantumflow: expected it empty" in refused.stderr

    postgresql.query("create database restored", "postgres")
    port = free_port()
    elsewhere = {
        **server_environment,
        "PREFECT_SERVER_DATABASE_NAME": "restored",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_HOME": str(tmp_path / "home"),
    }
    run(elsewhere, *restore)
    run(elsewhere, BIN / "prefect", "server", "database", "upgrade", "-y")
    with (
        background([BIN / "prefect", "server", "start", "--no-services"], tmp_path / "restored.log", elsewhere),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=AUTH, timeout=30.0, trust_env=False) as client,
    ):
        restored = type(deployed)(port, client)
        until(restored.healthy, LIMIT_S, tmp_path / "restored.log")
        found = restored.deployments()
        for each in [*found.values(), *before.values()]:
            each.pop("last_polled")  # workers go on asking while the backup is made
        assert json.dumps(found, sort_keys=True) == json.dumps(before, sort_keys=True)
        of_server = [api.client.post("/api/flow_runs/count", json={}).json() for api in (deployed, restored)]
        assert of_server[0] == of_server[1]
