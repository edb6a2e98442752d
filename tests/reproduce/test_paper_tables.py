"""Every table of every paper can start at each of its scales, and holds what its paper published."""

from pathlib import Path

import numpy as np
import pytest

from rlx.reproduce import catalogue
from rlx.reproduce.jobs import Training

PAPERS = Path(__file__).parents[2] / "experiments" / "papers"
ENTRIES = catalogue.entries(PAPERS)


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.name for entry in ENTRIES])
def test_its_jobs_are_told_apart_and_can_run(entry):
    table = entry.load()
    assert table.notes == entry.file.with_suffix(".md").read_text().strip() != ""
    for scale in table.scales.values():
        jobs = entry.jobs(table, scale)
        assert len({job.name for job in jobs}) == len(jobs)
        trainings = [job for job in jobs if isinstance(job, Training)]
        others = [job for job in jobs if not isinstance(job, Training)]
        # Trainings of one table differ in little: the first and the last show whether the words fit.
        for job in [*others, *trainings[:1], *trainings[-1:]]:
            job.check()


def test_the_chain_has_the_authors_numbers():
    from papers.logq.chain import EARLY, LATE, published

    numbers = published()
    assert len(numbers) == 2 * 112
    early = {key[1:]: value for key, value in numbers.items() if key[0] == EARLY}
    assert early["regular", 2, 0.98] == 0.68
    assert early["log", 5, 0.99] == 0.32
    late = np.array([value for key, value in numbers.items() if key[0] == LATE and key[1] == "log"])
    assert (late == 1).all()
    assert numbers[LATE, "regular", 5, 0.94] == 0.55
