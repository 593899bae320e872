"""What a run says while it works: one line for each decision, with ids, without secrets, whatever jobs are called."""

import errno
import io
import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import BadRecord, BadSource
from data.readers.plan import read_plan
from data.readers.reading import Reading
from data.readers.snapshot import read_snapshot, write_snapshot
from data.readers.sources import Sample
from data.schemas.cluster import Limits, Node, Snapshot
from data.schemas.job import Job, Worker
from data.schemas.plan import Bound, Fallback, SolverRow
from flows import decided
from flows.cluster import optimize_cluster
from flows.logs import EVENTS, FILE, FORMAT, LONGEST, MOST, Line, RunLog, run_log
from flows.masked import MASK, masked, secrets_of
from flows.params import OptimizeParams
from flows.run_folder import PLAN, run_folder
from qiskit_solvers.exact import Exact
from tasks.refine import Effort

HOSTILE = 'evil\n{"event": "run.finished"}\r\x1b[2J\u2028\u202e'


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def run(output: Path, snapshot: Path) -> Path:
    """Plan with little effort for a cluster of which every draw is known, so that nothing has to be learnt."""
    effort = Effort(evaluations=2_000, rounds=1, window=6, patience=1)
    fields = {"source": {"kind": "snapshot", "path": snapshot}, "custom_effort": effort, "output": output}
    return Path(optimize_cluster(OptimizeParams.model_validate(fields | {"solver": Exact(), "nouns": ("placement",)})))


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with two nodes, a job that runs on both, and one that waits."""
    nodes = tuple(Node(name, "GB200", 4, name, "rack", 200.0, 1200.0, 60.0, 500.0) for name in ("east", "west"))
    spread = (Worker("east", (0, 1)), Worker("west", (0, 1)))
    jobs = (
        Job("red", 2, 2, "running", spread, traffic_gb_per_s=40.0, checkpoint_gb=10.0, gpu_power_w=900.0),
        Job("later", 1, 2, "pending", gpu_power_w=900.0),
    )
    path = tmp_path_factory.mktemp("state") / "cluster.json"
    limits = Limits(migration_budget_gpus=8)
    write_snapshot(Snapshot("pair", "2026-01-31T12:00:00+00:00", nodes, jobs, limits=limits), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, state: Path) -> Path:
    """The folder of a run whose lines also went to a file."""
    runs = tmp_path_factory.mktemp("logs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FILE, str(runs / "all.jsonl"))
        return run(runs, state)


def test_a_run_tells_what_it_decided_in_order(folder: Path) -> None:
    events = [line["event"] for line in lines_of(folder / EVENTS) if line["event"] != "phase.entered"]
    wanted = ["run.started", "snapshot.read", "forecast.made", "problem.refined", "plan.assembled", "plan.validated"]
    assert [event for event in events if event in wanted] == wanted
    assert events[-1] == "run.finished"


def test_every_line_names_the_run_and_the_snapshot_and_the_plan_once_they_are_known(folder: Path) -> None:
    plan = read_plan(folder / PLAN)
    lines = lines_of(folder / EVENTS)
    assert all(line["run"] == folder.name and line["flow_run"] and line["flow"] == "optimize-cluster" for line in lines)
    known = [line["event"] for line in lines].index("snapshot.read")
    assert all(line["snapshot"] == plan.snapshot_sha256[:12] for line in lines[known:])
    made = [line["event"] for line in lines].index("plan.assembled")
    assert all(line["plan"] == plan.sha256[:12] for line in lines[made:])
    assert not any("plan" in line for line in lines[:made])


def test_the_lines_agree_with_the_plan(folder: Path) -> None:
    plan = read_plan(folder / PLAN)
    by_event = {line["event"]: line for line in lines_of(folder / EVENTS)}
    chosen = next(row for row in plan.solvers if row.chosen)
    assert by_event["problem.refined"]["solver"] == chosen.method
    assert by_event["problem.refined"]["cost"] == chosen.cost
    assert by_event["plan.assembled"]["actions"] == len(plan.actions)
    assert by_event["run.finished"]["files"] == str(folder.resolve())


def test_lines_also_go_to_the_end_of_a_file(folder: Path) -> None:
    told = lines_of(folder.parent / "all.jsonl")
    assert [line["event"] for line in told[-3:]] == [line["event"] for line in lines_of(folder / EVENTS)[-3:]]


def test_a_failed_run_says_in_which_phase_and_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FILE, str(tmp_path / "all.jsonl"))
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(BadSource):
        run(tmp_path / "runs", tmp_path / "bad.json")
    last = lines_of(tmp_path / "all.jsonl")[-1]
    assert (last["event"], last["error"], last["phase"]) == ("run.failed", "BadSource", "ingest")
    assert list((tmp_path / "runs").iterdir()) == []


def test_prefect_shows_the_same_lines(caplog: pytest.LogCaptureFixture, tmp_path: Path, state: Path) -> None:
    logging.getLogger("prefect").setLevel(logging.INFO)
    caplog.set_level(logging.INFO, "prefect.flow_runs")
    logger = logging.getLogger("prefect.flow_runs")
    logger.addHandler(caplog.handler)
    try:
        folder = run(tmp_path, state)
    finally:
        logger.removeHandler(caplog.handler)
    told = [record.getMessage() for record in caplog.records if record.name == "prefect.flow_runs"]
    plan = read_plan(folder / PLAN)
    assert any(f"plan {plan.sha256[:12]}" in line and line.startswith("plan.validated: passes") for line in told)


def test_json_goes_to_standard_error_where_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    for form, lines in (("json", 2), ("text", 0), ("", 0)):
        with run_log("trial", {FORMAT: form}) as log:
            log.tell(Line("trial", "hello", {"watts": float("inf"), "jobs": ["a"] * (MOST + 5)}))
        said = capsys.readouterr().err.splitlines()
        assert len(said) == lines
        if said:
            first = json.loads(said[0])
            assert first["watts"] == "inf"
            assert first["jobs"][-1] == "and 5 more"


def test_an_unknown_format_and_a_file_that_cannot_be_written_end_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "target"
    target.write_text("")
    (tmp_path / "link").symlink_to(target)
    for name, path in (("folder", tmp_path), ("link", tmp_path / "link"), ("missing", tmp_path / "no" / "file")):
        with run_log("trial", {FORMAT: "json", FILE: str(path)}):
            pass
        first = json.loads(capsys.readouterr().err.splitlines()[0])
        assert (first["event"], first["level"]) == ("log.setting", "warning"), name
    assert target.read_text() == ""
    with run_log("trial", {FORMAT: "jsno", FILE: str(target)}):
        pass
    assert "found 'jsno'" in lines_of(target)[0]["message"] or "run.finished" in target.read_text()


class FullDisk(io.StringIO):
    """A file of a disk without room."""

    def write(self, text: str, /) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_ends_no_run_and_silences_nobody_else() -> None:
    other = io.StringIO()
    RunLog({}, [FullDisk(), other], ()).tell(Line("trial", "hello"))
    assert json.loads(other.getvalue())["message"] == "hello"


@given(text=st.text(max_size=200), name=st.text(max_size=50))
def test_no_text_breaks_a_line_or_steers_a_terminal(text: str, name: str) -> None:
    written = io.StringIO()
    log = RunLog({}, [written], ())
    log.know(cluster=name)
    log.tell(Line("trial", text, {"job": text, "jobs": [text, name]}))
    line = written.getvalue()
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    assert line.isascii()
    assert len(json.loads(line)["message"]) <= LONGEST


def test_hostile_names_stay_inside_their_line(tmp_path: Path) -> None:
    record = BadRecord(f"cluster.json: jobs[3].{HOSTILE}", "a job", HOSTILE)
    with run_log("trial", {}) as log, run_folder(tmp_path) as folder:
        log.write_into(folder)
        snapshot = Snapshot("evil", "2026-01-01T00:00:00", ())
        log.tell(*decided.read(Reading(snapshot, (record,))))
    lines = lines_of(folder.final / EVENTS)
    assert [line["event"] for line in lines] == ["snapshot.read", "record.set_aside", "run.finished"]


SECRETS = (
    "https://admin:{}@prometheus.example/api",
    "redis://default:ab/{}@h:1/0",
    "amqp://u:p#{}@h",
    "amqp://u:{}?p@h",
    "https://u:p@{}@h/api",
    "redis://:a/{}@h",
    "postgresql+asyncpg://prefect:{}@db/prefect?ssl=on",
    "PREFECT_API_AUTH_STRING=admin:{}",
    '{{"password": "{}"}}',
    "token: {}",
    "Authorization: Bearer {}",
    "Authorization: Basic {}",
    "Authorization: Token {}",
    "Proxy-Authorization: Negotiate {}",
    "authorization: ApiKey {}",
    "Authorization: OurOwn {}",
    'Authorization: Digest username="me", response="{}"',
    '{{"Authorization": "Token {}"}}',
    "token: Bearer {}",
    "x-auth-token: Token {}",
    "x-api-key: {}",
    '{{"accessToken": "{}", "expires": 3600}}',
    "clientSecret={}",
    "secretKey={}",
    "PGPASSWORD={}",
    "dbpassword={}",
    "password=not.{}",
    "a\\npassword={}",
    '{{"password": "abc\\"{}"}}',
    '{{"password": "abc\\\\", "token": "{}"}}',
    '{{\\"password\\": \\"abc\\\\\\"{}\\"}}',
    "password=b'{}'",
    "called with --api-key={} twice",
    "https://h/login?next=/a&access_token={}&page=2",
    "pnu_{}AAAAAAAAAAAA",
)


@pytest.mark.parametrize("form", SECRETS)
def test_what_looks_like_a_secret_is_masked(form: str) -> None:
    secret = "hunter2hunter2"  # noqa: S105 - nobody's
    told = masked(f"cannot ask {form.format(secret)}: refused")
    assert secret not in told
    assert MASK in told
    assert told.endswith("refused")


def test_plain_lines_stay_as_they_are() -> None:
    for line in (
        "32 tokens on 8 experts: basic colouring of 4 planes",
        "https://prometheus.example/api/v1/query?query=up",
        "https://git.example/actions/checkout@v4",
        "http://127.0.0.1:4200/api is asked by platform@example.org",
        "jobs[3].workers: expected GPUs of one node, found 5",
        "who: platform@example.org",
        "a token bucket: 3 of 5 left",
        "tokens: 4096, max_tokens=4096",
        "password: expected a string",
        "token: not set",
        "token=None, automountServiceAccountToken: false",
        "token_variable: PROMETHEUS_TOKEN holds no token",
        "password_file=/run/secrets/prometheus",
        "authorization: required",
    ):
        assert masked(line) == line


def test_a_secret_that_was_cut_within_its_quotes_is_masked_to_the_end() -> None:
    assert masked('{"user": "me", "password": "hunter2 hun') == f'{{"user": "me", "password": {MASK}'


def test_what_stands_around_a_secret_stays() -> None:
    assert masked('{"token": "a\\"b", "user": "me"}') == f'{{"token": {MASK}, "user": "me"}}'
    assert masked("PGPASSWORD=abc psql -h db") == f"PGPASSWORD={MASK} psql -h db"
    assert masked(masked("Authorization: Token abc123 was refused")) == f"Authorization: {MASK} was refused"


def test_passwords_and_addresses_of_the_environment_are_masked_however_they_are_written() -> None:
    hook = "https://hooks.example/services/T000/B000/XXXX"
    found = secrets_of(
        {
            "PREFECT_SERVER_DOCKET_URL": "redis://default:ab/cdefgh@h:1/0",
            "BROKERS": "amqp://u:first1@a,amqp://u:second@b",
            "QUANTUMFLOW_NOTIFY_URL": hook,
            "QUANTUMFLOW_WEBHOOK_URL": hook + "/2",
        }
    )
    told = masked(f"ab/cdefgh, first1, {hook}, {hook}/2, cannot reach h", found)
    assert told == f"{MASK}, {MASK}, {MASK}, {MASK}, cannot reach h"


@pytest.mark.parametrize(
    "part",
    ["a://:", "a", "a.", "token-", "token=", "token ", "token\\", 'password="', "password='\\\"", "authorization: ",
     "authorization: a", "authorization: digest a=,", "key=a,", "bearer ", "xsecretkey_file"],
)  # fmt: skip
def test_a_long_line_is_masked_at_once(part: str) -> None:
    for start in ("", "password=", "authorization: digest "):
        began = time.perf_counter()
        masked(start + part * 20_000)
        assert time.perf_counter() - began < 5.0


def test_secrets_of_the_environment_are_masked_wherever_they_stand() -> None:
    found = secrets_of(
        {
            "PREFECT_API_AUTH_STRING": "admin:correct-horse",
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql+asyncpg://u:battery%21staple@db/x",
            "GITHUB_TOKEN": "abc",
            "PATH": "/usr/bin",
        }
    )
    told = masked("wrong: correct-horse, battery!staple, battery%21staple, abc, /usr/bin", found)
    assert told == f"wrong: {MASK}, {MASK}, {MASK}, abc, /usr/bin"


def test_a_secret_reaches_no_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environment = {FORMAT: "json", "PREFECT_API_KEY": "s3cr3t-value"}

    def fail() -> None:
        with run_log("trial", environment) as log, run_folder(tmp_path) as folder:
            log.write_into(folder)
            log.know(cluster="s3cr3t-value")
            raise ValueError("https://me:s3cr3t-value@prometheus refused s3cr3t-value")

    with pytest.raises(ValueError, match="s3cr3t"):
        fail()
    said = capsys.readouterr().err
    assert "run.failed" in said
    assert "s3cr3t" not in said


def test_what_was_read_and_decided_is_told_with_figures() -> None:
    reading = read_snapshot(Sample().folder / "cluster.json")
    first, *rest = decided.read(Reading(reading.snapshot, tuple(BadRecord(f"x{i}", "a", "b") for i in range(30))))
    assert first.fields["nodes"] == len(reading.snapshot.nodes)
    assert first.fields["set_aside"] == 30
    assert len(rest) == decided.MOST_SET_ASIDE + 1
    assert "20 more" in rest[-1].message
    rows = (
        SolverRow("power", "incumbent", 100.0, 0, 0, 0, chosen=False),
        SolverRow("power", "qaoa on windows", 80.0, 9, 3, 2, chosen=True),
    )
    told = list(
        decided.refined(rows, (Bound("power", 64.0, 0.25, "x"),), (Fallback("refine", "qaoa", "anneal", "dead"),))
    )
    assert [line.event for line in told] == ["problem.refined", "fallback"]
    assert told[0].fields["gain"] == 20.0
    assert "20.0 % less" in told[0].message
    assert "at most 20.0 %" in told[0].message
    assert "anneal instead of qaoa: dead" in told[1].message
    assert list(decided.archived((), ())) == []
    told = list(decided.archived((), (BadRecord("checkpoints: c0", "a file", "nothing"),)))
    assert [(line.event, line.level) for line in told] == [
        ("checkpoints.archived", "info"), ("record.set_aside", "warning")
    ]  # fmt: skip
