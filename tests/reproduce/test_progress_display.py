"""What a person sees of a table that runs: its share by weight, and the time left from what the work so far took."""

import dataclasses
import io
import signal

import pytest
from rich.console import Console as Terminal

from rlx.loggers import display
from rlx.reproduce import perform as module
from rlx.reproduce.perform import perform
from rlx.runner.interrupt import interruptible


@dataclasses.dataclass
class Job:
    """Ten seconds a unit of weight, told in quarters."""

    name: str
    weight: float
    clock: list
    done: bool = False
    settings: dict = dataclasses.field(default_factory=dict)

    def check(self):
        """It can run."""

    def run(self, folder, progress):
        for quarter in range(4):
            progress(quarter / 4)
            self.clock[0] += 10.0 * self.weight / 4
        self.done = True
        return True

    def finished(self, folder):
        return self.done

    def seconds(self, folder):
        return 10.0 * self.weight if self.done else 0.0


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    for place in (module, display):
        monkeypatch.setattr(place, "monotonic", lambda: now[0])
    return now


def lines(jobs, tmp_path, **options):
    terminal = Terminal(file=io.StringIO(), width=80, **options)
    perform("toy/table", jobs, tmp_path, terminal)
    return terminal.file.getvalue()


def test_plain_lines_weigh_the_jobs(clock, tmp_path):
    # The jobs take 10 and 30 s; a line comes out at the first word after every 10 s.
    assert lines([Job("one", 1.0, clock), Job("three", 3.0, clock)], tmp_path).splitlines() == [
        "toy/table: 2 of 2 runs to do",
        "25 %, run 1 of 2, one, 0:10 elapsed, 0:30 left",
        "62 %, run 2 of 2, three, 0:25 elapsed, 0:15 left",
        "100 %, run 2 of 2, three, 0:40 elapsed",
        "done: 100 %, run 2 of 2, three, 0:40 elapsed",
    ]


def test_what_is_there_already_tells_how_long_the_rest_takes(clock, tmp_path):
    text = lines([Job("one", 1.0, clock, done=True), Job("three", 3.0, clock)], tmp_path)
    assert text.splitlines()[:2] == [
        "toy/table: 1 of 2 runs to do",
        "62 %, run 2 of 2, three, 0:15 elapsed, 0:15 left",
    ]


def test_time_left_waits_until_the_share_says_something(clock, tmp_path):
    first = lines([Job("one", 1.0, clock), Job("many", 199.0, clock)], tmp_path).splitlines()[1]
    assert first == "0 %, run 1 of 2, one, 0:10 elapsed"


def test_a_terminal_is_redrawn(clock, tmp_path):
    text = lines([Job("one", 1.0, clock)], tmp_path, force_terminal=True, force_interactive=True)
    assert "\x1b[" in text
    assert "run 1 of 1" in text
    assert "━" in text


def test_ctrl_c_in_a_job_that_ends_all_the_same_ends_the_table(listening, clock, tmp_path):
    class Last(Job):
        def run(self, folder, progress):
            with interruptible():
                signal.raise_signal(signal.SIGINT)
            return super().run(folder, progress)

    first, second = Last("first", 1.0, clock), Job("second", 1.0, clock)
    with pytest.raises(KeyboardInterrupt):
        lines([first, second], tmp_path)
    assert (first.done, second.done) == (True, False)
