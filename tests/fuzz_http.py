"""What becomes of the service for programs when its bodies are made by somebody who means harm?

``python -m tests.fuzz_http --examples 2000 --seed 1`` asks the whole application, with its real workers, in three ways:

- ``openapi``: what schemathesis makes of the OpenAPI document, valid and not; the answers must be what it promises;
- ``mutated``: sound bodies with values replaced, removed, doubled or buried, or with bytes changed;
- ``hostile``: bodies that are known to harm parsers.

A finding is a status of 500 and above, an answer that is not what the document promises, or none within ``--seconds``
(10): a worker that crashed or had to be killed shows as 503. Refusals of what a body says are what should happen.
"""

import argparse
import gzip
import json
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from starlette.testclient import TestClient

from flows.service.app import Answers, application
from flows.service.forms import MESSAGES, STREAM
from flows.service.workers import Workers

HOST = "http://127.0.0.1"
SNAPSHOT = Path(__file__).resolve().parent.parent / "data" / "samples" / "small" / "cluster.json"
PATHS = ("/v1/tokens/route", "/v1/plans/verify", "/v1/snapshots/check", "/v1/transfers/schedule")
SCALARS: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 1e-99, 1e99, -1e99, 0.1, "", " ", "a", "\0",
    "\u00e9", "\u202e", "\U0010ffff", "../../etc/passwd", "/dev/zero", "'; rm -rf /", "<script>", "=1+1", "a" * 300,
    "9" * 30, [], {}, [[]], [None], {"": 0}, {"id": "a"}, "1e400", "nan", "-inf", "2026-01-01T00:00:00", "0" * 64,
)  # fmt: skip


@dataclass(slots=True)
class Tally:
    """What was seen.

    Args:
        statuses: how often, by way and status.
        findings: every one, in words.
        errors: how often, by kind, of answers of 500 and above.
        slowest_s: seconds that the slowest answer took.
    """

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0

    @property
    def inputs(self) -> int:
        """How many were tried."""
        return self.statuses.total()

    def judge(self, way: str, what: str, status: int, content: bytes, seconds: float) -> None:
        """Count an answer, and keep it where something is wrong with it."""
        self.statuses[way, status] += 1
        self.slowest_s = max(self.slowest_s, seconds)
        wrong = ""
        if status >= 500:
            wrong = f"status {status}"
            self.errors[json.loads(content)["error"] if _is_answer(status, content) else "unknown"] += 1
        elif not _is_answer(status, content):
            wrong = "not the JSON that is promised"
        if wrong:
            self.findings.append(f"{way}: {wrong}: {what[:300]} -> {content[:300]!r}")


def _is_answer(status: int, content: bytes) -> bool:
    try:
        told = json.loads(content, parse_constant=lambda _name: 1 / 0)
    except (ValueError, ZeroDivisionError):
        return False
    return isinstance(told, dict) and (status < 400 or {"error", "message", "problems"} == set(told))


def sound_bodies() -> dict[str, Any]:
    """Return a body for each path that is answered with 200."""
    from data.digest import PLAN, signed
    from data.digest import SNAPSHOT as STATE
    from data.readers.snapshot import read_snapshot
    from tasks.plan import assemble

    state = read_snapshot(SNAPSHOT).snapshot
    made = assemble(state, (), assumed_power=(), set_aside=(), notes=(), code_version="0", options="{}", seed=0)
    plan = PLAN.dump_python(signed(made), mode="json")
    graph = {"nodes": [{"id": f"e{i}", "kind": "expert", "capacity": 1.5, "domain": f"d{i % 2}"} for i in range(4)],
             "edges": [{"source": "e0", "target": "e1", "bandwidth": 400.0}]}  # fmt: skip
    uses = [{**each, "uses": ["rail0"], "round": 0} for each in MESSAGES if isinstance(each, dict)]
    return {
        "/v1/tokens/route": {"tokens": [*STREAM, {"id": 7, "metadata": {"source": "e0"}}], "model_graph": graph},
        "/v1/plans/verify": {"plan": plan, "snapshot": STATE.dump_python(state, mode="json")},
        "/v1/snapshots/check": json.loads(SNAPSHOT.read_bytes()),
        "/v1/transfers/schedule": {"transfers": uses, "rounds": 4, "planes": 2, "effort": "quick"},
    }


