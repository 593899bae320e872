"""The service for programs answers what the functions answer, and says in their words what is wrong with a body.

The application runs in this process; tests/system/test_http_live.py asks the real one with its workers.
"""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from data.digest import PLAN, SNAPSHOT, signed
from data.readers.snapshot import read_snapshot
from data.schemas.cluster import Snapshot
from data.schemas.plan import Plan, Recap
from data.schemas.transfers import ROUND_SCHEDULE
from flows.service.answers import answer
from flows.service.app import application
from flows.service.forms import GRAPH, MESSAGES, STREAM, PlanAnswer, SnapshotAnswer, TokensAnswer
from flows.service.refusals import Answer
from tasks.plan import assemble

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "samples" / "small" / "cluster.json"
TOKENS = {"tokens": STREAM, "model_graph": GRAPH}
SECRET = "a-token-of-23-characters"  # noqa: S105  # of a test


class Here:
    """Answers in this process."""

    count = 1
    free = 1

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, kind: str, body: bytes) -> Answer:
        return answer(kind, body, self.folder)


@pytest.fixture(scope="module", autouse=True)
def prefect_server() -> None:
    """None, unlike for the tests of flows: nothing here runs one."""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Here:
    return Here(tmp_path_factory.mktemp("bodies"))


@pytest.fixture(scope="module")
def client(here: Here) -> TestClient:
    return TestClient(application(here, max_bytes=1 << 20), base_url="http://127.0.0.1")


@pytest.fixture(scope="module")
def state() -> Snapshot:
    return read_snapshot(SAMPLE).snapshot


@pytest.fixture(scope="module")
def plan(state: Snapshot) -> Plan:
    made = assemble(state, (), assumed_power=(), set_aside=(), notes=(), code_version="0", options="{}", seed=0)
    return signed(made)


def verified(client: TestClient, plan: Plan, state: Snapshot) -> Any:
    body = b'{"plan": %b, "snapshot": %b}' % (PLAN.dump_json(plan), SNAPSHOT.dump_json(state))
    return client.post("/v1/plans/verify", content=body, headers={"content-type": "application/json"})


def problems(answer: Any) -> set[tuple[str, str, str]]:
    return {(each["place"], each["expected"], each["found"]) for each in answer.json()["problems"]}


def test_tokens_are_routed_as_the_function_routes_them(client: TestClient) -> None:
    told = client.post("/v1/tokens/route", json=TOKENS)
    assert told.status_code == 200
    routed = TypeAdapter(TokensAnswer).validate_json(told.content)
    assert sorted(token for queue in routed.experts.values() for token in queue) == ["t1", "t2", "t3"]
    assert client.post("/v1/tokens/route", json=TOKENS).content == told.content


def test_a_wrong_token_is_set_aside_and_named(client: TestClient) -> None:
    told = client.post("/v1/tokens/route", json={**TOKENS, "tokens": ["a", {"token_id": "b", "complexity": -1}]})
    assert told.json()["left_out"] == 1
    assert "tokens: token 1.complexity: expected a number above 0" in told.json()["set_aside"][0]


def test_every_field_that_is_wrong_is_named(client: TestClient) -> None:
    told = client.post("/v1/tokens/route", json={"tokens": ["a", 1.5], "method": "magic", "speed": 9})
    assert told.status_code == 422
    assert problems(told) == {
        ("body: tokens[1]", "an id or an object", "1.5"),
        ("body: model_graph", "a value", "nothing"),
        ("body: method", "'hash' or 'bounded-hash'", "'magic'"),
        ("body: speed", "a field of the form", "one of another name"),
    }


def test_a_graph_that_is_wrong_is_told_in_the_readers_words(client: TestClient) -> None:
    told = client.post("/v1/tokens/route", json={**TOKENS, "model_graph": {"nodes": [{"id": "a b"}], "edges": []}})
    assert told.status_code == 422
    assert problems(told) == {("model_graph: nodes[0].id", "a name of its own without spaces", "{'id': 'a b'}")}


def test_a_plan_is_verified_against_its_snapshot(client: TestClient, plan: Plan, state: Snapshot) -> None:
    told = verified(client, plan, state)
    assert told.status_code == 200
    verdict = TypeAdapter(PlanAnswer).validate_json(told.content)
    assert verdict.passed
    assert verdict.plan_sha256 == plan.sha256
    assert verdict.checks


def test_a_plan_that_lies_does_not_pass(client: TestClient, plan: Plan, state: Snapshot) -> None:
    lies = signed(replace(plan, actions=(Recap("no-such-job", None, 500.0, "", 1.0),)))
    told = verified(client, lies, state)
    assert told.status_code == 200
    assert not told.json()["passed"]
    assert any("no-such-job" in check["detail"] for check in told.json()["checks"] if not check["passed"])


def test_an_altered_or_stale_plan_is_refused(client: TestClient, plan: Plan, state: Snapshot) -> None:
    altered = verified(client, replace(plan, seed=7), state)
    assert altered.status_code == 422
    assert altered.json()["message"].startswith("plan: expected sha256 ")
    stale = verified(client, plan, replace(state, cluster="another"))
    assert stale.json()["error"] == "PlanRefused"
    assert stale.json()["message"].startswith("stale plan")


def test_a_snapshot_is_checked_record_by_record(client: TestClient) -> None:
    document = json.loads(SAMPLE.read_text())
    sound = client.post("/v1/snapshots/check", json=document)
    assert TypeAdapter(SnapshotAnswer).validate_json(sound.content).passed
    document["jobs"][3]["workers"] = -1
    told = client.post("/v1/snapshots/check", json=document).json()
    assert not told["passed"]
    assert [each["place"] for each in told["problems"]] == ["snapshot: jobs[3].workers"]
    assert told["jobs"] == sound.json()["jobs"] - 1


