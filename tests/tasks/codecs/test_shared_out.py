"""Jobs that threads share out are all done, or the earliest error is raised and no more are begun."""

import threading

import pytest

from tasks.codecs.shared_out import share_out


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 100])
def test_every_job_is_done_once(workers: int, count: int) -> None:
    done: list[int] = []
    share_out(done.append, range(count), workers)
    assert sorted(done) == list(range(count))


@pytest.mark.parametrize("workers", [1, 3])
def test_of_several_errors_the_earliest_job_s_is_raised(workers: int) -> None:
    late = threading.Event()
    begun: list[int] = []

    def work(job: int) -> None:
        begun.append(job)
        if job == 4:
            late.wait(0.2)  # the later one fails first, where there are threads
            raise ValueError("job 4")
        if job == 5:
            late.set()
            raise ValueError("job 5")

    with pytest.raises(ValueError, match="job 4"):
        share_out(work, range(10_000), workers)
    assert len(begun) < 10_000


def test_an_error_of_the_jobs_themselves_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        share_out(lambda _job: None, (1 // (2 - k) for k in range(5)), 2)
