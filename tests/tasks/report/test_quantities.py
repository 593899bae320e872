"""Are figures written with all of their digits before the point, and no more than needed after it?"""

import pytest

from tasks.report.quantities import number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (34_859_760.4, "34,859,760"),
        (7_070.2, "7,070"),
        (100.0, "100"),
        (99.50, "99.5"),
        (0.25, "0.25"),
        (-1_200.6, "-1,201"),
    ],
)
def test_zeros_before_the_point_stay(value: float, text: str) -> None:
    assert number(value) == text
