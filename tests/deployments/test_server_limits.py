"""What becomes of the limit that lets one plan be applied at a time, when a person has set it otherwise?"""

from types import SimpleNamespace

import pytest

from deployments.provision import INCOMPLETE
from deployments.server_objects import limits


class Server:
    """A client of a server whose limit is as given; it keeps what it is told to change."""

    def __init__(self, limit: int, *, active: bool) -> None:
        self.found = SimpleNamespace(limit=limit, active=active, active_slots=0)
        self.changes: list[object] = []

    def read_global_concurrency_limit_by_name(self, name: str) -> SimpleNamespace:
        return self.found

    def request(self, method: str, path: str, *, path_params: dict[str, str], json: object) -> None:
        self.changes.append(json)


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(("limit", "active"), [(0, True), (1, False), (0, False)])
def test_applies_that_a_person_stopped_stay_stopped(limit, active, check):
    server = Server(limit, active=active)
    (row,) = limits(server, check=check)
    assert (row.outcome, server.changes) == ("held", [])
    assert "prefect gcl update quantumflow-apply --limit 1" in row.detail
    assert row.outcome not in INCOMPLETE


def test_a_limit_that_lets_two_applies_overlap_is_mended():
    server = Server(2, active=True)
    assert [row.outcome for row in limits(server, check=True)] == ["differs"]
    assert server.changes == []
    assert [row.outcome for row in limits(server, check=False)] == ["changed"]
    assert server.changes == [{"limit": 1, "active": True}]
