"""Pages hold names from outside: can one run a script, ask a server for something, or break out of its place?"""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from data.digest import signed
from data.readers.plan import write_plan
from data.readers.scaling.series_csv import read_series
from data.transition import apply_actions
from tasks.fleet.model import fleet_model
from tasks.fleet.plan import Account, assemble_fleet_plan
from tasks.fleet.service import serve
from tasks.report.fleet_page import render_fleet_report
from tasks.report.history import read_history
from tasks.report.history_page import render_history
from tasks.report.page import render_report
from tasks.scaling.loss import LogHuber
from tasks.scaling.page import page as scaling_page
from tasks.scaling.study import study
from tests.security.hostile import ALL, hostile_plan, hostile_snapshot, verdict_of
from tests.tasks.fleet.plans import sample_fleet

ACTIVE = {"iframe", "object", "embed", "base", "form", "link", "audio", "video", "animate", "set", "foreignobject"}
ADDRESSES = {"href", "src", "srcset", "action", "formaction", "xlink:href", "data", "poster", "background", "ping"}
OWN = ("#", "data:image/png;base64,", "20260131T120000Z-")
"""How addresses may begin: places of the page, its pictures, and run folders beside the page of runs."""


class Page(HTMLParser):
    """Every tag of a page with its attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        (self.scripts if self.cdata_elem == "script" else self.texts).append(data)


@cache
def cluster_page() -> str:
    state, plan = hostile_snapshot(), hostile_plan()
    after = apply_actions(state, plan.actions)
    return render_report(plan, state, after, verdict_of(plan), ((f"refine {ALL}: {ALL}", 1.0), (ALL, 2.0)))


@cache
def fleet_page() -> str:
    found = sample_fleet()
    regions = tuple(replace(each, metro=ALL, country=ALL) for each in found.regions)
    fleet = replace(found, name=ALL, regions=regions)
    model = fleet_model(fleet)
    nodes = model.held.copy()
    nodes[np.flatnonzero(nodes)[0]] += 1
    flows = serve(model, model.region_capacity(nodes)).flows
    account = Account(notes=(ALL,))
    plan = assemble_fleet_plan(
        model, nodes, flows=flows, waves=(), account=account, code_version=ALL, options=ALL, seed=0
    )
    changes = tuple(replace(each, reason=ALL, risk=ALL) for each in plan.resource_changes)
    return render_fleet_report(
        replace(plan, resource_changes=changes),
        fleet,
        verdict_of(hostile_plan()),
        seconds=((ALL, 1.0),),
        renderings=(ALL,),
    )


@cache
def laws_page() -> str:
    reading = read_series(Path(__file__).resolve().parents[2] / "data" / "samples" / "fleet" / "scaling.csv")
    found = study(reading.series[:1], np.random.default_rng(0), draws=20, loss=LogHuber(0.01), at={})
    (one,) = found.series
    law = replace(one.law, series=ALL, scale_unit=ALL, performance_unit=ALL)
    return scaling_page(
        replace(found, series=(replace(one, law=law),)), draws=20, set_aside=(), repeated=(), notes=(ALL,), picture=b"x"
    )


@cache
def runs_page() -> str:
    """Words of a plan that its schema leaves free, a run that cannot be read, and a folder with a hostile name."""
    free = {"notes": (ALL,), "options": ALL, "code_version": ALL}
    sound = replace(
        hostile_plan("x"), cluster="two-racks", actions=(), inverse=(), assumed_power=(), **free,
        metrics=tuple(replace(each, name=ALL, unit=ALL) for each in hostile_plan().metrics),
        solvers=hostile_plan().solvers, bounds=hostile_plan().bounds, fallbacks=hostile_plan().fallbacks,
    )  # fmt: skip
    with TemporaryDirectory() as name:
        folders = [Path(name) / f"20260131T120000Z-{end}" for end in ("a", "b", "<img src=x onerror=alert(7)>")]
        for folder in folders:
            folder.mkdir()
        write_plan(signed(sound), folders[0] / "plan.json")
        write_plan(signed(sound), folders[2] / "plan.json")
        (folders[1] / "plan.json").write_text(json.dumps({"cluster": ALL}))
        return render_history(read_history(Path(name), 10), Path(name), datetime(2026, 2, 1, tzinfo=UTC))


PAGES: dict[str, Callable[[], str]] = {
    "cluster": cluster_page,
    "fleet": fleet_page,
    "laws": laws_page,
    "runs": runs_page,
}


@pytest.fixture(params=PAGES, scope="module")
def html(request) -> str:
    return PAGES[request.param]()


def test_no_page_has_a_tag_that_acts_or_an_attribute_that_listens(html):
    page = Page(html)
    assert not {tag for tag, _ in page.tags} & ACTIVE
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert "alert" in "".join(page.texts), "the words are shown"


def test_every_address_stays_within_the_page(html):
    found = [
        value or "" for _, attributes in Page(html).tags for name, value in attributes.items() if name in ADDRESSES
    ]
    assert not [value for value in found if not value.startswith(("#", "data:image/png;base64,"))]
    styles = [attributes["style"] or "" for _, attributes in Page(html).tags if "style" in attributes]
    assert not [style for style in styles if "url" in style or "alert" in style or "expression" in style]


def test_the_policy_of_a_page_forbids_everything_but_its_own_script(html):
    page = Page(html)
    policies = [
        a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policies) == 1
    rules = dict(rule.strip().split(" ", 1) for rule in (policies[0] or "").split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["base-uri"] == rules["form-action"] == "'none'"
    digests = [f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in page.scripts]
    assert rules.get("script-src", "").split() == digests
    first = next(number for number, (tag, _) in enumerate(page.tags) if tag in ("script", "style", "body"))
    assert any("http-equiv" in attributes for _, attributes in page.tags[:first]), (
        "the policy stands before what it rules"
    )


def test_no_page_holds_what_hides_or_steers(html):
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", html)


def test_a_parser_that_finds_nothing_would_be_noticed():
    page = Page("<p onclick=x><a href='javascript:1'>t</a><iframe></iframe><script>1</script>")
    assert {"iframe", "script"} <= {tag for tag, _ in page.tags}
    assert page.scripts == ["1"]
    assert page.tags[0][1] == {"onclick": "x"}
