"""SECURITY.md names a test for each threat: each of them exists, and none of ours is left out."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)


def test_every_threat_names_its_test():
    rows = PAGE.partition("## Threats")[2].partition("\n## ")[0].splitlines()[4:]
    rows = [row for row in rows if row.startswith("|")]
    assert len(rows) > 30
    assert all(re.search(r"`tests/", row.split("|")[3]) for row in rows)


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[f"{path}::{name}" for path, name in NAMED])
def test_each_named_test_exists(path, name):
    text = (ROOT / path).read_text(encoding="utf-8")
    assert not name or f"\ndef {name}(" in text


def test_every_file_of_security_tests_is_named():
    ours = {f"tests/security/{path.name}" for path in (ROOT / "tests" / "security").glob("test_*.py")}
    assert ours - {path for path, _ in NAMED} == {"tests/security/test_threat_model.py"}


@pytest.mark.parametrize("variable", sorted(set(re.findall(r"`(QUANTUMFLOW_[A-Z_]+)`", PAGE))))
def test_each_setting_is_read_by_something(variable):
    assert any(f'"{variable}"' in path.read_text(encoding="utf-8") for path in (ROOT / "flows").glob("*.py")) or any(
        f'"{variable}"' in path.read_text(encoding="utf-8") for path in (ROOT / "tasks").rglob("*.py")
    )


@pytest.mark.parametrize("page", sorted(set(re.findall(r"`(deployments/[A-Z]+\.md)`", PAGE))))
def test_each_page_that_is_named_is_there(page):
    assert (ROOT / page).is_file()
