"""Facts about reading telemetry, against a real HTTP server that plays back recorded bodies."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from data.crosscheck import cross_check
from data.digest import SNAPSHOT
from data.errors import BadSource
from data.readers.power.measured import measured_power
from data.readers.prometheus.series import Telemetry, read_series, with_series
from data.schemas.cluster import Link, Node, Snapshot
from data.schemas.job import Job, Worker
from data.schemas.telemetry import LinkSeries, NodeSeries

END = 1_769_860_800.0  # a multiple of 60
SENTINEL = "9223372036854775794"
NODES = tuple(
    Node(id=name, gpu_model="H100", gpus=2, nvlink_domain=name, rack="r", gpu_idle_w=60.0)
    for name in ("gpu-01", "gpu-02.site")
)


def body(kind: str, result: Any, **more: Any) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}, **more}).encode()


def series(labels: dict[str, str], values: list[float | str | None], *, end: float = END) -> dict[str, Any]:
    """Return a series with one value per minute up to ``end``; None is a minute without a sample."""
    start = end - 60.0 * (len(values) - 1)
    return {
        "metric": labels,
        "values": [[start + 60.0 * i, str(value)] for i, value in enumerate(values) if value is not None],
    }


Recorded = dict[str, list[dict[str, Any]]]
Player = Callable[[Recorded], AbstractContextManager[str]]
Reader = Callable[..., Telemetry]


@pytest.fixture
def playing(serving: Any) -> Player:
    """Return what serves recorded series by metric; what is not recorded is empty, and the clock stands at END."""

    def play(recorded: Recorded) -> AbstractContextManager[str]:
        def answering(
            path: str, parameters: dict[str, str], headers: dict[str, str]
        ) -> tuple[int, dict[str, str], bytes]:
            if parameters["query"] == "time()":
                return 200, {}, body("scalar", [END + 7.5, str(END + 7.5)])
            found = recorded.get(parameters["query"], [])
            if path == "/api/v1/query":
                return 200, {}, body("vector", [{"metric": one["metric"], "value": one["values"][-1]} for one in found])
            assert float(parameters["end"]) == END
            first = float(parameters["start"])
            wanted = [{**one, "values": [pair for pair in one["values"] if pair[0] >= first]} for one in found]
            return 200, {}, body("matrix", wanted)

        served: AbstractContextManager[str] = serving(answering)
        return served

    return play


@pytest.fixture
def read_recorded(playing: Player) -> Reader:
    """Return what reads five minutes of recorded series."""

    def read(recorded: Recorded, *, carry: int = 2, links: tuple[Link, ...] = ()) -> Telemetry:
        with playing(recorded) as url:
            return read_series(url, NODES, range_s=300.0, step_s=60.0, timeout_s=5.0, carry=carry, links=links)

    return read


def gpu(index: int, **labels: str) -> dict[str, str]:
    return {"gpu": str(index), **labels}


def power(*rows: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {"DCGM_FI_DEV_POWER_USAGE": list(rows)}


def test_power_is_the_mean_of_a_nodes_gpus_under_either_spelling_of_the_host(read_recorded: Reader) -> None:
    telemetry = read_recorded(
        power(
            series(gpu(0, Hostname="gpu-01"), [100, 200, 300, 400, 500]),
            series(gpu(1, Hostname="gpu-01"), [300, 400, 500, 600, 700]),
            series(gpu(0, hostname="gpu-02"), [60, 60, 60, 60, 60]),
            series(gpu(1, hostname="gpu-02"), [80, 80, 80, 80, 80]),
        )
    )
    assert telemetry.end_s == END
    assert telemetry.node_series == (
        NodeSeries(node="gpu-01", interval_s=60.0, gpu_power_w=(200.0, 300.0, 400.0, 500.0, 600.0)),
        NodeSeries(node="gpu-02.site", interval_s=60.0, gpu_power_w=(70.0,) * 5),
    )
    assert telemetry.set_aside == ()


@pytest.mark.parametrize(
    "labels",
    [
        {"exported_Hostname": "gpu-01", "Hostname": "exporter-pod-x7"},
        {"exported_hostname": "gpu-01", "hostname": "10.0.0.7"},
        {"Hostname": "exporter-pod-x7", "node": "gpu-01"},
        {"instance": "gpu-01:9400"},
        {"instance": "10.0.0.7:9400", "exported_instance": "GPU-01.site:9400"},
    ],
)
def test_the_host_is_found_under_whatever_label_names_a_node(labels: dict[str, str], read_recorded: Reader) -> None:
    telemetry = read_recorded(power(series(gpu(0, **labels), [100] * 5)))
    assert [one.node for one in telemetry.node_series] == ["gpu-01"]


def test_the_sentinel_and_nan_are_dropped_and_counted_and_the_last_value_stands_in(read_recorded: Reader) -> None:
    telemetry = read_recorded(power(series(gpu(0, Hostname="gpu-01"), [100, SENTINEL, "NaN", 400, "+Inf"])))
    assert telemetry.node_series[0].gpu_power_w == (100.0, 100.0, 100.0, 400.0, 400.0)
    assert any("DCGM_FI_DEV_POWER_USAGE: 3 samples without a value dropped" in note for note in telemetry.notes)


def test_an_implausible_draw_is_dropped_and_counted(read_recorded: Reader) -> None:
    telemetry = read_recorded(power(series(gpu(0, Hostname="gpu-01"), [100, 700_000, -5, 400, 500])))
    assert telemetry.node_series[0].gpu_power_w == (100.0, 100.0, 100.0, 400.0, 500.0)
    assert any("2 samples outside 0 to 5000 dropped" in note for note in telemetry.notes)


def test_a_gap_that_is_too_long_sets_the_gpu_aside_with_the_reason(read_recorded: Reader) -> None:
    rows = power(
        series(gpu(0, Hostname="gpu-01"), [100, None, None, None, 500]),
        series(gpu(1, Hostname="gpu-01"), [300, 300, 300, None, None]),
    )
    telemetry = read_recorded(rows)
    assert telemetry.node_series[0].gpu_power_w == (300.0,) * 5
    (record,) = telemetry.set_aside
    assert "{gpu-01, 0}" in record.path
    assert record.found == "3 samples missing in a row"
    with pytest.raises(BadSource, match="none"):
        read_recorded(rows, carry=1)


def test_a_node_that_was_measured_later_has_a_shorter_series(read_recorded: Reader) -> None:
    telemetry = read_recorded(power(series(gpu(0, Hostname="gpu-01"), [None, None, 300, 400, 500])))
    assert telemetry.node_series[0].gpu_power_w == (300.0, 400.0, 500.0)
    assert any("shorter series" in note for note in telemetry.notes)


def test_series_of_one_gpu_under_two_pods_are_joined(read_recorded: Reader) -> None:
    telemetry = read_recorded(
        power(
            series(gpu(0, Hostname="gpu-01", pod="a"), [100, 200, None, None, None]),
            series(gpu(0, Hostname="gpu-01", pod="b"), [None, 400, 500, 600, 700]),
        )
    )
    assert telemetry.node_series[0].gpu_power_w == (100.0, 300.0, 500.0, 600.0, 700.0)


def test_the_energy_counter_stands_in_for_power_and_survives_a_reset_and_a_gap(read_recorded: Reader) -> None:
    millijoules = [0, 12_000_000, 30_000_000, None, 54_000_000, 6_000_000]  # six minutes: one more than the window
    telemetry = read_recorded(
        {"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": [series(gpu(0, Hostname="gpu-01"), list(millijoules))]}
    )
    assert telemetry.node_series[0].gpu_power_w == pytest.approx((200.0, 300.0, 200.0, 200.0, 200.0))
    assert any("power from the energy counter: 1 nodes" in note for note in telemetry.notes)


def test_utilisation_prefers_the_profiling_metric_and_temperature_is_the_hottest_gpus(read_recorded: Reader) -> None:
    telemetry = read_recorded(
        {
            "DCGM_FI_PROF_GR_ENGINE_ACTIVE": [series(gpu(0, Hostname="gpu-01"), [0.5] * 5)],
            "DCGM_FI_DEV_GPU_UTIL": [
                series(gpu(0, Hostname="gpu-01"), [99] * 5),
                series(gpu(0, Hostname="gpu-02.site"), [25] * 5),
            ],
            "DCGM_FI_DEV_GPU_TEMP": [
                series(gpu(0, Hostname="gpu-01"), [40, 41, 42, 43, 44]),
                series(gpu(1, Hostname="gpu-01"), [50, 40, 50, 40, 50]),
            ],
        }
    )
    first, second = telemetry.node_series
    assert first.utilisation == (0.5,) * 5
    assert first.temperature_c == (50.0, 41.0, 50.0, 43.0, 50.0)
    assert second.utilisation == (0.25,) * 5
    assert any("utilisation from DCGM_FI_DEV_GPU_UTIL: 1 nodes" in note for note in telemetry.notes)


def port(device: str, number: str = "1") -> dict[str, str]:
    return {"instance": "gpu-01:9100", "device": device, "port": number}


def test_infiniband_ports_become_links_with_throughput_and_waits(read_recorded: Reader) -> None:
    gigabytes = [float(60 * 10**9 * i) for i in range(6)]
    telemetry = read_recorded(
        {
            "node_infiniband_port_data_transmitted_bytes_total": [
                series(port("mlx5_0"), [20 * value for value in gigabytes]),
                series(port("mlx5_0", "2"), list(gigabytes)),
                series(port("mlx5_9"), list(gigabytes)),
            ],
            "node_infiniband_port_transmit_wait_total": [series(port("mlx5_0"), [0, 60, 180, 180, 180, 240])],
            "node_infiniband_rate_bytes_per_second": [
                series(port("mlx5_0"), [50e9]),
                series(port("mlx5_0", "2"), [25e9]),
            ],
        }
    )
    assert telemetry.links == (
        Link("gpu-01:mlx5_0", "gpu-01", "fabric", 50.0, kind="infiniband"),
        Link("gpu-01:mlx5_0:2", "gpu-01", "fabric", 25.0, kind="infiniband"),
    )
    assert telemetry.link_series == (
        LinkSeries("gpu-01:mlx5_0", 60.0, (20.0,) * 5, (1.0, 2.0, 0.0, 0.0, 1.0)),
        LinkSeries("gpu-01:mlx5_0:2", 60.0, (1.0,) * 5),
    )
    assert [record.path.rpartition(" ")[2] for record in telemetry.set_aside] == ["gpu-01:mlx5_9"]


def test_nvlink_traffic_is_the_sum_over_a_nodes_gpus_and_needs_a_known_link(read_recorded: Reader) -> None:
    rows = power(series(gpu(0, Hostname="gpu-01"), [100] * 5))
    rows["DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL"] = [series(gpu(i, Hostname="gpu-01"), [1e5] * 5) for i in range(2)]
    known = Link("gpu-01:nvlink", "gpu-01", "gpu-01:nvswitch", 3_600.0, kind="nvlink")
    telemetry = read_recorded(rows, links=(known,))
    assert telemetry.link_series[0].throughput_gb_per_s == pytest.approx((204.8,) * 5)
    assert telemetry.links == ()
    assert read_recorded(rows).link_series == ()


def test_hosts_that_are_no_nodes_are_reported_one_by_one_while_they_are_few(read_recorded: Reader) -> None:
    rows = [series(gpu(0, Hostname=f"stranger-{i:02d}"), [100] * 5) for i in range(25)]
    telemetry = read_recorded(power(series(gpu(0, Hostname="gpu-01"), [100] * 5), *rows))
    assert len(telemetry.set_aside) == 21
    assert "host 'stranger-00'" in telemetry.set_aside[0].path
    assert "5 more hosts" in telemetry.set_aside[-1].path


def test_gpus_and_nodes_without_series_are_noted(read_recorded: Reader) -> None:
    telemetry = read_recorded(power(series(gpu(0, Hostname="gpu-01"), [100] * 5)))
    assert any("1 of 2 nodes without any series" in note for note in telemetry.notes)
    assert any("gpu-01 1 of 2" in note for note in telemetry.notes)


def test_malformed_series_are_set_aside_and_the_rest_is_used(read_recorded: Reader) -> None:
    rows = power(
        series(gpu(0, Hostname="gpu-01"), [100] * 5),
        {"metric": {"Hostname": "gpu-01", "gpu": "1"}, "values": [[END, 100]]},
        {"metric": {"Hostname": "gpu-01", "gpu": "1"}, "values": [[1e300, "100"]]},
        {"metric": ["gpu-01"], "values": []},
    )
    telemetry = read_recorded({**rows, "DCGM_FI_DEV_GPU_TEMP": [series({"Hostname": "gpu-01"}, [40] * 5)]})
    assert len(telemetry.set_aside) == 3
    assert telemetry.node_series[0].gpu_power_w == (100.0,) * 5
    assert any("1 series without a label gpu or UUID or device dropped" in note for note in telemetry.notes)


def test_one_sample_is_read_by_an_instant_query(playing: Player) -> None:
    with playing(power(series(gpu(0, Hostname="gpu-01"), [100, 200, 300]))) as url:
        telemetry = read_series(url, NODES, range_s=60.0, step_s=60.0, end_s=END + 59.0)
    assert telemetry.end_s == END
    assert telemetry.node_series[0].gpu_power_w == (300.0,)


def test_a_server_without_series_of_the_nodes_is_a_bad_source(read_recorded: Reader) -> None:
    with pytest.raises(BadSource, match="series of at least one of 2 nodes, found none"):
        read_recorded(power(series(gpu(0, Hostname="elsewhere"), [100] * 5)))


def snapshot(*jobs: Job) -> Snapshot:
    return Snapshot(cluster="test", taken_at="2026-01-31T12:00:00Z", nodes=NODES, jobs=jobs)


def test_the_series_replace_the_old_ones_and_the_snapshot_stays_sound() -> None:
    old = Snapshot(
        cluster="test",
        taken_at="2026-01-31T12:00:00Z",
        nodes=NODES[:1],
        node_series=(NodeSeries("gpu-01", 60.0, (1.0,)),),
    )
    telemetry = Telemetry(
        end_s=END,
        node_series=(NodeSeries("gpu-01", 60.0, (300.0,)), NodeSeries("gpu-02.site", 60.0, (300.0,))),
        link_series=(LinkSeries("gpu-01:mlx5_0", 60.0, (1.0,)), LinkSeries("gpu-02.site:mlx5_0", 60.0, (1.0,))),
        links=tuple(Link(f"{node.id}:mlx5_0", node.id, "fabric", 50.0) for node in NODES),
    )
    new = with_series(old, telemetry)
    assert new.node_series == telemetry.node_series[:1]
    assert new.link_series == telemetry.link_series[:1]
    assert new.links == telemetry.links[:1]
    assert cross_check(new) == ()
    assert SNAPSHOT.validate_json(SNAPSHOT.dump_json(new)) == new


def running(identifier: str, *workers: Worker) -> Job:
    gpus = len(workers[0].gpus)
    return Job(id=identifier, workers=len(workers), gpus_per_worker=gpus, state="running", placement=workers)


def test_a_job_is_charged_for_its_gpus_and_not_for_the_idle_ones_beside_them() -> None:
    # gpu-01: one busy GPU of two at a mean of 360 W, the other idles at 60 W
    cluster = snapshot(
        running("half", Worker("gpu-01", (0,))),
        running("whole", Worker("gpu-02.site", (0, 1))),
        Job(id="waiting", workers=1, gpus_per_worker=1, state="pending"),
    )
    measured = measured_power(
        cluster, [NodeSeries("gpu-01", 60.0, (350.0, 370.0)), NodeSeries("gpu-02.site", 60.0, (500.0,))]
    )
    assert measured == {"half": 660.0, "whole": 500.0}


def test_jobs_on_nodes_without_power_series_are_left_out() -> None:
    cluster = snapshot(running("half", Worker("gpu-01", (0,))))
    assert measured_power(cluster, [NodeSeries("gpu-01", 60.0, utilisation=(0.5,))]) == {}
    assert measured_power(cluster, [NodeSeries("gpu-01", 60.0, (30.0,))]) == {}  # less than idling: implausible
