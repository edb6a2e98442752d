"""Wrong configurations: each is refused in one line that names mistake and remedy, and leaves nothing behind."""

import shutil

import pytest
import yaml
from command_lines import contents

import rlx

# Words of the command line, and what the message must hold: the mistake, then the remedy.
REFUSED = {
    # Agents and environments.
    "agent unknown": ("agent=pop", "unknown agent 'pop'", "did you mean 'ppo'"),
    "agent in capitals": ("agent=PPO", "unknown agent 'PPO'", "did you mean 'ppo'"),
    "agent empty": ("agent=", "unknown agent ''", "masked_ppo_paper, mbma, mbma_code, mbma_paper, ppo"),
    "agents, two": ("agent=ppo,dqn", "gives several values", "num_seeds=N"),
    "agent by its inner name": ("agent.name=dqn", "agent.name is no key", "agent=NAME"),
    "environment without family": ("env=halfcheetah", "unknown environment 'halfcheetah'", "'brax/halfcheetah'"),
    "environment misspelt": ("env=gymnax/CartPole", "unknown environment 'gymnax/CartPole'", "'CartPole-v1'"),
    "environment family unknown": ("env=brx/ant", "unknown environment family 'brx'", "did you mean 'brax'"),
    "environment empty": ("env=", "unknown environment ''", "--help"),
    "environment broken upstream": ("env=brax/swimmer", "brax/swimmer cannot run", "try brax/reacher"),
    "environment by its inner name": ("env.name=brax/ant", "env.name is no key", "env=NAME"),
    # Impossible pairs.
    "dqn on continuous actions": (
        "agent=dqn env=gymnax/Pendulum-v1", "dqn needs a discrete action space", "add env.discretise=3"
    ),
    "dqn on factored actions": (
        "agent=dqn env=brax/reacher env.discretise=3",
        "has a factored one",
        "agents that can act there: bdq, coach, decqn, deep_coach, masked_ppo, ppo, revalued",
    ),
    "sticky actions under a mask": (
        "env=rlx/probe-masked env.sticky_actions=0.25", "its action mask forbids", "leave it out"
    ),
    "discretise discrete actions": ("env.discretise=3", "discretise is for continuous actions", "leave it out"),
    # Keys.
    "key unknown": ("total_step=100", "unknown key total_step", "did you mean 'total_steps'"),
    "key far from any": ("qwerty=1", "unknown key qwerty", "--help"),
    "key without its group": ("learning_rate=1e-3", "unknown key learning_rate", "'agent.learning_rate'"),
    "key of Hydra": ("hydra.verbose=true", "unknown key hydra.verbose", "--help"),
    "agent key misspelt": ("agent.learning_rat=1e-3", "unknown key agent.learning_rat", "'agent.learning_rate'"),
    "agent key of another": ("agent=dqn agent.beta_reg=0.2", "belongs to logq, not to dqn", "leave it out"),
    "agent key that is none": ("agent.spec=3", "unknown key agent.spec", "ppo has: num_envs"),
    "agent key below a list": ("agent.hidden_sizes.0=3", "unknown key agent.hidden_sizes.0", "'agent.hidden_sizes'"),
    "environment key misspelt": ("env.max_episode_step=9", "unknown key env.max_episode_step", "env.max_episode_steps"),
    "environment key reserved": ("env.params=3", "unknown key env.params", "--help"),
    "task key misspelt": ("env.gravty=9", "has no option 'gravty'", "did you mean 'gravity'"),
    "backend unknown": ("env=brax/reacher env.backend=mj", "unknown backend 'mj'", "did you mean 'mjx'"),
    "key twice": ("seed=1 seed=2", "seed is given twice", "give it once"),
    # Types.
    "word for a number": ("agent.learning_rate=high", "='high' has the wrong type", "must be a number"),
    "fraction for a whole number": ("num_seeds=1.5", "num_seeds=1.5 has the wrong type", "must be a whole number"),
    "truth for a number": ("seed=true", "seed=True has the wrong type", "must be a whole number"),
    "number for a truth": ("agent.anneal=1", "agent.anneal=1 has the wrong type", "must be true or false"),
    "nothing for a number": ("total_steps=null", "total_steps=None has the wrong type", "must be a whole number"),
    "None for null": ("env.max_episode_steps=None", "='None' has the wrong type", "a whole number, or null"),
    "number for a list": ("agent.hidden_sizes=64", "=64 has the wrong type", "in brackets, such as [64,64]"),
    "words in a list": ("agent.hidden_sizes=[a,b]", "has the wrong type", "a list of whole numbers"),
    "mapping for a number": ("agent.learning_rate={a:1}", "is a mapping", "each of its keys a word of its own"),
    "word for a task's number": ("env.gravity=strong", "gravity='strong' does not fit", "the default is 9.8"),
    "word that the task chokes on": (
        "env=gymnax/DeepSea-bsuite env.size=0", "DeepSea-bsuite cannot be made with size=0", "division by zero"
    ),
    # Ranges.
    "rate negative": ("agent.learning_rate=-1", "agent.learning_rate=-1 is out of range", "(0, inf)"),
    "rate not a number": ("agent.learning_rate=nan", "agent.learning_rate=nan is out of range", "(0, inf)"),
    "discount above one": ("agent.discount=1.5", "agent.discount=1.5 is out of range", "[0, 1]"),
    "no environments": ("agent.num_envs=0", "agent.num_envs=0 is out of range", "[1, 2147483647]"),
    "too large for 32 bits": ("agent=dqn agent.replay_size=1e13", "is out of range", "[1, 2147483647]"),
    "no steps": ("total_steps=0", "total_steps=0 is out of range", "[1, 1000000000000000]"),
    "steps beyond the counter": (
        "agent.num_envs=1 total_steps=2147483648", "counted up to 2147483647", "raise agent.num_envs"
    ),
    "seed negative": ("seed=-1", "seed=-1 is out of range", "[0, 4294967295]"),
    "seeds beyond the last": ("seed=4294967295 num_seeds=2", "exceed 4294967295", "lower it"),
    "sticky actions beyond one": ("env.sticky_actions=1.5", "env.sticky_actions=1.5 is out of range", "[0, 1]"),
    "choice unknown": ("eval_mode=gready", "eval_mode=gready is no choice", "did you mean 'greedy'"),
    "activation unknown": ("agent.activation=elu", "agent.activation=elu is no choice", "tanh, relu, swish"),
    "reset mode unknown": ("env.reset_mode=pol", "env.reset_mode=pol is no choice", "did you mean 'pool'"),
    # Fields that do not fit together, or not into the machine.
    "minibatches uneven": ("agent.num_minibatches=7", "num_minibatches = 7", "choose a divisor of 4096"),
    "minibatches of one": (
        "agent.num_envs=4 agent.rollout_length=4 agent.num_minibatches=16",
        "leaves single advantages",
        "set normalise_advantages=false",
    ),
    "minibatches of one under masks": (
        "agent=masked_ppo agent.num_envs=4 agent.rollout_length=4 env=rlx/probe-masked",
        "leaves single advantages",
        "lower num_minibatches",
    ),
    "a batch of one": (
        "agent=masked_ppo agent.advantages=batch agent.num_envs=1 agent.rollout_length=1 agent.num_minibatches=1",
        "leaves single advantages",
        "raise num_envs",
    ),
    "replay too small": ("agent=dqn agent.num_envs=8 agent.replay_size=4", "replay_size = 4", "make it larger"),
    "replay too large": ("agent=dqn agent.replay_size=2e9 num_seeds=4096", "do not fit", "lower num_seeds or"),
    # Writing.
    "not key=value": ("seed", "cannot read 'seed'", "such as seed=3"),
    "dashes": ("--seed=3", "cannot read '--seed=3'", "without spaces or dashes"),
    "sign before the key": ("+seed=3", "cannot read '+seed=3'", "without a sign"),
    "values, several": ("seed=1,2,3", "gives several values", "num_seeds=N"),
    "values, a range": ("seed=range(0,3)", "gives several values", "num_seeds=N"),
    "list that the shell cut": ("agent.hidden_sizes=[32, 32]", "cannot read 'agent.hidden_sizes=[32,'", "in quotes"),
    "reference to nothing": ("agent.discount=${gamma}", "${...}", "must be another key"),
    # Folders.
    "folder without a name": ("run_dir=", "run_dir='' has the wrong type", "a word, or null"),
    "folder below a file": ("run_dir=/dev/null/run", "cannot write the run folder", "choose another run_dir"),
    "resume with other keys": ("resume=some seed=2", "resume=RUN_FOLDER stands alone", "the settings it began with"),
    "resume of nothing": ("resume=", "resume=RUN_FOLDER stands alone", "the settings it began with"),
    "resume of no run": ("resume=nowhere", "nowhere is no run folder", "config.yaml"),
    "resume misspelt": ("resum=runs/a", "unknown key resum", "did you mean 'resume'"),
}  # fmt: skip


