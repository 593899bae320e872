"""Files with something wrong, by the hundred: a reader refuses in clear words, or reads.

The figures of a long run: ``python -m tests.fuzz_inputs --of all --count 10000 --seed 1``.
"""

import pytest

from data.errors import BadSource, PlanRefused
from tests.fuzz_archives import outcome_of
from tests.fuzz_documents import documents
from tests.fuzz_inputs import KINDS, judged, run


@pytest.mark.parametrize("kind", KINDS)
def test_sound_files_are_read_and_broken_ones_refused_or_read(kind, tmp_path):
    outcomes = [judged(kind, 1, number, tmp_path) for number in range(15)]
    assert [outcome for outcome in outcomes if outcome.startswith("FINDING")] == []
    assert "refused" in outcomes


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_that_are_broken_were_sound(kind, tmp_path):
    outcomes = []
    for document in documents()[kind]:
        for name, octets in document.files.items():
            (tmp_path / name).write_bytes(octets)

        def read(document=document) -> str:
            document.read(tmp_path)
            return "accepted"

        outcomes.append(outcome_of(read, BadSource, PlanRefused))
    assert outcomes.count("refused") == (1 if kind == "topology" else 0), "only the XML bomb is refused as it stands"
    assert not [outcome for outcome in outcomes if outcome.startswith("FINDING")]


def test_another_error_is_a_finding():
    def broken() -> str:
        raise KeyError("field")

    assert outcome_of(broken, BadSource).startswith("FINDING")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_hundreds_of_each_kind_in_a_process_of_their_own(kind):
    said: list[str] = []
    tally = run(kind, 500, 2, said.append)
    assert said == []
    assert tally["refused"] + tally["accepted"] == tally["tried"] == 500
