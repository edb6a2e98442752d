"""A policy of which a third is dead, before and after one reset."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from papers.ace.identification import PAPER

from rlx import build
from rlx.agents.ace import ACE
from rlx.agents.sac import Learner
from rlx.networks.dormancy import dormancy
from rlx.reproduce.jobs import Chunked, outputs
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table
from rlx.types import Box, EnvSpec, Key, PyTree

WIDTH, DEAD, STATES = 64, 32, 256
NEURONS = 3 * WIDTH + 2 * 8  # three hidden layers and two heads
BEFORE, AFTER = "before", "after a reset"


def measure(agent: ACE, key: Key) -> dict[str, jax.Array]:
    """Dormancy of a policy with 64 dead neurons, and of what a reset makes of it."""
    init_key, obs_key, direction_key, noise_key, reset_key = jax.random.split(key, 5)
    state = agent.init(init_key)
    actor = with_dead_neurons(state.params["actor"])
    obs, direction = jax.random.normal(obs_key, (STATES, 7)), jax.random.normal(direction_key, (8,))

    def loss(params: PyTree) -> jax.Array:
        action, log_prob = agent.sac.sample(params, obs, noise_key, None)
        return 0.1 * log_prob.mean() - (action @ direction).mean()

    share = lambda params: dormancy(jax.grad(loss)(params), agent.dormancy_threshold)  # noqa: E731
    before = share(actor)
    learner = Learner(state.params | {"actor": actor}, state.target_params, state.opt_state)
    after = share(agent.mixed(learner, before, reset_key).params["actor"])
    return {BEFORE: before, AFTER: after}


def with_dead_neurons(actor: PyTree) -> PyTree:
    """The policy with half of the neurons of its second and third layer always off."""
    torso = dict(actor["params"]["torso"])
    for layer in ("Dense_1", "Dense_2"):
        kernel, bias = torso[layer]["kernel"], torso[layer]["bias"]
        torso[layer] = {"kernel": kernel.at[:, :DEAD].set(0.0), "bias": bias.at[:DEAD].set(-0.05)}
    return {"params": actor["params"] | {"torso": torso}}


def jobs(scale: Scale) -> Sequence[Chunked]:
    """One job: a chunk is a seed."""
    spec = EnvSpec("dead neurons", (7,), "float32", Box(8), None)
    agent = build.make_agent("ace", spec, hidden_sizes=[WIDTH] * 3, replay_size=1, weights="none")
    assert isinstance(agent, ACE)
    once = jax.jit(lambda key: measure(agent, key))

    def advance(state: PyTree, chunk: int) -> tuple[PyTree, dict[str, np.ndarray]]:
        return state, {name: np.asarray(share)[None] for name, share in once(jax.random.key(chunk)).items()}

    settings = {"width": WIDTH, "dead": DEAD, "states": STATES, "seeds": scale.seeds}
    return [Chunked("dormancy", settings, scale.seeds, lambda: np.zeros(()), advance)]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """The share of dormant neurons."""
    return [Cell({"when": when}, "dormant neurons", shares) for when, shares in outputs(folders["dormancy"]).items()]


def the_dead_are_found(cells: Cells) -> Outcome:
    """All of the dead neurons count as dormant."""
    found = cells.one(when=BEFORE).scores
    return Outcome(
        bool(found.min() >= 0.28), f"{found.min():.3f} to {found.max():.3f}; {2 * DEAD / NEURONS:.3f} are dead"
    )


def a_reset_revives_them(cells: Cells) -> Outcome:
    """Hardly any are dormant after a single reset."""
    found = cells.one(when=AFTER).scores
    return Outcome(bool(found.max() <= 0.10), f"{found.min():.3f} to {found.max():.3f}")


TABLE = Table(
    title="Dormant neurons of a policy of which a third is dead",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(5, "one reset", "seconds")},
    jobs=jobs,
    cells=cells,
    claims=(
        Claim("Dormancy finds the dead neurons", "at least 0.28, every seed", the_dead_are_found),
        Claim("A reset revives them", "at most 0.10 after one, every seed", a_reset_revives_them),
    ),
    statistic="mean",
    notes="A new policy, whose loss is `0.1 E L - E c.a` on 256 random observations, `c` a random direction.",
)
