"""Facts about telemetry from a real Prometheus that scrapes exporters as clusters run them."""

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from data.crosscheck import cross_check
from data.digest import SNAPSHOT
from data.errors import BadSource, SourceUnavailable
from data.readers.prometheus.api import prometheus_api
from data.readers.prometheus.series import read_series, with_series
from data.schemas.cluster import Link, Node, Snapshot

BINARY = shutil.which("prometheus")
STEP_S, SAMPLES, PATIENCE_S = 1.0, 4, 180.0

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(BINARY is None, reason="no prometheus on PATH; .ci/install_prometheus.sh installs it"),
]

NODES = tuple(
    Node(id=name, gpu_model="H100", gpus=2, nvlink_domain=name, rack="r")
    for name in ("gpu-01", "gpu-02.site", "gpu-03")
)


def exposition(path: str, elapsed_s: float) -> str:
    """Return what an exporter at ``path`` says: one before and one after the host label was renamed, one of a host."""
    millijoules = 250_000 * elapsed_s
    sent = 5e9 * elapsed_s
    return {
        "/upper": """\
# TYPE DCGM_FI_DEV_POWER_USAGE gauge
DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-a",device="nvidia0",Hostname="gpu-01"} 400.5
DCGM_FI_DEV_POWER_USAGE{gpu="1",UUID="GPU-b",device="nvidia1",Hostname="gpu-01"} 9223372036854775794
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-a",device="nvidia0",Hostname="gpu-01",pod="trainer"} 75
DCGM_FI_DEV_GPU_UTIL{gpu="1",UUID="GPU-b",device="nvidia1",Hostname="gpu-01",pod="trainer"} 25
# TYPE DCGM_FI_DEV_GPU_TEMP gauge
DCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="GPU-a",device="nvidia0",Hostname="gpu-01"} 61
DCGM_FI_DEV_GPU_TEMP{gpu="1",UUID="GPU-b",device="nvidia1",Hostname="gpu-01"} 67
# TYPE DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL counter
DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL{gpu="0",UUID="GPU-a",device="nvidia0",Hostname="gpu-01"} 1000
""",
        "/lower": f"""\
# TYPE DCGM_FI_DEV_POWER_USAGE gauge
DCGM_FI_DEV_POWER_USAGE{{gpu="0",UUID="GPU-c",device="nvidia0",hostname="gpu-02"}} 9223372036854775794
# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter
DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{gpu="0",UUID="GPU-c",device="nvidia0",hostname="gpu-02"}} {millijoules:.0f}
# TYPE DCGM_FI_PROF_GR_ENGINE_ACTIVE gauge
DCGM_FI_PROF_GR_ENGINE_ACTIVE{{gpu="0",UUID="GPU-c",device="nvidia0",hostname="gpu-02"}} 0.875
DCGM_FI_PROF_GR_ENGINE_ACTIVE{{gpu="0",UUID="GPU-x",device="nvidia0",hostname="not-ours"}} NaN
""",
        "/host": f"""\
# TYPE node_infiniband_port_data_transmitted_bytes_total counter
node_infiniband_port_data_transmitted_bytes_total{{device="mlx5_0",port="1"}} {sent:.0f}
# TYPE node_infiniband_port_transmit_wait_total counter
node_infiniband_port_transmit_wait_total{{device="mlx5_0",port="1"}} {1000 * elapsed_s:.0f}
# TYPE node_infiniband_rate_bytes_per_second gauge
node_infiniband_rate_bytes_per_second{{device="mlx5_0",port="1"}} 5e10
""",
    }[path]


@pytest.fixture(scope="module")
def exporters() -> Iterator[int]:
    """Serve the exporters' text on the loopback address; yield the port."""
    started = time.monotonic()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = exposition(self.path, time.monotonic() - started).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def prometheus(exporters: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run Prometheus until it has scraped a few times; yield its address."""
    folder = tmp_path_factory.mktemp("prometheus")
    target = f"[{{targets: ['127.0.0.1:{exporters}']"
    (folder / "prometheus.yml").write_text(
        f"""\
global: {{scrape_interval: 500ms, scrape_timeout: 400ms}}
scrape_configs:
- job_name: upper
  metrics_path: /upper
  static_configs: {target}, labels: {{pod: exporter-x7}}}}]
- job_name: lower
  metrics_path: /lower
  static_configs: {target}, labels: {{hostname: 10.0.0.2}}}}]
- job_name: host
  metrics_path: /host
  static_configs: {target}, labels: {{instance: 'gpu-03:9100'}}}}]
