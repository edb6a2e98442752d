"""Hyperparameters that several agents have, each declared once: its meaning, its range, and whether it is static.

``num_envs: int = fields.num_envs(64)`` declares the field of an agent with that agent's own default; to a type checker
it is that default. A field that means something else in one agent is declared there, with ``rlx.settings.hyper``.
"""

from collections.abc import Callable

from rlx.settings import hyper


def _count(doc: str, within: str = "[1, inf)") -> Callable[[int], int]:
    """A whole number that fixes a shape or a branch."""
    return lambda default: hyper(default, doc, within=within, static=True)


def _number(doc: str, within: str) -> Callable[[float], float]:
    """A real number, which can be swept without another compilation."""
    return lambda default: hyper(default, doc, within=within)


def _switch(doc: str) -> Callable[[bool], bool]:
    """On or off."""
    return lambda default: hyper(default, doc, static=True)


def _choice(doc: str, *choices: str) -> Callable[[str], str]:
    """One of some words."""
    return lambda default: hyper(default, doc, choices=choices, static=True)


def _sizes(doc: str) -> Callable[[tuple[int, ...]], tuple[int, ...]]:
    """The widths of layers, one after the other."""
    return lambda default: hyper(default, doc, within="[1, inf)", static=True)


# How experience is collected.
num_envs = _count("parallel environments of one member")
rollout_length = _count("steps of each environment in one learning event")

# What is learned.
discount = _number("discount of one step", "[0, 1]")
trace_decay = _number("lambda of the generalised advantages", "[0, 1]")
n_step = _count("steps of reward before the bootstrap")
truncation_is_terminal = _switch("do not bootstrap at time limits, as the released code")

# From a batch, or from a replay.
num_epochs = _count("passes over the batch of a learning event")
num_minibatches = _count("minibatches in each pass over the batch")
num_updates = _count("gradient updates in one learning event")
batch_size = _count("transitions in a minibatch")
replay_size = _count("transitions the replay holds")
learning_starts = _count("environment steps before the first update", "[0, inf)")
target_period = _count("learning events between copies to the target network")

drop_cut_windows = _switch("leave out n-step windows that a time limit cuts short, as the released code")
prioritise = _switch("draw transitions by their error, not uniformly (Schaul et al. 2016)")
priority_exponent = _number("power of the error in prioritised replay: 0 draws uniformly", "[0, 1]")
importance_exponent = _number("power of the importance weight that corrects for prioritised replay", "[0, 1]")
random_steps = _count("environment steps of uniformly random actions", "[0, inf)")
actor_period = _count("updates of the critics for one of actor, temperature and target critics")
target_rate = _number("share by which target networks follow in each update: tau", "(0, 1]")

# Gradient descent.
learning_rate = _number("the optimiser's step size", "(0, inf)")
anneal = _switch("lower the learning rate linearly to 0 over total_steps")
adam_epsilon = _number("added to the root in Adam's denominator", "(0, inf)")
max_grad_norm = _number("largest global norm of a gradient", "(0, inf)")

# Soft actor-critics.
temperature_learning_rate = _number("step size of the temperature's Adam", "(0, inf)")
initial_temperature = _number("weight of the entropy at the start: alpha", "(0, inf)")
target_entropy = _number("entropy that the temperature aims at, per dimension of the action", "(-inf, inf)")

# Losses of actors and critics.
clip_epsilon = _number("clip range of the probability ratio", "(0, inf)")
clip_value_loss = _switch("clip the change of the value as that of the policy")
value_coefficient = _number("weight of the value loss", "[0, inf)")
entropy_coefficient = _number("weight of the entropy bonus", "[0, inf)")

# Exploration of Q-learners.
epsilon_initial = _number("probability of a random action at the start", "[0, 1]")
epsilon_final = _number("probability of a random action after exploration", "[0, 1]")
epsilon_decay = _number("factor of the probability of a random action with every one taken", "(0, 1]")
exploration_fraction = _number("share of total_steps over which epsilon falls", "(0, 1]")

# Networks.
hidden_sizes = _sizes("units of each hidden layer of the networks")
critic_hidden_sizes = _sizes("units of each hidden layer of the critic")
activation = _choice("activation of the hidden layers", "tanh", "relu", "swish")
normalise_observations = _switch("standardise observations by their running statistics")
