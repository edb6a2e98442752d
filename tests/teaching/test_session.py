import json
from pathlib import Path

import jax
import numpy as np
import pytest

import rlx
from rlx.errors import ConfigurationError
from rlx.runner.evaluate import evaluate
from rlx.teaching import lessons, recording
from rlx.teaching.recording import EVENTS, Recording, read_lines, replay
from rlx.teaching.session import Session, Setup

SETUP = Setup(
    {"name": "coach", "trace_decays": [0.0, 0.8], "delay": 1.0, "max_lag": 2, "learning_rate": 0.5},
    {"name": "rlx/cliff-grid", "max_episode_steps": 12},
    seed=3,
)


def lines(steps=40):
    """Steps with presses now and then, an undo, a change and a restart."""
    rng = np.random.default_rng(0)
    yield {"kind": "set", "field": "learning_rate", "value": 0.7}
    for step in range(steps):
        if step > 0 and rng.random() < 0.3:
            press = {"value": float(rng.choice([1, -1, 4])), "trace": int(rng.integers(2)), "shown": step - 1}
            yield {"kind": "press", "id": step, **press}
        yield {"kind": "step", "step": step}
        if step == 20:
            yield {"kind": "undo"}


def recorded(folder, events):
    """A session that has taken these lines while they were recorded."""
    session, kept = Session(SETUP), Recording.begin(folder, SETUP)
    for line in events:
        kept.add(line)
        session.take(line)
    return session, kept


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    folder = tmp_path_factory.mktemp("taught") / "session"
    return *recorded(folder, lines()), folder


def kernel(session):
    return np.asarray(session.state.agent.params["params"]["head"]["kernel"])


def test_a_recording_replays_to_the_same_bits(taught):
    session, _, folder = taught
    again, outcomes = replay(folder)
    assert np.abs(kernel(session)).max() > 0.1
    assert again.digest() == session.digest()
    assert again.steps == len(outcomes) == 40


def test_a_line_that_was_cut_off_is_as_if_never_written_and_the_next_one_is_whole(taught, tmp_path):
    folder = taught[2]
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "meta.json").write_bytes((folder / "meta.json").read_bytes())
    (copy / EVENTS).write_bytes((folder / EVENTS).read_bytes() + b'{"kind":"pre')
    assert len(list(read_lines(copy))) == len(list(read_lines(folder)))
    kept = Recording(copy)
    kept.add({"kind": "press", "id": 99, "value": 1.0, "trace": 0, "shown": 39})
    kept.close()
    again, _ = replay(copy)
    assert [press.value for press in again.pending] == [1.0]
    assert len(list(read_lines(copy))) == len(list(read_lines(folder))) + 1


def test_a_damaged_line_is_named(tmp_path):
    Recording.begin(tmp_path / "s", SETUP).close()
    (tmp_path / "s" / EVENTS).write_text('{"kind":"step"}\nnonsense\n')
    with pytest.raises(ConfigurationError, match="line 2 is damaged"):
        list(read_lines(tmp_path / "s"))


def test_undo_takes_back_what_the_last_press_taught_and_no_more(tmp_path):
    session, _ = recorded(tmp_path / "s", [{"kind": "step"}])
    session.take({"kind": "press", "value": 1.0, "trace": 0, "shown": 0})
    first = kernel(session)
    session.take({"kind": "step"})
    second = kernel(session)
    session.take({"kind": "press", "value": -4.0, "trace": 1, "shown": 1})
    session.take({"kind": "step"})
    assert not np.array_equal(kernel(session), second)
    assert session.undo()
    np.testing.assert_array_equal(kernel(session), second)
    session.take({"kind": "step"})
    np.testing.assert_array_equal(kernel(session), second)
    assert session.undo()
    np.testing.assert_array_equal(kernel(session), first)
    assert not session.undo()


def test_a_press_is_credited_to_the_step_that_was_shown(tmp_path):
    """With a delay of 1 and a short trace: only that step's cell changes, and its action gets likelier."""
    session, _ = recorded(tmp_path / "s", [])
    outcomes = [session.take({"kind": "step"}) for _ in range(3)]
    session.take({"kind": "press", "value": 1.0, "trace": 0, "shown": 1})
    session.take({"kind": "step"})
    changed = np.argwhere(np.abs(kernel(session)).sum(-1) > 0).ravel()
    about = outcomes[1].transition
    np.testing.assert_array_equal(changed, [np.argmax(about.obs[0])])
    assert np.argmax(kernel(session)[changed[0]]) == int(about.action[0])


