"""Facts about files that people write: nothing in a CSV or JSON file is lost without a word."""

import os
from pathlib import Path

import pytest

from data.errors import BadRecord, BadSource, SourceUnavailable
from data.readers.bounded import read_bounded
from data.readers.csv_file import read_csv, read_records
from data.readers.job_graph import read_job_graph


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "a.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    "text", ["a,b\n1,2\n3,4\n", "a,b\r\n1,2\r\n\r\n3,4", "\ufeffa, b\n1, 2\n3,4\n", 'a,b\n"1","2"\n3,4\n\n']
)
def test_line_ends_byte_order_marks_quotes_and_empty_lines_make_no_difference(tmp_path: Path, text: str) -> None:
    table = read_csv(written(tmp_path, text), ("a", "b"))
    assert [dict(row) for _, row in table.rows] == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    assert table.set_aside == ()


def test_a_row_that_was_cut_or_has_too_much_is_set_aside_with_its_line(tmp_path: Path) -> None:
    table = read_csv(written(tmp_path, "a,b\n1,2\n1,2,3\n5"), ("a",))
    assert [place for place, _ in table.rows] == ["a.csv: line 2"]
    assert [(bad.path, bad.expected, bad.found) for bad in table.set_aside] == [
        ("a.csv: line 3", "2 cells, as the head names", "3 cells"),
        ("a.csv: line 4", "2 cells, as the head names", "1 cells"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('a,b\n1,"2\n3,4\n5,6\n', "line 4: expected CSV, found unexpected end of data"),
        ("a,c\n1,2\n", "line 1: expected columns a, b, each once, found no b"),
        ("a,b,a\n1,2,3\n", "line 1: expected columns a, b, each once, found a more than once"),
        ("", "found no a, b"),
        (b"a,b\n" + b"x" * 200_000 + b",1\n", "field larger than field limit"),
    ],
)
def test_a_file_that_is_no_such_table_says_where(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(BadSource, match=said):
        read_csv(written(tmp_path, text), ("a", "b"))


def test_every_row_that_could_not_be_used_is_named_where_none_can(tmp_path: Path) -> None:
    def refuse(place: str, number: int, _row: object) -> int:
        raise BadRecord(place, "a row", f"row {number}")

    with pytest.raises(BadSource) as refused:
        read_records(written(tmp_path, "a\n1\n2\n"), ("a",), refuse)
    assert [(bad.path, bad.found) for bad in refused.value.records] == [
        ("a.csv: line 2", "row 1"),
        ("a.csv: line 3", "row 2"),
    ]


def test_a_pipe_a_folder_and_too_large_a_file_are_refused_and_a_missing_one_may_come_back(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, said in ((tmp_path / "pipe", "a regular file, found prw"), (tmp_path, "a regular file, found drwx")):
        with pytest.raises(BadSource, match=said):
            read_bounded(path, 10)
    with pytest.raises(BadSource, match=r"at most 3 bytes, found 4 bytes"):
        read_bounded(written(tmp_path, "1234"), 3)
    assert read_bounded(written(tmp_path, "123"), 3) == b"123"
    with pytest.raises(SourceUnavailable, match="No such file"):
        read_bounded(tmp_path / "none", 3)


def test_half_a_character_in_a_file_can_still_be_told(tmp_path: Path) -> None:
    graph = tmp_path / "graph.json"
    graph.write_text('{"jobs": {"A": [], "B": ["\\ud800"]}}')
    (told,) = read_job_graph(graph).set_aside
    assert str(told).encode() == rb"graph.json: jobs.B: expected a list of names of jobs, found ['\ud800']"


def test_a_job_that_is_named_twice_refuses_a_graph_and_is_set_aside_in_a_profile(tmp_path: Path) -> None:
    graph = tmp_path / "graph.json"
    graph.write_text('{"jobs": {"A": [], "B": ["A"], "A": ["B"]}}')
    with pytest.raises(BadSource, match="'A' stands more than once"):
        read_job_graph(graph)
    graph.write_text('{"jobs": {"A": [], "B": ["A"]}}')
    reading = read_job_graph(graph, written(tmp_path, "job,power_w\nA,300\nA,400\n,5\n"))
    assert [(bad.path, bad.found) for bad in reading.set_aside] == [
        ("a.csv: line 3.job", "A"),
        ("a.csv: line 4.job", ""),
    ]
    assert [job.gpu_power_w for job in reading.snapshot.jobs] == [300.0, None]
