"""A linear-quadratic task in one dimension, and its closed forms under a linear Gaussian policy.

``s' = A s + B a + noise w``, reward ``-(q s^2 + rho a^2)``, policy ``a = K s + deviation e``; ``w`` and ``e`` are
standard normal, and ``K`` is the policy's only parameter. Values, advantages and every component of the gradient's
variance are known exactly, which makes it the oracle of many-actions policy gradients (Nauman and Cygan 2023, section
3), also under a wrong model. The closed forms are ours, in double precision on the host.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rlx.envs.gymnax_api import Environment, EnvParams, EnvState, spaces
from rlx.errors import ConfigurationError
from rlx.types import Key


@struct.dataclass
class LinearQuadraticState(EnvState):
    """Steps taken, int32, and the state, float32 scalar."""

    time: jax.Array
    position: jax.Array


@struct.dataclass
class LinearQuadraticParams(EnvParams):
    """Dynamics, costs, the deviation of start states around 0, and the time limit.

    Attributes:
        drift: ``A``.
        control: ``B``.
        noise: deviation of the state's noise.
        state_cost: ``q``.
        action_cost: ``rho``.
        start_deviation: of start states.
        max_steps_in_episode: after which an episode is truncated.
    """

    drift: float = 0.9
    control: float = 0.5
    noise: float = 0.3
    state_cost: float = 1.0
    action_cost: float = 0.1
    start_deviation: float = 1.0
    max_steps_in_episode: int = 200


class LinearQuadratic(Environment[LinearQuadraticState, LinearQuadraticParams]):
    """The task, ``rlx/linear-quadratic``; it never terminates.

    Args:
        max_action: agents' actions in [-1, 1] are scaled to this. The closed forms know of no bound: it should be
            many deviations of the actions away.
    """

    def __init__(self, max_action: float = 4.0) -> None:
        self.max_action = max_action

    @property
    def default_params(self) -> LinearQuadraticParams:
        """Noticeable noise, and a state that decays by itself."""
        return LinearQuadraticParams()

    def reset_env(self, key: Key, params: LinearQuadraticParams) -> tuple[jax.Array, LinearQuadraticState]:
        """Draw a start state."""
        position = params.start_deviation * jax.random.normal(key)
        state = LinearQuadraticState(time=jnp.zeros((), jnp.int32), position=position)
        return self.observe(key, state, None, params), state

    def step_env(
        self, key: Key, state: LinearQuadraticState, action: jax.Array, params: LinearQuadraticParams
    ) -> tuple[jax.Array, LinearQuadraticState, jax.Array, jax.Array, dict[str, Any]]:
        """Pay for the state and the action, float ``[1]``, and move."""
        position, action = state.position, action[0]
        reward = -(params.state_cost * position**2 + params.action_cost * action**2)
        position = params.drift * position + params.control * action + params.noise * jax.random.normal(key)
        state = LinearQuadraticState(time=state.time + 1, position=position)
        return self.observe(key, state, action, params), state, reward, jnp.zeros((), bool), {}

    def observe(
        self, key: Key, state: LinearQuadraticState, action: jax.Array | None, params: LinearQuadraticParams
    ) -> jax.Array:
        """The state, float32 ``[1]``."""
        return state.position[None]

    def action_space(self, params: LinearQuadraticParams) -> spaces.Box:
        """One number."""
        return spaces.Box(-self.max_action, self.max_action, (1,))

    def observation_space(self, params: LinearQuadraticParams) -> spaces.Box:
        """One number."""
        return spaces.Box(-jnp.inf, jnp.inf, (1,))


@dataclasses.dataclass(frozen=True)
class Solution:
    """The task under the policy ``a = gain s + deviation e``, solved.

    Attributes:
        gain: ``K``, the parameter that gradients are taken of.
        deviation: of the policy's actions, above 0.
        discount: in [0, 1).
        params: the task.

    Raises:
        ConfigurationError: if the state grows without bound.
    """

    gain: float
    deviation: float
    discount: float
    params: LinearQuadraticParams = dataclasses.field(default_factory=LinearQuadraticParams)

    def __post_init__(self) -> None:
        if not abs(self.closed_loop) < 1:
            raise ConfigurationError(
                f"gain={self.gain} makes the state grow: A + B gain is {self.closed_loop:.3g}, "
                "but it must lie between -1 and 1"
            )

    @property
    def closed_loop(self) -> float:
        """``L = A + B K``."""
        return self.params.drift + self.params.control * self.gain

    @property
    def curvature(self) -> float:
        """``P = (q + rho K^2) / (1 - discount L^2)`` of the value."""
        cost = self.params.state_cost + self.params.action_cost * self.gain**2
        return cost / (1 - self.discount * self.closed_loop**2)

    @property
    def offset(self) -> float:
        """``c`` of the value."""
        cost = self.params.action_cost * self.deviation**2
        return (cost + self.discount * self.curvature * self.spread) / (1 - self.discount)

    @property
    def spread(self) -> float:
        """Variance of the next state given a state, the action being drawn: ``B^2 deviation^2 + noise^2``."""
        return self.params.control**2 * self.deviation**2 + self.params.noise**2

    @property
    def state_variance(self) -> float:
        """``S``, of the stationary law."""
        return self.spread / (1 - self.closed_loop**2)

    @property
    def action_curvature(self) -> float:
        """``F = rho + discount P B^2``: the cost of a square of the action, its consequences included."""
        return self.params.action_cost + self.discount * self.curvature * self.params.control**2

    @property
    def slope(self) -> float:
        """``E = rho K + discount P B L``; 0 at the best gain."""
        return float(self.model_slopes(self.params.drift, self.params.control, horizon=1)[0])

    @property
    def gradient(self) -> float:
        """Of the policy-gradient theorem with states of the stationary law: ``-2 E S``."""
        return -2 * self.slope * self.state_variance

    def value(self, state: np.ndarray) -> np.ndarray:
        """``V(s) = -(P s^2 + c)``, elementwise."""
        return -(self.curvature * state**2 + self.offset)

    def advantage(self, state: np.ndarray, draw: np.ndarray) -> np.ndarray:
        """``-2 E deviation s e - F deviation^2 (e^2 - 1)`` of the action ``K s + deviation e``, elementwise."""
        linear = -2 * self.slope * self.deviation * state * draw
        return linear - self.action_curvature * self.deviation**2 * (draw**2 - 1)

    def score(self, state: np.ndarray, draw: np.ndarray) -> np.ndarray:
        """``d ln pi(a | s) / d gain`` of the action ``gain s + deviation draw``, elementwise."""
        return draw * state / self.deviation

    def objective(self, start_variance: float) -> float:
        """Expected discounted return of start states around 0."""
        return -(self.curvature * start_variance + self.offset)

    def objective_gradient(self, start_variance: float) -> float:
        """Of the objective in ``gain``: ``-2 E S_gamma``, with the states that come up later discounted."""
        later = self.discount / (1 - self.discount) * self.spread
        visited = (start_variance + later) / (1 - self.discount * self.closed_loop**2)
        return -2 * self.slope * visited

    def components(self, num_lags: int) -> tuple[float, float, np.ndarray, np.ndarray]:
        """``m, e, alpha_e, alpha`` of `rlx.ops.gradient_variance.Components`, the last two ``[num_lags]``."""
        lags, decay = np.arange(1, num_lags + 1), self.closed_loop
        noise = self.deviation**2 * self.state_variance
        pull = 8 * self.slope**2 * self.state_variance**2
        push = self.params.control * self.slope * noise
        own = 3 * pull + 10 * self.action_curvature**2 * noise
        by_action = push * self.params.control * self.slope * decay ** (2 * lags - 2.0)
        by_chain = push * self.action_curvature * decay ** (2 * lags - 1.0)
        return pull, own, pull * decay ** (2.0 * lags), 8 * (by_action + by_chain)

    def model_slopes(self, drift: np.ndarray | float, control: np.ndarray | float, horizon: int) -> np.ndarray:
        """``E_h``: the slope that ``h`` steps in a deterministic model and then the exact value give.

        Args:
            drift: the model's ``A``, float ``[...]``.
            control: the model's ``B``, float ``[...]``.
            horizon: the largest ``h``, at least 1.

        Returns:
            float64 ``[..., horizon]``, from ``h = 1`` on.
        """
        drift, control = np.asarray(drift, np.float64), np.asarray(control, np.float64)
        closed_loop = drift + control * self.gain
        cost = self.params.state_cost + self.params.action_cost * self.gain**2
        slopes, curvature = [], np.asarray(self.curvature)
        for _ in range(horizon):
            step = self.discount * curvature * control * closed_loop
            slopes.append(self.params.action_cost * self.gain + step)
            curvature = cost + self.discount * closed_loop**2 * curvature
        return np.stack(slopes, axis=-1)

    def action_simulation_gradient(self, slopes: np.ndarray, trace_decay: float, num_actions: int) -> np.ndarray:
        """Expected gradient of each state's real action and ``num_actions`` simulated ones (MBMA), ``[...]``.

        Args:
            slopes: of the model, ``[..., H]``.
            trace_decay: lambda.
            num_actions: simulated in each state.
        """
        simulated = -2 * lambda_slope(slopes, trace_decay) * self.state_variance
        return (self.gradient + num_actions * simulated) / (num_actions + 1)

    def state_simulation_gradient(
        self, drift: np.ndarray | float, control: np.ndarray | float, horizon: int, trace_decay: float, num_states: int
    ) -> np.ndarray:
        """Expected gradient of the real state and of ``num_states`` < ``horizon`` simulated ones (MBPO), ``[...]``.

        The model knows no noise, so its states after ``j`` steps, ``S_j``, are less spread out than real ones even
        where its ``A`` and ``B`` are right.
        """
        slopes = self.model_slopes(drift, control, horizon)
        closed_loop = np.asarray(drift) + np.asarray(control) * self.gain
        variance, total = np.asarray(self.state_variance), np.asarray(self.gradient)
        for step in range(1, num_states + 1):
            variance = closed_loop**2 * variance + np.square(control) * self.deviation**2
            total = total - 2 * lambda_slope(slopes[..., : horizon - step], trace_decay) * variance
        return total / (num_states + 1)


def lambda_slope(slopes: np.ndarray, trace_decay: float) -> np.ndarray:
    """``E_lam``: how a lambda-return mixes the slopes of 1 to ``H`` steps, ``[..., H]`` to ``[...]``."""
    horizon = slopes.shape[-1]
    weights = trace_decay ** np.arange(horizon, dtype=np.float64)
    weights[:-1] *= 1 - trace_decay
    return slopes @ weights
