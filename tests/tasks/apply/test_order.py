"""In which order actions are carried out."""

from data.schemas.job import Worker
from data.schemas.plan import Place, Recap, Start
from data.transition import apply_actions, inverse
from tasks.apply.targets import starts_first

GIVEN = (Worker("west-3", (0, 1, 2, 3)), Worker("west-2", (0, 1, 2, 3)))
PLACED = Place("waiting", (), GIVEN, "", 1.0)
OTHER = Recap("later", None, 500.0, "", 1.0)


def test_a_job_is_put_off_before_it_is_given_gpus():
    off = Start("waiting", None, 900.0, "", 1.0)
    assert starts_first((PLACED, OTHER, off)) == (off, PLACED, OTHER)


def test_a_job_that_starts_at_once_or_gets_no_gpus_keeps_its_turn():
    actions = (PLACED, Start("waiting", None, 0.0, "", 1.0), Start("later", None, 900.0, "", 1.0))
    assert starts_first(actions) == actions


def test_the_order_changes_neither_the_end_nor_the_way_back(cluster):
    actions = (PLACED, OTHER, Start("waiting", None, 900.0, "", 1.0))
    after = apply_actions(cluster, starts_first(actions))
    assert after == apply_actions(cluster, actions)
    assert apply_actions(after, inverse(starts_first(actions))) == cluster