"""
    )
    address = f"127.0.0.1:{free_port()}"
    assert BINARY is not None
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # our own command line
            [
                BINARY,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for_samples(f"http://{address}", process, log)
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE_S)


def wait_for_samples(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    query = "min(count_over_time(up[30s]))"
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            answer = httpx.get(f"{url}/api/v1/query", params={"query": query}, trust_env=False).json()
        except (httpx.TransportError, ValueError):
            answer = {}
        result = answer.get("data", {}).get("result", [])
        if result and float(result[0]["value"][1]) >= 2 * (SAMPLES + 2):
            return
        time.sleep(0.1)
    raise AssertionError(f"Prometheus has not scraped in {PATIENCE_S} s:\n{log.read_text()}")


def test_series_of_nodes_and_links_arrive_from_both_spellings_of_the_host_label(prometheus: str) -> None:
    nvlink = Link("gpu-01:nvlink", "gpu-01", "gpu-01:nvswitch", 900.0, kind="nvlink")
    telemetry = read_series(prometheus, NODES, range_s=SAMPLES * STEP_S, step_s=STEP_S, links=(nvlink,))
    first, second = telemetry.node_series
    assert first.node == "gpu-01"
    assert first.gpu_power_w == (400.5,) * SAMPLES  # the GPU with the sentinel does not count
    assert first.utilisation == (0.5,) * SAMPLES
    assert first.temperature_c == (67.0,) * SAMPLES
    assert second.node == "gpu-02.site"
    assert second.utilisation == (0.875,) * SAMPLES
    # counters are read between scrapes: each step is off by a scrape interval at most, the mean by much less
    assert sum(second.gpu_power_w) / SAMPLES == pytest.approx(250.0, rel=0.35)
    fabric, inside = sorted(telemetry.link_series, key=lambda series: series.link, reverse=True)
    assert fabric.link == "gpu-03:mlx5_0"
    assert sum(fabric.throughput_gb_per_s) / SAMPLES == pytest.approx(5.0, rel=0.35)
    assert sum(fabric.waits_per_s) / SAMPLES == pytest.approx(1_000.0, rel=0.35)
    assert inside.link == "gpu-01:nvlink"
    assert inside.throughput_gb_per_s == pytest.approx((1.024,) * SAMPLES)
    assert telemetry.links == (Link("gpu-03:mlx5_0", "gpu-03", "fabric", 50.0, kind="infiniband"),)


def test_what_had_no_value_and_who_is_no_node_is_counted(prometheus: str) -> None:
    telemetry = read_series(prometheus, NODES, range_s=SAMPLES * STEP_S, step_s=STEP_S)
    notes = "\n".join(telemetry.notes)
    assert f"DCGM_FI_DEV_POWER_USAGE: {2 * SAMPLES} samples without a value dropped" in notes
    assert "power from the energy counter: 1 nodes" in notes
    assert "utilisation from DCGM_FI_DEV_GPU_UTIL: 1 nodes" in notes
    places = "\n".join(record.path for record in telemetry.set_aside)
    assert "host 'not-ours'" in places
    assert "DCGM_FI_DEV_POWER_USAGE{gpu-01, 1}" in places
    assert "link gpu-01:nvlink" in places  # its bandwidth is not known


def test_one_sample_is_enough_for_gauges(prometheus: str) -> None:
    telemetry = read_series(prometheus, NODES[:1], range_s=STEP_S, step_s=STEP_S)
    assert telemetry.node_series[0].gpu_power_w == (400.5,)


def test_a_snapshot_with_the_series_is_sound(prometheus: str) -> None:
    snapshot = Snapshot(cluster="live", taken_at="2026-01-31T12:00:00Z", nodes=NODES)
    telemetry = read_series(prometheus, NODES, range_s=SAMPLES * STEP_S, step_s=STEP_S)
    measured = with_series(snapshot, telemetry)
    assert cross_check(measured) == ()
    assert SNAPSHOT.validate_json(SNAPSHOT.dump_json(measured)) == measured
    assert len(measured.node_series) == 2
    assert len(measured.link_series) == 1


def test_the_servers_own_words_come_with_a_refusal(prometheus: str) -> None:
    with prometheus_api(prometheus) as api, pytest.raises(BadSource, match=r"HTTP 400: .*parse error"):
        api.instant("sum(")


def test_nodes_that_nobody_measures_are_a_bad_source(prometheus: str) -> None:
    other = Node(id="elsewhere", gpu_model="H100", gpus=2, nvlink_domain="elsewhere", rack="r")
    with pytest.raises(BadSource, match="series of at least one of 1 nodes"):
        read_series(prometheus, (other,), range_s=SAMPLES * STEP_S, step_s=STEP_S)


def test_an_address_where_nobody_listens_is_unavailable() -> None:
    with pytest.raises(SourceUnavailable, match="no answer"):
        read_series(f"http://127.0.0.1:{free_port()}", NODES, range_s=1.0, step_s=1.0)
