"""Gradients of many-actions methods on the linear-quadratic task, exact and simulated, and diagnoses of batches."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from rlx.envs.linear_quadratic import LinearQuadraticParams, Solution
from rlx.ops import gradient_variance
from rlx.ops.gradient_variance import Components

DISCOUNT, TRACE_DECAY, DEVIATION = 0.99, 0.95, 0.5
NUM_STEPS, NUM_ACTIONS, HORIZON = 32, 8, 9
SIMULATED = Solution(
    -0.5, 0.4, 0.9, LinearQuadraticParams(drift=0.8, control=1.0, noise=0.2, state_cost=1.0, action_cost=0.5)
)
MODELLED = Solution(-0.4, DEVIATION, DISCOUNT)

TRAJECTORIES = 200_000
SIZES = tuple((actions, steps) for actions in (1, 2, 4) for steps in (1, 2, 4, 8, 16))
ESTIMATES = 1_000
BIASED = ("MBMA", "MBPO", "QMA", "QMA, one-step targets")
METHODS = ("single action", "true many actions", *BIASED)
FACTORS = (0.5, 2.0)
BATCH, LAGS, AVERAGED = 2048, 30, 8


def components(solution: Solution, num_lags: int = 100) -> Components:
    """The exact components of a policy's gradient."""
    return Components(*(jnp.asarray(leaf, jnp.float32) for leaf in solution.components(num_lags)))


def exact_variance(solution: Solution, num_actions: int, num_steps: int) -> float:
    """``V(N, T)``."""
    return float(gradient_variance.variance(components(solution), num_actions, num_steps))


