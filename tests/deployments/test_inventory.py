"""The inventory names what is pinned; an audit that could not ask never says that all is well."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from deployments.inventory import FOUND, NOT_ASKED, NOT_WRITTEN, Audit, main, told

pytest.importorskip("cyclonedx_py", reason="cyclonedx-bom is not installed (the extra audit)")
pytest.importorskip("pip_audit", reason="pip-audit is not installed (the extra audit)")


@pytest.fixture(scope="module")
def pinned(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pinned") / "constraints.txt"
    path.write_text("left==1.2\nright==3.4\n")
    return path


@pytest.fixture(scope="module")
def service():
    """A service on loopback that speaks OSV and knows one hole, of ``left``; returns its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fixed = {
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.3"}]}],
                "versions": ["1.2"],
            }
            package = {"name": "left", "ecosystem": "PyPI", "purl": "pkg:pypi/left"}
            hole = {"id": "TEST-1", "details": "a hole", "aliases": [], "affected": [{"package": package, **fixed}]}
            body = json.dumps({"vulns": [hole]} if asked["package"]["name"] == "left" else {}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_told: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()
        thread.join()


def test_the_inventory_names_what_is_pinned_and_the_audit_its_hole(pinned, service, tmp_path, capsys):
    command = ["--output", str(tmp_path / "sbom.json"), "--requirements", str(pinned), "--osv-url", service]
    assert main(command) == FOUND
    document = json.loads((tmp_path / "sbom.json").read_text())
    assert document["bomFormat"] == "CycloneDX"
    assert {(part["name"], part["version"]) for part in document["components"]} == {("left", "1.2"), ("right", "3.4")}
    assert document["metadata"]["component"]["name"] == "quantumflow"
    assert "left 1.2: TEST-1, mended in 1.3" in capsys.readouterr().out


def test_a_service_that_does_not_answer_is_no_good_news(pinned, tmp_path, capsys):
    nobody = "http://127.0.0.1:9/v1/query"
    command = ["--output", str(tmp_path / "sbom.json"), "--requirements", str(pinned), "--osv-url", nobody]
    assert main(command) == NOT_ASKED
    assert "could not be asked for" in capsys.readouterr().out
    assert (tmp_path / "sbom.json").is_file()


def test_packages_that_a_service_skips_are_no_good_news_either():
    said = told(Audit(0, unknown=("x: not found",), why="the service answered for no package"))
    assert "nothing is known of holes" in said


def test_an_inventory_that_cannot_be_written_is_told_apart(pinned, tmp_path, capsys):
    command = ["--output", str(tmp_path / "no" / "sbom.json"), "--requirements", str(pinned), "--offline"]
    assert main(command) == NOT_WRITTEN
    assert "could not be written" in capsys.readouterr().err
