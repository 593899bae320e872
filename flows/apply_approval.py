"""Who says that a plan is to be carried out? A person, in a form of the UI that shows what changes, or a digest."""

from dataclasses import dataclass

from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from data.errors import PlanRefused
from flows.apply_params import ApplyParams
from tasks.apply.diff import diff_markdown
from tasks.apply.reviewed import Reviewed
from tasks.report.plain import one_line

KEY = "approval"
SHORTEST_S = 60
"""Seconds for which a form is shown at least; what is too old then is refused afterwards."""


class Approval(RunInput):
    """The form that a person fills in."""

    approve: bool = Field(default=False, title="Carry it out", description="Off: nothing happens, the run ends")
    who: str = Field(min_length=1, max_length=120, title="Your name", description="It is kept in the journal")
    comment: str = Field(default="", max_length=2_000, title="Comment")
    sha256: str = Field(
        default="", title="SHA-256 of plan.json", description="Of the plan that is shown here; leave it as it is"
    )


@dataclass(frozen=True, slots=True)
class Approved:
    """What was said.

    Args:
        yes: whether the plan is to be carried out.
    """

    yes: bool
    who: str
    comment: str


def approval_of(params: ApplyParams, reviewed: Reviewed, remaining_s: float, notes: tuple[str, ...]) -> Approved:
    """Return what was said of the plan; suspends the run until somebody says something, where nobody has.

    A suspended run ends its process. Once somebody has answered it starts again from its beginning, so that all is
    checked anew.

    Args:
        params: whether to ask.
        reviewed: the plan.
        remaining_s: until it is too old.
        notes: shown beside it.

    Raises:
        PlanRefused: the plan's file is another one than the one that was shown, or approval without a digest is none.
    """
    if params.approval == "given":
        if params.sha256 is None:
            raise PlanRefused(
                "approval: given means that the SHA-256 of plan.json is given, found none; sha256sum tells it"
            )
        return Approved(True, one_line(params.approved_by) or "the SHA-256 that was given", one_line(params.comment))
    description = diff_markdown(reviewed.plan, reviewed.sha256, params.executor.kind, notes)
    form = Approval.with_initial_data(description=description, sha256=reviewed.sha256)
    said = suspend_flow_run(wait_for_input=form, key=KEY, timeout=max(SHORTEST_S, round(remaining_s)))
    if said.approve and said.sha256 != reviewed.sha256:
        raise PlanRefused(
            f"changed file: {said.who} approved {one_line(said.sha256)}, but {reviewed.path} has sha256 "
            f"{reviewed.sha256} now; start another run, and look at the plan again"
        )
    return Approved(said.approve, one_line(said.who), one_line(said.comment, 2_000))