def next_state(solution: Solution, state: np.ndarray, draw: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What the task makes of states and the policy's draws."""
    moved = solution.closed_loop * state + solution.params.control * solution.deviation * draw
    return moved + solution.params.noise * rng.standard_normal(state.shape)


def simulated_variances(chunk: int) -> np.ndarray:
    """Variance of the gradient over independent trajectories, ``[SIZES]``."""
    rng = np.random.default_rng((1, chunk))
    widths, lengths = zip(*SIZES, strict=True)
    state = np.sqrt(SIMULATED.state_variance) * rng.standard_normal(TRAJECTORIES)
    sums = {width: np.zeros(TRAJECTORIES) for width in set(widths)}
    found = {}
    for step in range(1, max(lengths) + 1):
        draws = rng.standard_normal((max(widths), TRAJECTORIES))
        samples = SIMULATED.score(state, draws) * SIMULATED.advantage(state, draws)
        for width, total in sums.items():
            total += samples[:width].mean(axis=0)
            found[width, step] = (total / step).var()
        state = next_state(SIMULATED, state, draws[0], rng)
    return np.array([found[size] for size in SIZES])


def features(state: np.ndarray, action: np.ndarray) -> np.ndarray:
    """All monomials of state and action up to the second degree, ``[..., 6]``."""
    return np.stack([np.ones_like(state), state, action, state**2, state * action, action**2], axis=-1)


def fit(num_transitions: int, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Least squares on one trajectory: the model's ``A`` and ``B``, and the weights of both kinds of Q-function."""
    solution, task = MODELLED, MODELLED.params
    states = np.sqrt(solution.state_variance) * rng.standard_normal(num_transitions + 1)
    draws = rng.standard_normal(num_transitions)
    for step, draw in enumerate(draws):
        states[step + 1] = next_state(solution, states[step], draw, rng)
    state, action = states[:-1], solution.gain * states[:-1] + solution.deviation * draws
    rewards = -(task.state_cost * state**2 + task.action_cost * action**2)
    one_step = rewards + DISCOUNT * solution.value(states[1:])
    returns, following = np.empty_like(one_step), solution.value(states[-1])
    for step in reversed(range(num_transitions)):
        bootstrap = (1 - TRACE_DECAY) * solution.value(states[step + 1]) + TRACE_DECAY * following
        returns[step] = following = rewards[step] + DISCOUNT * bootstrap
    model = np.linalg.lstsq(np.stack([state, action], axis=-1), states[1:], rcond=None)[0]
    inputs = features(state, action)
    targets = {"QMA": returns, "QMA, one-step targets": one_step}
    return model, {name: np.linalg.lstsq(inputs, target, rcond=None)[0] for name, target in targets.items()}


def expected_gradients(model: np.ndarray, q_weights: Mapping[str, np.ndarray]) -> dict[str, float]:
    """What each method's gradient is on average, in closed form."""
    solution = MODELLED
    slopes = solution.model_slopes(model[0], model[1], HORIZON)
    found = {
        "MBMA": float(solution.action_simulation_gradient(slopes, TRACE_DECAY, NUM_ACTIONS)),
        "MBPO": float(solution.state_simulation_gradient(model[0], model[1], HORIZON, TRACE_DECAY, NUM_ACTIONS)),
    }
    for name, weights in q_weights.items():
        simulated = (weights[4] + 2 * solution.gain * weights[5]) * solution.state_variance
        found[name] = float((solution.gradient + NUM_ACTIONS * simulated) / (NUM_ACTIONS + 1))
    return found


def imagined(model: np.ndarray, start: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """States of rollouts in the model, and lambda-advantages of their actions with exact values.

    Args:
        model: ``A`` and ``B``.
        start: float ``[...]``.
        draws: of the policy, ``[H, ...]``.

    Returns:
        Two arrays ``[H, ...]``; the advantage at step ``j`` is that of the remaining ``H - j`` steps.
    """
    solution, task = MODELLED, MODELLED.params
    states = np.empty((HORIZON + 1, *start.shape))
    states[0] = start
    actions = np.empty_like(draws)
    for step, draw in enumerate(draws):
        actions[step] = solution.gain * states[step] + solution.deviation * draw
        states[step + 1] = model[0] * states[step] + model[1] * actions[step]
    rewards = -(task.state_cost * states[:-1] ** 2 + task.action_cost * actions**2)
    values = solution.value(states)
    advantages = rewards + DISCOUNT * values[1:] - values[:-1]
    for step in reversed(range(HORIZON - 1)):
        advantages[step] += DISCOUNT * TRACE_DECAY * advantages[step + 1]
    return states[:-1], advantages


def estimate_variances(
    model: np.ndarray, q_weights: Mapping[str, np.ndarray], rng: np.random.Generator
) -> dict[str, float]:
    """Variance of each method's gradient over independent trajectories."""
    solution = MODELLED
    state = np.sqrt(solution.state_variance) * rng.standard_normal(ESTIMATES)
    totals = {method: np.zeros(ESTIMATES) for method in METHODS}
    for _ in range(NUM_STEPS):
        draw = rng.standard_normal(ESTIMATES)
        draws = rng.standard_normal((HORIZON, NUM_ACTIONS, ESTIMATES))
        extra = draws[0]
        score, action = solution.score(state, extra), solution.gain * state + solution.deviation * extra
        states, advantages = imagined(model, np.broadcast_to(state, extra.shape), draws)
        # One rollout gives the simulated states: those after 1 to 8 steps.
        visited = solution.score(states[1:, 0], draws[1:, 0]) * advantages[1:, 0]
        samples = {
            "true many actions": score * solution.advantage(state, extra),
            "MBMA": score * advantages[0],
            "MBPO": visited,
        }
        for name, weights in q_weights.items():
            q_values = features(np.broadcast_to(state, action.shape), action) @ weights
            samples[name] = score * (q_values - solution.value(state))
        real = solution.score(state, draw) * solution.advantage(state, draw)
        totals["single action"] += real
        for method, sample in samples.items():
            totals[method] += (real + sample.sum(axis=0)) / (NUM_ACTIONS + 1)
        state = next_state(solution, state, draw, rng)
    return {method: float((total / NUM_STEPS).var(ddof=1)) for method, total in totals.items()}


def break_even(solution: Solution, num_actions: int, num_steps: int) -> float:
    """The price of one more action in every state at which more steps are as good, in trajectories."""
    exact = components(solution)
    low, high = 1e-3, 1e3
    for _ in range(40):
        middle = float(np.sqrt(low * high))
        left, right = gradient_variance.condition_sides(exact, num_actions, num_steps, middle)
        low, high = (middle, high) if left >= right else (low, middle)
    return low


def diagnoses(gain: float, seeds: int) -> np.ndarray:
    """Whether diagnoses of batches with two actions a state are right, ``[seeds, FACTORS, 2]``.

    The price of an action is half and twice the one at which both are equally good. The last axis has what a single
    batch says and what the gains of ``AVERAGED`` batches say on average.
    """
    solution = Solution(gain, DEVIATION, DISCOUNT)
    rng = np.random.default_rng(2)
    state = np.sqrt(solution.state_variance) * rng.standard_normal(seeds * AVERAGED)
    gradients = np.empty((BATCH, 2, len(state)), np.float32)
    for step in range(BATCH):
        draws = rng.standard_normal((2, len(state)))
        gradients[step] = solution.score(state, draws) * solution.advantage(state, draws)
        state = next_state(solution, state, draws[0], rng)
    batches = jnp.moveaxis(jnp.asarray(gradients), -1, 0)[:, None, :, :, None]
    even = break_even(solution, 2, BATCH)

    @jax.jit
    def advantages_of_actions(delta: jax.Array) -> jax.Array:
        def compare(batch: jax.Array) -> jax.Array:
            diagnosis = gradient_variance.diagnose(batch, delta, LAGS)
            return diagnosis.action_gain - diagnosis.step_gain

        return jax.lax.map(compare, batches)

    right = []
    for factor in FACTORS:
        advantages = np.asarray(advantages_of_actions(factor * even)).reshape(seeds, AVERAGED)
        verdicts = np.stack([advantages[:, 0], advantages.mean(axis=1)], axis=-1) >= 0
        right.append(verdicts == (factor < 1))
    return np.stack(right, axis=1)