def refusal(train, words):
    with pytest.raises(rlx.ConfigurationError) as caught:
        train(words)
    message = str(caught.value)
    assert "\n" not in message
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_before_anything_is_compiled_or_written(case, script, folder, compilations, monkeypatch):
    monkeypatch.setattr("rlx.verbs._run", lambda *arguments: pytest.fail("it is about to run"))
    words, mistake, remedy = REFUSED[case]
    with compilations() as names:
        message = refusal(script("train").train, words.split(" "))
    assert mistake in message
    assert remedy in message
    assert {"init", "chunk", "evaluation"} & set(names) == set()
    assert list(folder.iterdir()) == []


def test_a_folder_that_holds_a_run_is_not_touched(script, run):
    before = contents(run)
    message = refusal(script("train").train, [f"run_dir={run}", "seed=3"])
    assert f"{run} holds a run already" in message
    assert f"resume={run}" in message
    assert contents(run) == before


def test_a_folder_that_holds_parts_of_a_run_is_not_touched(script, folder):
    (folder / "metrics.jsonl").write_text("{}\n")
    message = refusal(script("train").train, [f"run_dir={folder}"])
    assert "parts of a run (metrics.jsonl)" in message
    assert "choose another run_dir" in message
    assert contents(folder) == {folder / "metrics.jsonl": b"{}\n"}


