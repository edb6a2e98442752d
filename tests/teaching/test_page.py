"""The page in a real browser: it is taught, killed and started again, and nothing is lost."""

import contextlib
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path

import browser
import pytest
from browser import until

from rlx.teaching.recording import read_lines, replay

pytest.importorskip("uvicorn", reason="the extra 'teach' is not installed")
ROOT = Path(__file__).parents[2]
RATE = 15
# One state, so that what was praised can be seen to grow.
TASK = ("env=gymnax/SimpleBandit-bsuite", "agent.learning_rate=0.5")


@contextlib.contextmanager
def served(*words):
    """The script with these words, once it serves."""
    command = [sys.executable, str(ROOT / "experiments" / "teach.py"), *words]
    paths = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths})
    try:
        told = []
        for line in process.stdout:
            told.append(line)
            if line.startswith("recorded in"):
                break
        assert any(line.startswith("teach at http://127.0.0.1:") for line in told), told
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(
    not (browser.CHROMIUM and browser.DRIVER),
    reason="chromium and chromedriver are not installed; nothing is installed for a test",
)
def test_a_person_teaches_and_the_server_dies(tmp_path):
    session, port = tmp_path / "session", browser.free_port()
    words = [f"session={session}", f"port={port}"]
    with browser.chromium() as page, served(*words, *TASK, f"rate={RATE}") as process:
        page.open(f"http://127.0.0.1:{port}/")
        until(lambda: page.run("return window.teach?.frames"))
        assert unnamed(page) == []
        assert moved(page, lambda: page.keys("p")) > 0
        assert moved(page, lambda: page.keys("-")) < 0
        assert moved(page, lambda: page.click("#praise")) > 0
        assert 4 <= measured(page) <= 7  # 200 ms at 15 steps a second are 3 steps; a busy machine adds to them
        page.keys(" ")
        until(lambda: page.run("return teach.states") > 10)
        for number in range(4, 24):
            page.keys("p")
            until(lambda number=number: page.run("return teach.acks") == number)
        latencies = page.run("return teach.latencies")
        page.keys(" ")
        until(lambda: page.run("return teach.state.paused"))
        assert page.run("return teach.frames") > 10
        told = page.run("return document.querySelector('#log').textContent")
        assert "→ step" in told
        process.send_signal(signal.SIGKILL)
        process.wait()
        until(lambda: page.run("return !teach.state.live"))
        accepted = [line for line in read_lines(session) if line["kind"] == "press"]
        assert [line["value"] for line in accepted] == [1, -1, *[1] * 21]
        before = replay(session)[0].digest()
        with served(*words):
            until(lambda: page.run("return teach.state.live && teach.state.strip.length"))
            assert page.run("return document.querySelector('#link').textContent") == "you teach"
            shown = page.run("return teach.state.strip")
            assert sum(feedback for _, feedback in shown) == 21 - sum(
                press.value for press in replay(session)[0].pending
            )
            assert replay(session)[0].digest() == before
    report(latencies)


def moved(page, press):
    """What a press between single steps does to the share of the action that it is about, as the page shows it."""

    def step():
        states = page.run("return teach.states")
        page.keys(".")
        until(lambda: page.run("return teach.states") == states + 1)
        until(lambda: page.run("return teach.state.shown === teach.state.strip.at(-1)[0]"))

    step()
    action = page.run("return [...document.querySelector('#policy').children].findIndex(bar => bar.matches('.taken'))")
    share = f"return teach.state.rows[{action}].share"
    before, acks = page.run(share), page.run("return teach.acks")
    press()
    until(lambda: page.run("return teach.acks") == acks + 1)
    step()
    return page.run(share) - before


def measured(page):
    """The delay that the page sets for somebody who presses 200 ms after each flash."""
    page.run(
        "const real = window.setTimeout; window.setTimeout = (f, ms) => real(f, ms > 600 && ms < 2100 ? 50 : ms);"
        "let lit = false; const stage = document.querySelector('#stage'); document.querySelector('#measure').click();"
        "window.presser = setInterval(() => { const on = stage.matches('.flash'); if (on && !lit) "
        "real(() => document.querySelector('#praise').click(), 200); lit = on; }, 5);"
    )
    until(lambda: "You react within" in page.run("return document.querySelector('#notice').textContent"))
    page.run("clearInterval(window.presser)")
    return page.run("return +document.querySelector('#delay').value")


def unnamed(page):
    """Roles of the controls and pictures that a screen reader has no name for."""
    page.command("Accessibility.enable")
    nodes = page.command("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "slider", "textbox", "combobox", "radio", "checkbox", "image", "list", "heading"}
    seen = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]
    assert sum(role == "button" for role, _ in seen) >= 7
    return [role for role, name in seen if role in roles and not name.strip()]


def report(latencies):
    """From the press of a key to the word on what it is credited to, at 15 frames a second on this machine."""
    ranked = sorted(latencies)
    worst = ranked[int(0.99 * (len(ranked) - 1))]
    print(f"press to credit: median {statistics.median(ranked):.0f} ms, 99 in 100 within {worst:.0f} ms")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["host=0.0.0.0"], "host=0.0.0.0 lets others in; add token=WORD"),
        (["agent=ppo"], "a person teaches one copy, step by step"),
        (["port=0"], "port=0 is out of range"),
        (["colour=red"], "unknown key colour"),
    ],
)
def test_what_cannot_be_taught_is_refused_in_a_line(words, message, tmp_path):
    command = [sys.executable, str(ROOT / "experiments" / "teach.py"), f"session={tmp_path / 's'}", *words]
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