def test_start_again_is_a_new_learner_with_its_own_seed(taught, tmp_path):
    session, _ = recorded(tmp_path / "s", [*lines(10), {"kind": "restart", "seed": 3}])
    assert (session.steps, kernel(session).any()) == (0, False)
    assert session.digest() == Session(SETUP).digest()


def test_saving_and_loading_goes_back_and_keeps_what_was_since(taught, tmp_path):
    session, kept = recorded(tmp_path / "s", lines(10))
    kept.save("early")
    early = session.digest()
    for line in lines(5):
        kept.add(line)
    kept.load("early")
    assert kept.saves() == ["early"]
    assert replay(tmp_path / "s")[0].digest() == early
    assert len((tmp_path / "s" / "events-1.jsonl").read_text().splitlines()) > len(list(read_lines(tmp_path / "s")))
    with pytest.raises(ConfigurationError, match="nothing is saved as 'late'; there is early"):
        kept.load("late")


@pytest.mark.parametrize("name", ["coach", "tamer", "deep_coach"])
def test_agents_learn_from_recorded_lessons_without_anybody(name, taught, tmp_path):
    _, outcomes = replay(taught[2])
    lessons.write_lessons(tmp_path / "steps.npz", outcomes)
    read = lessons.read_lessons(tmp_path / "steps.npz")
    assert read.obs.shape == (40, 1, 40)
    agent = rlx.make_agent(name, taught[0].env, delay=1.0)
    state = lessons.study(agent, read, jax.random.key(0))
    untaught = agent.init(jax.random.key(1)).params
    moved = [
        np.ptp(np.asarray(a) - np.asarray(b))
        for a, b in zip(*map(jax.tree.leaves, (state.params, untaught)), strict=True)
    ]
    assert max(moved) > 1e-3


def test_studying_with_the_same_settings_is_what_the_learner_did(tmp_path):
    """COACH learns the same from the recording as it learned live, but for rounding."""
    session, _ = recorded(tmp_path / "s", [line for line in lines() if line["kind"] in ("press", "step")])
    _, outcomes = replay(tmp_path / "s")
    lessons.write_lessons(tmp_path / "steps.npz", outcomes)
    state = lessons.study(session.agent, lessons.read_lessons(tmp_path / "steps.npz"), jax.random.key(0))
    np.testing.assert_allclose(state.params["params"]["head"]["kernel"], kernel(session), rtol=1e-4, atol=1e-5)


def test_a_folder_that_is_no_session_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="is no teaching session"):
        recording.read_setup(tmp_path)
    (tmp_path / "meta.json").write_text(json.dumps({"version": 99}))
    with pytest.raises(ConfigurationError, match="a later version"):
        recording.read_setup(tmp_path)
    (tmp_path / "meta.json").write_text("{")
    with pytest.raises(ConfigurationError, match="is damaged"):
        recording.read_setup(tmp_path)


EXAMPLES = Path(rlx.__file__).parent / "teaching" / "examples"


@pytest.mark.parametrize(("name", "least"), [("cliff-grid", 5.0), ("cart-pole", 150.0)])
def test_the_shipped_lessons_teach_a_new_learner(name, least):
    """Recorded with scripts in a person's place, and read without anybody: random actions return -11 and 22."""
    setup = recording.read_setup(EXAMPLES / name)
    env = rlx.make_env(**{**setup.env, "teacher": "person"})
    agent = rlx.make_agent(spec=env, **setup.agent)
    state = lessons.study(agent, lessons.read_lessons(EXAMPLES / name / "steps.npz"), jax.random.key(0))
    played = jax.jit(lambda: evaluate(agent, env, state, jax.random.key(1), 8, "greedy").returns)()
    assert np.mean(played) >= least


def test_a_shipped_recording_replays():
    """To the end; to the same bits only on a machine like the one it was made on."""
    folder = EXAMPLES / "cliff-grid"
    session, outcomes = replay(folder)
    assert session.steps == len(outcomes) == 800
    assert sum(line["kind"] == "press" for line in read_lines(folder)) > 300
