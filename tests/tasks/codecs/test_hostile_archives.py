"""An archive by somebody who means harm, with every checksum right, is refused by name, in little memory and time."""

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import zstandard

from data.errors import BadRecord
from tasks.codecs.chain import Operation
from tasks.codecs.recipe import Recipe
from tests.fuzz_archives import case, judged, run
from tests.fuzz_files import archives, judged_case
from tests.fuzz_samples import Sample, closed, read_all, samples


def sample_of(name: str) -> Sample:
    return next(sample for sample in samples() if sample.name == name)


def index_of(sample: Sample) -> Any:
    return json.loads(json.dumps(sample.index))


def test_what_is_mutated_is_whole_before() -> None:
    for sample in samples():
        assert closed(sample.index, sample.chunks)
        assert read_all(closed(sample.index, sample.chunks), sample.base) == sample.tensors


def test_every_operation_and_recipe_is_mutated() -> None:
    indexes = [sample.index for sample in (*samples(), *(kept.top for kept in archives()))]
    kinds = {each["kind"] for index in indexes for chain in index["chains"] for each in chain}
    kinds |= {each["recipe"]["kind"] for index in indexes for each in index["tensors"] if each.get("recipe")}
    operations = get_args(get_args(Operation)[0])
    recipes = get_args(get_args(Recipe)[0])
    assert kinds == {each.__dataclass_fields__["kind"].default for each in (*operations, *recipes)}


def test_five_hundred_mutated_archives_are_refused_or_whole() -> None:
    for number in range(500):
        sample, octets, mended = case(7, number)
        assert judged(sample, octets, mended=mended) in ("refused", "read")


@pytest.mark.slow
def test_ten_thousand_mutated_archives_are_refused_or_whole() -> None:
    told: list[str] = []
    assert run(10_000, 11, told.append) == (10_000, 0), told


def test_a_hundred_mutated_files_are_refused_or_whole_and_leave_nothing_behind() -> None:
    for number in range(100):
        assert judged_case(7, number)[1] in ("refused", "read")


@pytest.mark.slow
def test_ten_thousand_mutated_files_are_refused_or_whole_and_leave_nothing_behind() -> None:
    told: list[str] = []
    assert run(10_000, 11, told.append, of="files") == (10_000, 0), told


def test_the_night_reads_a_million_archives() -> None:
    """And each change ten thousand: slow tests are run by ``make system``, in ``.ci/run``."""
    root = Path(__file__).parents[3]
    nightly = (root / ".github" / "workflows" / "nightly.yml").read_text(encoding="utf-8")
    assert "{of: archives, count: 1000000}" in nightly
    assert "make system" in (root / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("what", ["chains", "tensors"])
def test_an_index_of_empty_lists_is_refused_before_it_is_parsed(what: str) -> None:
    sample = sample_of("types")
    index = index_of(sample)
    index[what] = [[]] * 400_000
    with pytest.raises(BadRecord, match="in an index, found"):
        read_all(closed(index, sample.chunks), None)


def test_an_index_of_zeros_is_refused_before_it_is_decoded() -> None:
    sample = sample_of("types")
    index = index_of(sample)
    index["source"]["sha256"] = "0" * 20_000_000
    with pytest.raises(BadRecord, match="packed bytes of index to hold at most"):
        read_all(closed(index, sample.chunks), None)


def test_a_recipe_of_more_content_than_its_tensor_is_refused() -> None:
    sample = sample_of("tensor-network")
    index = index_of(sample)
    stored = index["tensors"][0]
    frame = zstandard.compress(bytes(1 << 20))
    index["chains"].append([{"kind": "zstd", "version": 1, "search": "repeats"}])
    stored["recipe"] = {"kind": "tensor-network", "version": 1, "dtype": "F32", "content_bytes": 8 << 20}
    stored.update(piece_bytes=1 << 20, lengths=[len(frame)] * 8, chains=[len(index["chains"]) - 1] * 8)
    stored.update(packed_hashes="0" * 128, raw_hashes="0" * 128)
    head = sum(index["leaves"]["lengths"])
    with pytest.raises(BadRecord, match="bytes to make it from"):
        read_all(closed(index, sample.chunks[:head] + frame * 8), None)


@pytest.mark.parametrize("name", [".", ".."])
def test_a_base_that_is_a_folder_is_refused(name: str) -> None:
    sample = sample_of("delta")
    index = index_of(sample)
    index["base"]["file"] = name
    with pytest.raises(BadRecord, match="base: expected the name of a file"):
        read_all(closed(index, sample.chunks), sample.base)


def test_a_type_that_there_is_not_is_refused_though_a_recipe_does_not_ask_for_it() -> None:
    sample = sample_of("tensor-network")
    index = index_of(sample)
    index["tensors"][0]["dtype"] = "F33"
    with pytest.raises(BadRecord, match="F33"):
        read_all(closed(index, sample.chunks), None)


def test_another_base_is_refused() -> None:
    sample = sample_of("delta")
    with pytest.raises(BadRecord, match="expected the archive"):
        read_all(sample.octets, sample_of("types"))


def test_a_terabyte_is_refused() -> None:
    sample = sample_of("tensor-network")
    index = index_of(sample)
    index["tensors"][0]["shape"] = [2**19, 2**19]
    with pytest.raises(BadRecord, match="bytes to make as a whole"):
        read_all(closed(index, sample.chunks), None)


def test_mutations_are_the_same_every_time() -> None:
    assert [case(3, number)[1] for number in range(20)] == [case(3, number)[1] for number in range(20)]
    assert np.unique([len(case(3, number)[1]) for number in range(20)]).size > 1