def hostile() -> Iterator[tuple[str, bytes, dict[str, str]]]:
    """Yield bodies that are known to harm parsers: name, octets, headers."""
    plain: dict[str, str] = {}
    yield "deep lists", b"[" * 1_000_000, plain
    yield "deep objects", b'{"tokens":' * 200_000, plain
    yield "deep and closed", b'{"tokens":' + b"[" * 500 + b"]" * 500 + b"}", plain
    yield "many empty lists", b'{"tokens":[' + b"[]," * 4_000_000 + b"[]]}", plain
    yield "many keys", b"{" + b",".join(b'"%d":0' % number for number in range(500_000)) + b"}", plain
    yield "the same key", b"{" + b",".join([b'"tokens":[]'] * 300_000) + b"}", plain
    yield "one long string", b'{"tokens":["' + b"a" * 10_000_000 + b'"]}', plain
    yield "one long escape", b'{"tokens":["' + b"\\u0000" * 1_000_000 + b'"]}', plain
    yield "quotes that never end", b'"' * 3_000_001, plain
    yield "backslashes that never end", b'"' + b"\\" * 3_000_001, plain
    yield "a number of a million digits", b'{"tokens":[' + b"9" * 1_000_000 + b"]}", plain
    yield "a float of a million digits", b'{"tokens":[0.' + b"1" * 1_000_000 + b"]}", plain
    yield "an exponent", b'{"tokens":[1e1000000000]}', plain
    for constant in (b"NaN", b"Infinity", b"-Infinity"):
        yield constant.decode(), b'{"tokens":["a"],"model_graph":{"num_experts":%s}}' % constant, plain
    yield "half a character", b'{"tokens":["\\ud800"],"model_graph":{"num_experts":2}}', plain
    yield "half a name", b'{"\\ud800":1}', plain
    yield "latin-1", '{"tokens":["ä"]}'.encode("latin-1"), plain
    yield "utf-16", '{"tokens":["a"]}'.encode("utf-16"), plain
    yield "utf-7", b'{"tokens":["+AGE-"]}', {"content-type": "application/json; charset=utf-7"}
    yield "a byte order mark", b"\xef\xbb\xbf{}", plain
    yield "null bytes", b"\0" * 10_000, plain
    yield "50 MB", b" " * 50_000_000, plain
    yield "15 MB of blanks", b" " * 15_000_000 + b"{}", plain
    yield "gzip that unpacks to 1 GB", gzip.compress(b"\0" * 10_000_000) * 100, {"content-encoding": "gzip"}
    yield "gzip, unannounced", gzip.compress(b"{}"), plain
    yield "a million experts", b'{"tokens":["a"],"model_graph":{"num_experts":1000000}}', plain
    yield "more experts", b'{"tokens":["a"],"model_graph":{"num_experts":1000001}}', plain
    yield "a form", b"tokens=a", {"content-type": "application/x-www-form-urlencoded"}
    yield "parts", b"--x\r\n\r\n--x--", {"content-type": "multipart/form-data; boundary=x"}
    yield "text", b'{"tokens":["a"]}', {"content-type": "text/plain"}
    yield "nothing", b"", plain


def mutated(body: Any, rng: np.random.Generator) -> bytes:
    """Return a sound body, changed in one to three places of its tree, or in its bytes."""
    if rng.random() < 0.2:
        octets = bytearray(json.dumps(body).encode())
        for _ in range(int(rng.integers(1, 4))):
            place = int(rng.integers(len(octets)))
            octets[place : place + int(rng.integers(3))] = rng.integers(
                0, 256, int(rng.integers(3)), np.uint8
            ).tobytes()
        return bytes(octets)
    changed = json.loads(json.dumps(body))
    for _ in range(int(rng.integers(1, 4))):
        _change(changed, rng)
    return json.dumps(changed).encode()


def _change(tree: Any, rng: np.random.Generator) -> None:
    """Change one place of a tree of lists and objects."""
    while True:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        if not keys:
            return
        key = keys[int(rng.integers(len(keys)))]
        if isinstance(tree[key], dict | list) and tree[key] and rng.random() < 0.85:
            tree = tree[key]
            continue
        match int(rng.integers(5)):
            case 0 | 1:
                tree[key] = SCALARS[int(rng.integers(len(SCALARS)))]
            case 2:
                del tree[key]
            case 3 if isinstance(tree, list):
                tree.append(tree[key])
            case 3:
                tree[f"{key}x"] = tree[key]
            case _:
                tree[key] = [tree[key]]
        return


