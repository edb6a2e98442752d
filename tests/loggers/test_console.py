import io
import re

import pytest
from rich.console import Console as Terminal

from rlx.loggers import console, display
from rlx.loggers.console import Console, count, duration, number


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until its first entry is changed."""
    now = [0.0]
    for module in (console, display):
        monkeypatch.setattr(module, "monotonic", lambda: now[0])
    return now


def plain_terminal():
    return Terminal(file=io.StringIO(), width=60)


def live_terminal(width=80):
    return Terminal(file=io.StringIO(), width=width, force_terminal=True, force_interactive=True)


def screen(progress, width=80):
    """The live lines as text."""
    terminal = Terminal(file=io.StringIO(), width=width)
    terminal.print(progress._render())
    return terminal.file.getvalue().splitlines()


def run_half(progress, clock):
    """Compile for 20 s, then train half of a million steps in 10 s."""
    progress.phase("compiling training loop")
    clock[0] = 20.0
    progress.phase("training")
    progress.progress(0)
    clock[0] = 25.0
    progress.progress(250_000, training_return=1404.0)
    clock[0] = 30.0
    progress.progress(500_000)
    progress.evaluation(500_000, 1520.0, 1310.0, 1730.0)


def test_plain_output_is_a_line_an_evaluation_and_one_each_ten_seconds(clock):
    terminal = plain_terminal()
    with Console("ppo on brax/ant", 1_000_000, 4, terminal=terminal) as progress:
        progress.phase("training")
        for second in range(25):
            clock[0] = float(second)
            progress.progress(second * 1000)
            if second == 5:
                progress.evaluation(5000, 1.5, 1.0, 2.0)
    lines = terminal.file.getvalue().splitlines()
    steps = [re.search(r"step (\S+) of 1M", line) for line in lines]
    # The heading at 0 s, an evaluation at 5 s, progress at 15 s (10 s after that), and the end.
    assert [match and match[1] for match in steps] == [None, "5k", "15k", "24k"]
    assert lines[0] == "ppo on brax/ant · 4 members, 1M steps"
    assert lines[-1].startswith("done: step 24k")


def test_a_plain_line_says_everything(clock):
    terminal = plain_terminal()
    with Console("ppo on brax/ant", 1_000_000, 4, terminal=terminal) as progress:
        run_half(progress, clock)
    # 50k steps/s of each of 4 members; half a million steps of each are left.
    assert terminal.file.getvalue().splitlines()[-2] == (
        "step 500k of 1M (50 %), return 1520 ± 210, training return 1404, 200k steps/s, 0:30 elapsed, 0:10 left"
    )
    assert "\x1b" not in terminal.file.getvalue()


def test_the_live_lines_say_everything(clock):
    with Console("ppo on brax/ant", 1_000_000, 4, terminal=live_terminal(120)) as progress:
        run_half(progress, clock)
        head, row = screen(progress, 120)
    assert head.split("   ") == ["ppo on brax/ant · 4 members", "return 1520 ± 210", "training 1404"]
    assert re.fullmatch(r"━{20}\s+50 %  200k steps/s  0:30 elapsed  0:10 left  training\s*", row)


def test_the_live_lines_fit_a_narrow_terminal(clock):
    with Console("ppo on brax/" + "x" * 80, 1_000_000, 4, terminal=live_terminal()) as progress:
        run_half(progress, clock)
        clock[0] = 50_000.0
        progress.phase("compiling evaluation")
        lines = screen(progress)
    assert len(lines) == 2
    assert "13:53:20 elapsed" in lines[1]
    assert max(len(line) for line in lines) <= 80


def test_a_terminal_is_redrawn_and_keeps_messages(clock):
    terminal = live_terminal()
    with Console("ppo on brax/ant", 1_000_000, 1, terminal=terminal) as progress:
        progress.message("replay: 12 MB [a member]")
        run_half(progress, clock)
    output = terminal.file.getvalue()
    assert "\x1b[" in output
    assert "replay: 12 MB [a member]" in output
    last = output[output.rindex("ppo on brax/ant") :]
    assert "done" in last
    assert "left" not in last


def test_one_member_has_neither_count_nor_spread(clock):
    terminal = plain_terminal()
    with Console("ppo on brax/ant", 100, 1, terminal=terminal) as progress:
        progress.evaluation(0, 0.25, 0.25, 0.25)
    assert "members" not in terminal.file.getvalue()
    assert "return 0.25, " in terminal.file.getvalue()


def test_quiet_shows_messages_only(clock):
    for terminal in (plain_terminal(), live_terminal()):
        with Console("ppo on brax/ant", 1_000_000, 4, quiet=True, terminal=terminal) as progress:
            run_half(progress, clock)
            progress.message("the loss is not finite")
        assert terminal.file.getvalue() == "the loss is not finite\n"


def test_an_error_is_shown_as_a_stop_and_goes_on(clock):
    terminal = plain_terminal()
    with pytest.raises(KeyboardInterrupt), Console("ppo on brax/ant", 100, 1, terminal=terminal):
        raise KeyboardInterrupt
    assert "stopped: step 0 of 100" in terminal.file.getvalue()


def test_forced_colour_does_not_redraw_into_a_file(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Console("ppo on brax/ant", 10, 1) as progress:
        progress.evaluation(0, 1.0, 1.0, 1.0)
    starts = [line.split(",")[0] for line in capsys.readouterr().out.splitlines()]
    assert starts == ["ppo on brax/ant", "step 0 of 10 (0 %)", "done: step 0 of 10 (0 %)"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (999.6, "1k"),
        (48_213, "48.2k"),
        (999_499, "999k"),
        (999_600, "1M"),
        (2_500_000, "2.5M"),
        (3e9, "3G"),
    ],
)
def test_counts(value, text):
    assert count(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.853, "0.85"), (-42.13, "-42.1"), (1520.4, "1520"), (123456, "123456")])
def test_numbers(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (59.7, "1:00"), (754, "12:34"), (11_262, "3:07:42")])
def test_durations(seconds, text):
    assert duration(seconds) == text
