"""Train an agent in an environment: ``python experiments/train.py agent=ppo env=brax/halfcheetah num_seeds=4``."""

import sys

import rlx
from rlx import cli


def train(words: list[str]) -> None:
    """Start a run from overrides, or go on with one (``resume=RUN_FOLDER``)."""
    folders = [word.removeprefix("resume=") for word in words if word.startswith("resume=")]
    if folders and (len(words) > 1 or not folders[0]):
        raise rlx.ConfigurationError("resume=RUN_FOLDER stands alone: a run goes on with the settings it began with")
    if folders:
        trained = rlx.resume(folders[0])
    else:
        config = cli.compose_config(words)
        agent, env = config.build()
        from rlx import verbs  # it loads all that trains, which a refusal above should not wait for

        trained = verbs.train_checked([agent], env, config.settings)
    if not trained.finished:
        raise KeyboardInterrupt


if __name__ == "__main__":
    cli.main(train, lambda: cli.train_help(sys.argv[1:]))
