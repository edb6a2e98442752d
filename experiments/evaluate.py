"""Evaluate a run's newest policy again and draw an episode: ``python experiments/evaluate.py run=RUN_FOLDER``."""

import dataclasses
from pathlib import Path

import jax
import numpy as np

import rlx
from rlx import cli
from rlx.envs import render
from rlx.loggers.jsonl import read_rows
from rlx.paths import expand
from rlx.report.runs import place_beside
from rlx.run_config import differing
from rlx.runner.evaluate import record
from rlx.runner.population import evaluation_keys
from rlx.settings import hyper
from rlx.verbs import Trained

_DIFFERENT = "not equal to the logged evaluation: another device, number of devices or version changes the last bits"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to evaluate and draw."""

    run: str = hyper(dataclasses.MISSING, "the run's folder")
    num_episodes: int | None = hyper(None, "episodes a member; as the run did if null", within="[1, inf)")
    mode: str | None = hyper(None, "how the policy acts; as the run did if null", choices=("greedy", "sample"))
    draw: bool = hyper(True, "draw an episode of one member")
    out: str | None = hyper(None, "folder to draw into; null: RUN_FOLDER/episodes, or here if that cannot be written")
    member: int = hyper(0, "member whose episode is drawn", within="[0, inf)")


def evaluate(words: list[str]) -> None:
    """Print each member's return, say whether it equals the logged one, and draw an episode."""
    settings = cli.parse_settings(words, Settings)
    trained = rlx.load(settings.run)
    if settings.member >= len(trained.members):
        raise rlx.ConfigurationError(f"member={settings.member}: the run has {len(trained.members)} member(s), from 0")
    returns = np.asarray(rlx.evaluate(trained, num_episodes=settings.num_episodes, mode=settings.mode).returns)
    print(f"step {trained.step}, {returns.shape[1]} episodes a member")
    differences = differing([member.agent for member in trained.members])
    for member, values, own in zip(trained.members, returns, differences, strict=True):
        names = [f"seed {member.seed}", *(f"{name} {value:g}" for name, value in own.items())]
        print(f"  {', '.join(names)}: return {values.mean():.4g} ± {values.std():.3g}")
    if settings.num_episodes is None and settings.mode is None:
        rows = [row for row in read_rows(Path(settings.run) / "metrics.jsonl") if row["step"] == trained.step]
        same = [row["evaluation/returns"] for row in rows] == returns.tolist()
        print("equal to the logged evaluation, bit for bit" if same else _DIFFERENT)
    if settings.draw:
        folder = expand(settings.out) if settings.out else place_beside(trained.folder, "episodes")
        print(f"episode drawn in {draw(trained, settings.member, folder)}")


def draw(trained: Trained, member: int, folder: Path) -> Path:
    """Draw the first episode of ``member``'s evaluation policy; an HTML viewer for Brax, a GIF elsewhere."""
    agent, state = jax.tree.map(lambda x: x[member], (trained.agents, trained.state))
    seeds = [member.seed for member in trained.members]
    key = evaluation_keys(seeds, trained.step)[member]
    how = (trained.settings.eval_mode, trained.settings.eval_max_steps)
    states, rewards = record(agent, trained.env, state, key, *how)
    suffix = "html" if trained.env.name.startswith("brax/") else "gif"
    name = f"seed{seeds[member]}" if len(set(seeds)) == len(seeds) else f"member{member}"
    path = folder / f"{name}-step{trained.step}.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if suffix == "html":
        render.render_html(trained.env, states, path)
    else:
        render.render_gif(trained.env, states, rewards, path)
    return path


if __name__ == "__main__":
    cli.main(evaluate, lambda: f"{__doc__}\n\n{cli.describe(Settings)}")
