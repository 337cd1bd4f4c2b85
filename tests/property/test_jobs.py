"""The table of jobs holds what a dict would, whatever is added and removed."""

from hypothesis import given
from hypothesis import strategies as st

from beanrow.engine.job import Job
from beanrow.engine.jobs import MOST, STEP, Jobs
from beanrow.engine.tube import Tube

TUBE = Tube(1, b"default")

#: In sequence, all in one chain at first, or anywhere.
ids = st.one_of(
    st.integers(1, 60),
    st.integers(1, 60).map(lambda number: number * 64),
    st.integers(1, 2**63 - 1),
)


@given(st.lists(st.one_of(ids, st.lists(ids, min_size=20, max_size=60)), max_size=60))
def test_the_table_is_a_dict(steps: list[int | list[int]]) -> None:
    """Each number is added, or removed when it is there; a list of them, one after the other."""
    jobs, model = Jobs(), dict[int, Job]()
    for step in steps:
        for job_id in [step] if isinstance(step, int) else step:
            known = model.pop(job_id, None)
            if known is not None:
                jobs.remove(known)
            else:
                model[job_id] = Job(job_id, TUBE, 0, 0, 1, 0)
                jobs.add(model[job_id])
            assert jobs.get(job_id) is model.get(job_id)
        check_table(jobs, model)
    for known in model.values():
        jobs.remove(known)
    check_table(jobs, {})
    assert len(jobs._buckets) == STEP


def check_table(jobs: Jobs, model: dict[int, Job]) -> None:
    assert len(jobs) == len(model)
    assert sorted(jobs) == sorted(model)
    assert all(jobs.get(job_id) is job for job_id, job in model.items())
    assert len(jobs) / MOST <= len(jobs._buckets) <= max(STEP, MOST * len(jobs) + STEP)