def test_messages_are_scheduled_in_rounds(client: TestClient) -> None:
    told = client.post("/v1/transfers/schedule", json={"transfers": MESSAGES})
    schedule = ROUND_SCHEDULE.validate_json(told.content)
    assert schedule.optimal
    assert {part.transfer for each in schedule.rounds for part in each.parts} == {0, 1}
    refused = client.post("/v1/transfers/schedule", json={"transfers": [{"source": "a", "target": "a"}]})
    assert problems(refused) == {("transfers: transfers[0].target", "another end than a", "a")}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"tokens": ["a"], "tokens": ["b"]}', "JSON"),
        (b'{"tokens": [NaN]}', "JSON, which has neither NaN nor Infinity"),
        (b'{"seed": 1e999}', "numbers of at most 39 digits, with exponents of at most two"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "numbers of at most 39 digits, with exponents of at most two"),
        (b"[" * 100_000, "at most 64 levels of lists and objects"),
        (b'{"a":' * 1000 + b"1" + b"}" * 1000, "at most 64 levels of lists and objects"),
        ('{"tokens": ["ä"]}'.encode("latin-1"), "UTF-8"),
        ('{"tokens": ["a"]}'.encode("utf-16"), "UTF-8"),
        (b"", "JSON"),
        (b"tokens=a", "JSON"),
        (b"\xef\xbb\xbf{}", "UTF-8 without a byte order mark"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/tokens/route", "/v1/snapshots/check"])
def test_what_is_not_json_is_refused_before_it_is_parsed(
    client: TestClient, path: str, body: bytes, expected: str
) -> None:
    told = client.post(path, content=body, headers={"content-type": "application/json"})
    assert told.status_code == 400
    assert [each["expected"] for each in told.json()["problems"]] == [expected]


def test_text_may_look_like_anything(client: TestClient) -> None:
    odd = '[[[NaN 1e999 "\\' + "[" * 100
    told = client.post("/v1/tokens/route", json={**TOKENS, "tokens": [odd]})
    assert odd in [token for queue in told.json()["experts"].values() for token in queue]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "application/json; charset=latin-1"}, 415),
        ({"content-encoding": "gzip"}, 415),
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example:80"}, 421),
        ({"origin": "http://127.0.0.1"}, 403),
        ({"content-length": "50000000"}, 413),
    ],
)
def test_the_door_keeps_out_what_is_not_in_order(client: TestClient, headers: dict[str, str], status: int) -> None:
    told = client.post(
        "/v1/tokens/route", content=json.dumps(TOKENS).encode(), headers={"content-type": "application/json", **headers}
    )
    assert told.status_code == status
    assert set(told.json()) == {"error", "message", "problems"}
    assert "access-control-allow-origin" not in told.headers


def test_a_body_that_grows_beyond_the_limit_is_refused(client: TestClient) -> None:
    pieces = (b"x" * 65_536 for _ in range(100))  # without a length
    told = client.post("/v1/tokens/route", content=pieces, headers={"content-type": "application/json"})
    assert told.status_code == 413


def test_a_preflight_is_not_answered(client: TestClient) -> None:
    asked = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    assert client.options("/v1/tokens/route", headers=asked).status_code == 403


def test_with_a_token_only_the_probe_is_open(here: Here) -> None:
    client = TestClient(application(here, token=SECRET), base_url="http://localhost:4280")
    assert client.get("/health").status_code == 200
    for header in ({}, {"authorization": "Bearer other"}, {"authorization": f"Basic {SECRET}"}):
        refused = client.post("/v1/tokens/route", json=TOKENS, headers=header)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
    client.headers["authorization"] = f"Bearer {SECRET}"
    assert client.post("/v1/tokens/route", json=TOKENS).status_code == 200
    assert client.get("/v1/version").status_code == 200


def test_no_message_names_a_folder(client: TestClient, here: Here, plan: Plan, state: Snapshot) -> None:
    bodies = ({"plan": {}, "snapshot": {}}, {"plan": PLAN.dump_python(plan, mode="json"), "snapshot": {"nodes": 1}})
    told = [client.post("/v1/plans/verify", json=body).text for body in bodies]
    told.append(client.post("/v1/snapshots/check", json=[]).text)
    told.append(client.post("/v1/transfers/schedule", json={"transfers": MESSAGES}).text)
    assert str(here.folder) not in "".join(told)


def test_the_formats_are_served_as_they_are_published(client: TestClient) -> None:
    folder = SAMPLE.parents[2] / "schemas"
    for name in ("plan", "snapshot", "rounds"):
        assert client.get(f"/v1/schemas/{name}").json() == json.loads((folder / f"{name}.json").read_text())
    assert client.get("/v1/schemas/secrets").status_code == 422


def test_the_page_tells_each_request_and_each_status(client: TestClient) -> None:
    page = (SAMPLE.parents[3] / "deployments" / "HTTP.md").read_text(encoding="utf-8")
    paths = client.get("/openapi.json").json()["paths"]
    told = dict(re.findall(r"^\| `POST (/v1/\S+)` \| (.*?) \|", page, re.M))
    assert set(told) == {path for path, ways in paths.items() if "post" in ways}
    for path, body in told.items():
        if "…" not in body and body.startswith("`{"):
            assert client.post(path, json=json.loads(body.strip("`"))).status_code == 200
    rows = re.findall(r"^\| (\d{3}(?:, \d{3})*) \|", page, re.M)
    statuses = {status for row in rows for status in row.split(", ")}
    assert statuses == {status for way in paths.values() for status in way.get("post", {}).get("responses", {})} - {
        "200"
    }
