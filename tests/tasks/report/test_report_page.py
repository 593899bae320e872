"""Facts about report.html: it is whole, it refers to nothing outside, it tells everything, it stays small."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from data.schemas.cluster import Limits, Node, Snapshot
from data.schemas.job import Job, Worker
from data.schemas.plan import Migrate, Start
from data.transition import apply_actions
from tasks.report.page import FIRST_ROWS, MOST_ROWS, PowerSeries, render_report
from tasks.validation.verdict import Check, Verdict

VOID = {"meta", "link", "br", "img", "input", "hr"}
POWER = PowerSeries(300.0, (31_000.0, 29_000.0, 28_000.0), (29_500.0, 29_500.0, 27_000.0), 30_000.0)


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == [], "every tag is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


@pytest.fixture
def html(case, passed) -> str:
    seconds = (("ingest", 0.5), ("refine routing:chat: qaoa on windows", 1.25), ("total", 2.25))
    return render_report(case.plan, case.before, case.after, passed, seconds, POWER)


def pictures(html: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]  # noqa: S314 - ours


def test_a_page_has_every_section_and_balanced_tags(html):
    page = Page(html)
    sections = [attributes.get("id") for tag, attributes in page.tags if tag == "section"]
    assert sections == [
        "map", "gangs", "experts", "power", "schedule", "checkpoints", "actions", "solvers", "use", "account"
    ]  # fmt: skip
    anchors = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert anchors == {f"#{section}" for section in sections}


def test_a_page_refers_to_nothing_outside(html):
    page = Page(html)
    for tag, attributes in page.tags:
        assert not {"src", "srcset", "data", "action", "poster", "background"} & attributes.keys(), tag
        assert (attributes.get("href") or "#").startswith("#")
        assert not any(name.startswith("on") for name in attributes), tag
    assert not re.search(r"https?:|@import|url\(", html)


def test_the_policy_of_a_page_allows_its_own_script_and_no_other(html):
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.group(1).encode()).digest()).decode()
    policy = next(a["content"] for tag, a in Page(html).tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_pictures_are_well_formed_and_say_what_they_show(html):
    drawn = pictures(html)
    named = [svg.get("aria-label") for svg in drawn if svg.get("role") == "img"]
    assert named == [
        "GPUs by gang, before the plan",
        "GPUs by gang, after the plan",
        "load of each rank and layer of chat, before the plan",
        "load of each rank and layer of chat, after the plan",
        "fullest rank of each layer of chat over its mean, before and after",
        "power over time before and after, against the cap",
        "start times of pending jobs, before and after",
    ]


def test_a_page_tells_the_plan_in_words(html, case):
    text = Page(html).text
    for told in (
        "The plan moves 2 running jobs (8 GPUs, 1 batch), gives 1 waiting job 4 GPUs, sets 1 start time, "
        "changes 1 power cap, rewrites 2 expert slots of 1 MoE deployment and archives 1 checkpoint.",
        "passes 2 checks",
        "against a cap of 30 kW. Energy above the cap: 0.08333 kWh → 0 kWh",
        "balance 0.714 → 0.833, 2 slots rewritten",
        "the child was killed by signal 9",
        "cluster.json: jobs[3].workers",
        "GPU indexes were not told",
        "2 running gangs on the move: 2 closer together afterwards, none further apart.",
        "Draw that was assumed for 1 job",
        "1.67 x",
        case.plan.sha256,
        case.plan.snapshot_sha256,
    ):
        assert told in text


def test_a_page_says_who_found_what(html):
    text = Page(html).text
    assert "Exact enumeration and QAOA tied with the classical search." in text
    assert "Exact enumeration improved on that by 5.0 % (2 of 4 windows accepted); QAOA reached the same." in text
    assert "The plan takes what QAOA found." in text
    assert "QAOA on windows 7.6 24.0 % 14 1 1 1.25 chosen" in text


def test_a_plan_that_fails_a_check_is_not_to_be_carried_out(case):
    verdict = Verdict(False, (Check("power cap", False, "slot 3 draws 31 kW"), Check("inverse", True, "")))
    text = Page(render_report(case.plan, case.before, case.after, verdict)).text
    assert "fails 1 of 2 checks" in text
    assert "Do not carry out this plan. power cap: slot 3 draws 31 kW." in text


def test_names_from_outside_cannot_break_out(hostile, passed):
    html = render_report(hostile.plan, hostile.before, hostile.after, passed, ((hostile.plan.notes[0], 1.0),), POWER)
    page = Page(html)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert "img" not in {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "<script>alert(1)</script>" in page.text, "it is shown as what it is"
    assert "\x1b" not in html
    assert len(pictures(html)) > 4


def test_every_action_appears_or_is_counted(cluster, make_plan, passed):
    jobs = tuple(Job(f"job-{number}", 1, 1, "pending") for number in range(MOST_ROWS + 50))
    before = replace(cluster, jobs=jobs)
    actions = tuple(Start(job.id, None, 300.0 * number, "room", float(number)) for number, job in enumerate(jobs))
    plan = make_plan(before, actions)
    html = render_report(plan, before, apply_actions(before, actions), passed)
    section = html[html.index('id="actions"') : html.index('id="solvers"')]
    assert section.count("<tr><td") == MOST_ROWS
    assert f"<summary>{MOST_ROWS - FIRST_ROWS} more</summary>" in section
    assert "50 more stand in plan.json." in section


def test_a_gang_has_one_colour_in_both_maps(html):
    classes = [
        {title.text.split(" ")[0]: path.get("class").split()[0] for path in svg.iter("path") for title in path}
        for svg in pictures(html)[-100:]
        if (svg.get("aria-label") or "").startswith("GPUs by gang")
    ]
    assert len(classes) == 2
    assert classes[0]["red"] == classes[1]["red"] == "g1"
    assert classes[0]["blue"] == classes[1]["blue"] == "g0"


def test_free_drained_and_broken_gpus_are_drawn_as_such(html):
    after = next(svg for svg in pictures(html) if svg.get("aria-label") == "GPUs by gang, after the plan")
    titles = {title.text: path.get("class") for path in after.iter("path") for title in path}
    assert titles["west-2 GPU 0-2: free"] == "free"
    assert titles["west-2 GPU 3: not available"] == "off"
    assert titles["west-3 GPU 0-3: free, but the node is drained"] == "drained"
    changed = {text.split(" ")[0] for text, style in titles.items() if style.endswith("changed")}
    assert changed == {"red", "blue", "waiting"}


def test_a_plan_without_actions_says_so(cluster, make_plan, passed):
    text = Page(render_report(make_plan(cluster, ()), cluster, cluster, passed)).text
    assert "The plan changes nothing: what is in force was not beaten." in text
    assert "No problem was posed." in text


def test_a_cluster_without_jobs_can_be_reported(cluster, make_plan, passed):
    bare = Snapshot("bare", cluster.taken_at, cluster.nodes[:1])
    assert "GPUs by gang" in render_report(make_plan(bare, ()), bare, bare, passed)


def test_the_same_plan_gives_the_same_page(case, passed):
    pages = {render_report(case.plan, case.before, case.after, passed, (), POWER) for _ in range(2)}
    assert len(pages) == 1


def large(total: int, per_rack: int, gpus: int, per_domain: int) -> tuple[Snapshot, tuple[Migrate, ...]]:
    """A cluster of ``total`` GPUs in gangs of one rack each, every tenth of which moves to a free rack."""
    count = total // gpus
    nodes = tuple(
        Node(f"node-{n:06d}", "H100", gpus, f"domain-{n // per_domain:06d}", f"rack-{n // per_rack:05d}")
        for n in range(count)
    )
    whole = tuple(range(gpus))
    racks = count // per_rack
    held = {rack: tuple(Worker(nodes[rack * per_rack + n].id, whole) for n in range(per_rack)) for rack in range(racks)}
    half = racks // 2
    running = [Job(f"job-{rack:05d}", per_rack, gpus, "running", held[rack]) for rack in range(half)]
    starts = [300.0 * (number % 90) for number in range(15_000)]
    waiting = [Job(f"waiting-{n}", 1, 1, "pending", planned_start_s=start_s) for n, start_s in enumerate(starts)]
    jobs = (*running, *waiting)
    moves = tuple(
        Migrate(f"job-{rack:05d}", held[rack], held[half + rack], rack, "room for another gang", 1.0)
        for rack in range(0, half, 10)
    )
    return Snapshot("large", "2026-01-31T12:00:00+00:00", nodes, jobs, limits=Limits()), moves


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((100_000, 18, 4, 18), "One bar is one NVLink domain"),
        ((100_000, 4, 8, 1), "The 1,500 that change most are shown; 1,625 unchanged racks are not."),
        ((40_000, 1, 1, 1), "38,500 racks are not."),
    ],
    ids=["NVL72 racks", "four DGX a rack", "one GPU a rack"],
)
def test_a_page_for_100_000_gpus_stays_below_3_mb(shape, told, make_plan, passed):
    before, moves = large(*shape)
    plan = make_plan(Snapshot("large", before.taken_at, before.nodes[:1]), moves)  # the digest is not what is tested
    after = apply_actions(before, moves)
    html = render_report(plan, before, after, passed, (), PowerSeries(300.0, (5e7,) * 2_000, (4e7,) * 2_000, 4.5e7))
    assert len(html.encode()) < 3_000_000
    assert told in html
    assert len(pictures(html)) > 3
