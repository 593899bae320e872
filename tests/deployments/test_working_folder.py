"""The folder of a worker is the one that its environment names, or it says what to set."""

from pathlib import Path

import pytest

from deployments.working_folder import VARIABLE, enter_root


@pytest.fixture(autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in another folder, and come back after the test."""
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    monkeypatch.delenv("PREFECT__FLOW_RUN_ID", raising=False)


def test_the_folder_is_entered_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert enter_root() == {"directory": str(tmp_path)}
    assert Path.cwd() == tmp_path


@pytest.mark.parametrize(("named", "found"), [("", "found nothing"), (".", r"found '\.'"), ("/no/such", "found '/no")])
def test_anything_but_a_whole_path_of_a_folder_is_refused(
    named: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, named)
    before = Path.cwd()
    with pytest.raises(ValueError, match=rf"QUANTUMFLOW_ROOT: expected the whole path .* {found}"):
        enter_root()
    assert Path.cwd() == before


def test_a_missing_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(ValueError, match="QUANTUMFLOW_ROOT"):
        enter_root()