def from_openapi(app: Any, examples: int, seed: int, tally: Tally) -> None:
    """Ask what schemathesis makes of the document: for each operation ``examples`` valid requests, and invalid ones."""
    import schemathesis
    from hypothesis import HealthCheck, given, settings
    from hypothesis import seed as seeded
    from hypothesis.errors import Unsatisfiable
    from schemathesis.core.failures import FailureGroup
    from schemathesis.generation import GenerationMode
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    document = schemathesis.openapi.from_asgi("/openapi.json", app, headers={"host": "127.0.0.1"})
    for result in document.get_all_operations():
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @seeded(seed)
            @settings(max_examples=examples, database=None, deadline=None, suppress_health_check=list(HealthCheck))
            @given(case=result.ok().as_strategy(mode))
            def ask(case: Any) -> None:
                begun = time.monotonic()
                answer = case.call(base_url=HOST)
                what = f"{case.method} {case.path} {case.body!r}"
                tally.judge("openapi", what, answer.status_code, answer.content, time.monotonic() - begun)
                try:
                    # what a document can say of a body is less than what its records must not contradict
                    case.validate_response(answer, excluded_checks=[positive_data_acceptance])
                except FailureGroup as failed:
                    words = "; ".join(str(each) for each in failed.exceptions)
                    tally.findings.append(f"openapi: {what[:300]} -> {words[:600]}")

            try:
                ask()
            except Unsatisfiable:  # nothing invalid can be said to an operation without parameters
                continue


def fuzz(
    answers: Answers, examples: int, seed: int, *, heavy: bool = True, told: Callable[[str], None] = print
) -> Tally:
    """Ask in all three ways.

    Args:
        answers: who answers the bodies.
        examples: requests of each kind for each operation.
        seed: of the examples.
        heavy: whether bodies of megabytes are among them.
        told: is told what was done.
    """
    app, tally = application(answers), Tally()
    client = TestClient(app, base_url=HOST, raise_server_exceptions=False)
    bodies = sound_bodies()
    for path in PATHS:
        answer = client.post(path, json=bodies[path])
        tally.judge("sound", path, answer.status_code, answer.content, 0.0)
        if answer.status_code != 200:
            tally.findings.append(f"{path}: a sound body is refused: {answer.text[:300]}")
    for name, octets, headers in hostile():
        if len(octets) > 100_000 and not heavy:
            continue
        for path in PATHS:
            _post(client, "hostile", name, path, octets, headers, tally)
    told(f"{tally.inputs} sound and hostile bodies")
    rng = np.random.default_rng(seed)
    for number in range(examples * len(PATHS)):
        path = PATHS[number % len(PATHS)]
        _post(client, "mutated", "", path, mutated(bodies[path], rng), {}, tally)
    told(f"{tally.inputs} with mutated bodies")
    from_openapi(app, examples, seed, tally)
    return tally


def _post(
    client: TestClient, way: str, name: str, path: str, octets: bytes, headers: dict[str, str], tally: Tally
) -> None:
    begun = time.monotonic()
    answer = client.post(path, content=octets, headers={"content-type": "application/json", **headers})
    what = f"{path} {name or octets.decode(errors='replace')}"
    tally.judge(way, what, answer.status_code, answer.content, time.monotonic() - begun)


def main(argv: list[str] | None = None) -> int:
    """Ask, and print the figures; the status is 1 where there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=200, help="of each way, for each operation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0, help="that an answer may take")
    options = parser.parse_args(argv)
    warnings.simplefilter("ignore")  # schemathesis's own
    begun = time.monotonic()
    with Workers(1, options.seconds, wait_s=60.0) as workers:
        tally = fuzz(workers, options.examples, options.seed)
    for (way, status), count in sorted(tally.statuses.items()):
        print(f"{way:8} {status} {count:8,}")
    for finding in tally.findings[:50]:
        print("FINDING", finding)
    print(
        f"{tally.inputs:,} inputs, {len(tally.findings)} findings; workers that crashed {tally.errors['WorkerLost']}, "
        f"that hung {tally.errors['TooLong']}, answers of 5xx {tally.errors.total()}; "
        f"slowest {tally.slowest_s:.2f} s, {time.monotonic() - begun:.0f} s in all"
    )
    return int(bool(tally.findings))


if __name__ == "__main__":
    raise SystemExit(main())