def test_wandb_that_is_not_installed(script, folder, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    message = refusal(script("train").train, ["wandb=true"])
    assert "wandb=true needs wandb" in message
    assert "pip install" in message
    assert list(folder.iterdir()) == []


@pytest.fixture
def copied(run, folder):
    """A copy of a finished run, to be damaged."""
    return shutil.copytree(run, folder / "run")


def unfinished(copied):
    """Take the last two checkpoints away."""
    for path in sorted((copied / "checkpoints").iterdir())[1:]:
        shutil.rmtree(path)


def edit_config(folder, part, **values):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config[part].update(values)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


DAMAGED = {
    "not YAML": (lambda run: (run / "config.yaml").write_text("agent: [1"), "config.yaml is damaged", "must be YAML"),
    "empty": (lambda run: (run / "config.yaml").write_text(""), "config.yaml is damaged", "agent, env and run"),
    "a part is gone": (lambda run: (run / "config.yaml").write_text("agent: {}\nrun: {}\n"), "damaged", "env and run"),
    "unknown agent": (lambda run: edit_config(run, "agent", name="sacc"), "no agent is called 'sacc'", "agent="),
    "unknown agent key": (lambda run: edit_config(run, "agent", rate=1), "config.yaml: unknown key agent.rate", "has:"),
    "bad run key": (lambda run: edit_config(run, "run", num_seeds=0), "config.yaml: num_seeds=0 is out of", "[1, "),
    "unknown task": (lambda run: edit_config(run, "env", name="gymnax/X"), "config.yaml: unknown env", "gymnax has:"),
    "log damaged": (lambda run: (run / "metrics.jsonl").write_text("{\n{}\n"), "damaged in line 1", "mend or remove"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_run_is_not_resumed(case, script, copied):
    damage, mistake, remedy = DAMAGED[case]
    unfinished(copied)
    damage(copied)
    before = contents(copied)
    message = refusal(script("train").train, [f"resume={copied}"])
    assert mistake in message
    assert remedy in message
    assert contents(copied) == before


def test_a_damaged_checkpoint_is_named_and_another_one_can_be_used(script, copied, capsys):
    newest = max((copied / "checkpoints").iterdir(), key=lambda path: int(path.name))
    steps = int(newest.name)
    edit_config(copied, "run", total_steps=steps + 32)
    shutil.rmtree(newest / "default" / "d")
    message = refusal(script("train").train, [f"resume={copied}"])
    assert f"{newest} is damaged" in message
    assert "remove it to go on from the one before" in message

    shutil.rmtree(newest)
    script("train").train([f"resume={copied}"])
    assert (copied / "checkpoints" / str(steps + 32)).is_dir()


def test_results_without_any_checkpoint_are_not_overwritten(script, copied):
    shutil.rmtree(copied / "checkpoints")
    log = (copied / "metrics.jsonl").read_bytes()
    message = refusal(script("train").train, [f"resume={copied}"])
    assert "logged results but no checkpoint" in message
    assert "start a new run" in message
    assert (copied / "metrics.jsonl").read_bytes() == log


NOT_EVALUATED = {
    "no run": ("", "run= is missing", "--help"),
    "run unknown": ("run=nowhere", "nowhere is no run folder", "config.yaml"),
    "key unknown": ("run=RUN episodes=3", "unknown key episodes", "did you mean 'num_episodes'"),
    "no episodes": ("run=RUN num_episodes=0", "num_episodes=0 is out of range", "[1, "),
    "mode unknown": ("run=RUN mode=best", "mode=best is no choice", "greedy, sample"),
    "member unknown": ("run=RUN member=2", "the run has 2 member(s)", "from 0"),
}


@pytest.mark.parametrize("case", NOT_EVALUATED)
def test_an_evaluation_is_refused(case, script, run):
    words, mistake, remedy = NOT_EVALUATED[case]
    message = refusal(script("evaluate").evaluate, words.replace("RUN", str(run)).split())
    assert mistake in message
    assert remedy in message


def test_a_policy_that_is_missing_or_damaged(script, copied):
    evaluate = script("evaluate").evaluate
    (policy,) = (copied / "policy").iterdir()
    shutil.rmtree(policy / "default" / "d")
    assert f"{policy} is damaged" in refusal(evaluate, [f"run={copied}"])
    shutil.rmtree(copied / "policy")
    message = refusal(evaluate, [f"run={copied}"])
    assert "nothing is saved" in message
    assert f"resume={copied}" in message


NOT_PLOTTED = {
    "no run": ("", "name what to plot", "run=RUN_FOLDER"),
    "run unknown": ("run=nowhere", "nowhere is not a run folder", "it has no config.yaml"),
    "run twice": ("runs=[RUN,RUN]", "a run is named twice", "name each once"),
    "file of another kind": ("run=RUN out=curve.doc", "cannot write out=curve.doc", ".png, .svg, .pdf"),
    "folder missing": ("run=RUN out=none/curve.png", "cannot write out=none/curve.png", "a folder that exists"),
    "metric misspelt": ("run=RUN key=evaluation/return_men", "has 'evaluation/return_men'", "'evaluation/return_mean'"),
    "metric that is a list": ("run=RUN key=evaluation/returns", "'evaluation/returns' is a list", "one number a row"),
    "runs without brackets": ("runs=a,b", "gives several values", "a list as [a,b]"),
}


@pytest.mark.parametrize("case", NOT_PLOTTED)
def test_a_plot_is_refused(case, script, run, folder):
    words, mistake, remedy = NOT_PLOTTED[case]
    message = refusal(script("plot").plot, words.replace("RUN", str(run)).split())
    assert mistake in message
    assert remedy in message
    assert list(folder.iterdir()) == []
