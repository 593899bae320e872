"""A study says what it can of every series, however odd, and its account is JSON that any reader takes."""

import json

import numpy as np
import pytest

from data.errors import BadRecord
from data.schemas.scaling import Series
from tasks.scaling.account import HEAD, as_json, markdown, rows
from tasks.scaling.page import chart, page
from tasks.scaling.study import Study, study

ODD = {
    "a span of nothing": ([1.00251, 1.00194, 1.00324], [9.1e-08, 3.8e-28, 2.7e-08]),
    "all magnitudes": ([4.6e20, 0.107, 1.04e10, 7.1e17, 3.0, 1e5], [4.9e-14, 4.23, 3.5e-7, 3.2e-12, 1.0, 1e-3]),
    "huge figures": ([472.0, 242.0, 617.0, 614.0, 88.0], [3.2e194, 1e196, 7.3e195, 4.5e191, 1e190]),
    "a jump": ([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0], [1.0] * 4 + [1e9] * 5),
    "a constant": ([1.0, 2.0, 4.0, 8.0], [3.0] * 4),
    "twice at one scale": ([1.0, 1.0, 2.0, 2.0], [3.0, 4.0, 5.0, 7.0]),
    "two points": ([1.0, 2.0], [3.0, 4.0]),
}


def told(found: Study) -> dict[str, object]:
    text = json.dumps(
        as_json(found, source="x", seed=0, draws=20, delta=0.01, set_aside=(), repeated=(), notes=()), allow_nan=False
    )
    account: dict[str, object] = json.loads(text)
    return account


@pytest.mark.parametrize("name", ODD)
def test_odd_series_are_told_without_a_warning(name: str) -> None:
    scale, performance = (np.array(values) for values in ODD[name])
    found = study([Series(name, "compute", scale, performance)], np.random.default_rng(0), draws=20)
    account = told(found)
    assert len(found.series) + len(found.unfitted) == 1
    assert account["version"] == 1
    assert len(rows(found)) == len(found.series)
    assert markdown(found).startswith("| " + HEAD[0])


def test_a_series_without_a_law_leaves_the_others() -> None:
    scale = np.geomspace(1.0, 64.0, 6)
    good = Series("good", "cost", scale, 3.0 * scale**0.9)
    single = Series("single", "energy", np.array([2.0, 2.0]), np.array([1.0, 1.1]))
    found = study([single, good], np.random.default_rng(0), draws=20)
    assert [each.law.series for each in found.series] == ["good"]
    assert [each.series for each in found.unfitted] == ["single"]
    assert "Not fitted: single" in markdown(found)
    bad = [BadRecord("f.csv: line 3.scale", "a number above 0", "<script>")]
    shown = page(found, draws=20, set_aside=bad, repeated=(), notes=("a note",), picture=chart(found))
    assert "single: expected measurements at two scales" in shown
    assert "&lt;script&gt;" in shown
    assert "a note" in shown


def test_each_series_has_a_stream_of_chance_of_its_own(rng: np.random.Generator) -> None:
    scale = np.geomspace(1.0, 64.0, 6)
    one, other = (
        Series(name, "cost", scale, 3.0 * scale**0.9 * np.exp(0.05 * rng.standard_normal(6))) for name in ("a", "b")
    )
    both = study([one, other], np.random.default_rng(7), draws=20)
    again = study([one, other], np.random.default_rng(7), draws=20)
    assert told(both) == told(again)
    assert (both.series[0].law.draws != both.series[1].law.draws).any()


def test_the_law_looks_ahead_as_far_as_it_may() -> None:
    scale = np.geomspace(1.0, 64.0, 8)
    (found,) = study([Series("a", "cost", scale, 3.0 * scale**0.9)], np.random.default_rng(7), draws=20).series
    assert [each.octaves for each in found.ahead] == pytest.approx([1.0, 2.0, 3.0])
    assert found.carries is not None
    two = Series("two", "cost", scale[:2], scale[:2])
    (short,) = study([two], np.random.default_rng(7), draws=20).series
    # no interval, so an octave and no more
    assert [each.octaves for each in short.ahead] == pytest.approx([1.0])
    assert short.carries is None
