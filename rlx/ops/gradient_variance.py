"""Variance of many-actions policy gradients, what lowers it, and which of two ways pays (Nauman and Cygan 2023, 3).

"On Many-Actions Policy Gradient", ICML 2023, https://arxiv.org/abs/2210.13011. A gradient estimate is the average of
``G(s_t, a_t^n) = A(s_t, a_t^n) grad ln pi(a_t^n | s_t)`` over the ``T`` states of a trajectory and ``N`` actions of
each state, of which only action 0 moves the chain. The chain starts in its stationary law, values are exact, and every
state has the same weight, ``w_t = 1``: with the discounted weights of the paper's notation its decomposition is not
exact, and no code applies them.

Variance is meant per parameter. All formulas are linear in the components, so they hold as well for sums over
parameters, such as the trace of the covariance. Differences of variances cancel: outside of `diagnose` use float64.
"""

import jax
import jax.numpy as jnp
from flax import struct

from rlx.errors import ConfigurationError

Scalar = float | jax.Array
Count = int | jax.Array


@struct.dataclass
class Components:
    """What the variance of every ``N`` and ``T`` is made of, with ``Gbar(s) = E_a G(s, a)``.

    Attributes:
        state_variance: ``m = Var_s Gbar(s)``, float ``[...]``.
        action_variance: ``e = E_s Var_a G(s, a)``, float ``[...]``.
        state_covariance: ``alpha_e(t) = Cov(Gbar(s_0), Gbar(s_t))``, float ``[lags, ...]`` from lag 1 on.
        action_covariance: ``alpha(t) = E_s Cov_a(G(s_0, a_0), E[Gbar(s_t) | s_0, a_0])``, float ``[lags, ...]`` from
            lag 1 on. Covariances at lags beyond those given count as 0.
    """

    state_variance: jax.Array
    action_variance: jax.Array
    state_covariance: jax.Array
    action_covariance: jax.Array

    @property
    def lags(self) -> jax.Array:
        """``t`` of the covariances, ``[lags]``."""
        return jnp.arange(1, len(self.state_covariance) + 1)


@struct.dataclass
class Diagnosis:
    """What one batch says about its own gradient; float scalars, all summed over parameters.

    Attributes:
        variance: of the batch's gradient.
        action_gain: by how much one more action in every state lowers it.
        step_gain: by how much trajectories longer by ``delta T`` steps lower it, for the same price.
    """

    variance: jax.Array
    action_gain: jax.Array
    step_gain: jax.Array

    @property
    def more_actions_pay(self) -> jax.Array:
        """Whether one more action in every state is the better buy, bool."""
        return self.action_gain >= self.step_gain


def parts(components: Components, num_steps: Count) -> tuple[jax.Array, jax.Array]:
    """The marginalised-policy part ``M_T`` and the policy-dependent part ``P_T`` of the variance (Eq. 4 and 6).

    Args:
        components: of the gradient.
        num_steps: ``T``, at least 1.

    Returns:
        ``M_T = m + 2 sum_t (T - t) / T alpha_e(t)`` and ``P_T = e + 2 sum_t (T - t) / T alpha(t)``, floats ``[...]``.
        More actions lower the second only.
    """
    weights = jnp.maximum(num_steps - components.lags, 0) / num_steps
    marginalised = components.state_variance + 2 * _weigh(weights, components.state_covariance)  # Eq. 4
    policy_dependent = components.action_variance + 2 * _weigh(weights, components.action_covariance)  # Eq. 6
    return marginalised, policy_dependent


def variance(components: Components, num_actions: Count, num_steps: Count) -> jax.Array:
    """``V(N, T) = (M_T + P_T / N) / T``: the variance with ``N`` actions in each of ``T`` states (Lemma 3.1).

    Returns:
        float [...].
    """
    marginalised, policy_dependent = parts(components, num_steps)
    return (marginalised + policy_dependent / num_actions) / num_steps


def action_change(components: Components, num_actions: Count, num_steps: Count) -> jax.Array:
    """``Delta_N = V(N + 1, T) - V(N, T)``: what one more action in every state changes (Lemma 3.2).

    Returns:
        ``-P_T / (T (N^2 + N))``, float [...], negative where it lowers the variance.
    """
    _, policy_dependent = parts(components, num_steps)
    return -policy_dependent / (num_steps * (num_actions**2 + num_actions))


def step_change(
    components: Components, num_actions: Count, num_steps: Count, delta: Scalar, exact_tail: bool = False
) -> jax.Array:
    """``Delta_T = V(N, T + delta T) - V(N, T)``: what a longer trajectory changes (Lemma 3.2).

    Args:
        components: of the gradient.
        num_actions: ``N``, at least 1.
        num_steps: ``T``, at least 1.
        delta: share of ``T`` to add, above 0.
        exact_tail: count covariances at lags from ``T`` on. The paper drops them, taking the chain to forget within
            ``T`` steps. Static.

    Returns:
        ``-delta / (T + delta T) {C(0) + 2 sum_t w_t C(t)}``, float [...], negative where it lowers the variance.
    """
    lags, longer = components.lags, (1 + delta) * num_steps
    # C(t) = alpha_e(t) + alpha(t) / N
    covariance = components.state_covariance + components.action_covariance / num_actions
    covariances = _weigh(_lengthening_weights(lags, num_steps, longer), covariance)
    bracket = components.state_variance + components.action_variance / num_actions + 2 * covariances
    if exact_tail:
        tail = jnp.where(lags >= num_steps, jnp.maximum(longer - lags, 0) / longer, 0.0)
        bracket = bracket - (2 / delta) * _weigh(tail, covariance)
    return -delta / longer * bracket


def condition_sides(
    components: Components, num_actions: Count, num_steps: Count, delta: Scalar
) -> tuple[jax.Array, jax.Array]:
    """Both sides of the many-actions optimality condition (Eq. 14), without the tail of `step_change`.

    Args:
        components: of the gradient.
        num_actions: ``N``, at least 1.
        num_steps: ``T``, at least 1.
        delta: price of one more action in every state, in lengths of the trajectory, above 0.

    Returns:
        Two floats ``[...]``: one more action beats ``delta T`` more steps where the first is at least the second.
    """
    lags, longer = components.lags, (1 + delta) * num_steps
    pairs = num_actions**2 + num_actions
    rise, fall = (1 + delta) * (1 - delta * num_actions), 1 - 2 * delta * num_actions - delta**2 * num_actions
    weights = jnp.where(lags < num_steps, (rise * num_steps - fall * lags) / (delta * longer * pairs), 0.0)
    actions = _weigh(weights, components.action_covariance)
    steps = _weigh(_lengthening_weights(lags, num_steps, longer), components.state_covariance)
    left = bandit_bound(num_actions, delta) * components.action_variance + 2 * actions
    right = components.state_variance + 2 * steps
    return left, right


def theorem_sides(components: Components, num_steps: Count) -> tuple[jax.Array, jax.Array]:
    """Both sides of the condition for a second action at the price of a second trajectory (Theorem 3.3).

    Returns:
        ``sum_t t / T C(t)`` and ``m + 2 sum_t (T - t) / T alpha_e(t)``, floats ``[...]``: two actions in ``T`` states
        beat one in ``2 T`` where the first is at least the second.
    """
    lags = components.lags
    covariance = components.state_covariance + components.action_covariance
    elapsed = jnp.where(lags < num_steps, lags / num_steps, 0.0)
    remaining = jnp.maximum(num_steps - lags, 0) / num_steps
    left = _weigh(elapsed, covariance)
    right = components.state_variance + 2 * _weigh(remaining, components.state_covariance)
    return left, right


def bandit_bound(num_actions: Count, delta: Scalar) -> Scalar:
    """What ``m / e`` may be at most for one more action to pay where states are independent (Corollary 3.4).

    ``(1 - delta N) / (delta (N^2 + N))``: negative, hence out of reach, once ``delta * num_actions`` exceeds 1.
    """
    return (1 - delta * num_actions) / (delta * (num_actions**2 + num_actions))


def split_variances(one_action: jax.Array, two_actions: jax.Array, num_steps: Count) -> tuple[jax.Array, jax.Array]:
    """``M_T = T (2 V_2 - V_1)`` and ``P_T = 2 T (V_1 - V_2)``: Lemma 3.1 at ``N = 1`` and ``N = 2`` solved for both.

    The paper measures the parts, without saying how (Table 1, App. C.2); this is our reading.

    Args:
        one_action: ``V(1, T)`` over independent trajectories, float [...].
        two_actions: ``V(2, T)``, float [...].
        num_steps: ``T``.
    """
    return num_steps * (2 * two_actions - one_action), 2 * num_steps * (one_action - two_actions)


def chain_components(gradients: jax.Array, policy: jax.Array, transition: jax.Array, num_lags: int) -> Components:
    """The exact components of a finite chain in its stationary law.

    Args:
        gradients: ``G(s, a)``, float [S, A, ...].
        policy: probability of each action, float [S, A].
        transition: probability of each next state, float [S, A, S]; every state can be reached from every other.
        num_lags: how many covariances.
    """
    kernel = jnp.einsum("sa,sax->sx", policy, transition)
    num_states = len(kernel)
    # law kernel = law and law 1 = 1, in one regular system.
    law = jnp.linalg.solve((jnp.eye(num_states) - kernel + 1).T, jnp.ones(num_states))
    mean = jnp.einsum("sa,sa...->s...", policy, gradients)  # Gbar(s)
    state_part = mean - jnp.einsum("s,s...->...", law, mean)
    action_part = gradients - mean[:, None]

    def lengthen(expected: jax.Array, _: None) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """From ``E[Gbar(s_{t-1}) | s_0]`` to the next, and both covariances at lag ``t``."""
        after_action = jnp.einsum("sax,x...->sa...", transition, expected)
        expected = jnp.einsum("sx,x...->s...", kernel, expected)
        by_state = jnp.einsum("s,s...->...", law, state_part * expected)
        by_action = jnp.einsum("s,sa,sa...->...", law, policy, action_part * after_action)
        return expected, (by_state, by_action)

    _, (state_covariance, action_covariance) = jax.lax.scan(lengthen, state_part, length=num_lags)
    return Components(
        state_variance=jnp.einsum("s,s...->...", law, state_part**2),
        action_variance=jnp.einsum("s,sa,sa...->...", law, policy, action_part**2),
        state_covariance=state_covariance,
        action_covariance=action_covariance,
    )


def estimate_components(gradients: jax.Array, num_lags: int) -> Components:
    """Components from on-policy batches in which every state has several actions; no state is visited twice.

    Actions beyond the first do not move the chain, so what they share with later states is ``alpha_e``, and what the
    first has beyond that is ``alpha``. ``e`` is unbiased. The other components lack the variance of the batch's mean,
    which is small where ``B T`` is many times the chain's memory. Nothing is clipped: ``m`` may come out negative.

    Args:
        gradients: ``G(s_t, a_t^n)``, float [B, T, N, ...], of ``B`` trajectories, ``N`` at least 2; action 0 is the one
            executed. Trajectories may run across resets, which are part of the chain.
        num_lags: how many covariances, less than ``T``; more than the chain's memory adds noise only.

    Raises:
        ConfigurationError: if there is one action a state only, or ``num_lags`` does not fit.
    """
    num_steps, num_actions = gradients.shape[1:3]
    if num_actions < 2:
        raise ConfigurationError("the variance over actions needs at least 2 actions in every state, not 1")
    if not 0 <= num_lags < num_steps:
        raise ConfigurationError(f"num_lags={num_lags} needs trajectories longer than the {num_steps} steps given")
    centred = gradients - gradients.mean(axis=(0, 1, 2))
    mean = centred.mean(axis=2)
    others = centred[:, :, 1:].mean(axis=2)
    executed = centred[:, :, 0] - others

    def at_lag(lag: jax.Array) -> tuple[jax.Array, jax.Array]:
        inside = (jnp.arange(num_steps) < num_steps - lag).reshape(-1, *[1] * (mean.ndim - 2))
        later = jnp.where(inside, jnp.roll(mean, -lag, axis=1), 0.0)
        share = num_steps / (num_steps - lag)
        return share * (others * later).mean(axis=(0, 1)), share * (executed * later).mean(axis=(0, 1))

    state_covariance, action_covariance = jax.lax.map(at_lag, jnp.arange(1, num_lags + 1))
    action_variance = jnp.var(centred, axis=2, ddof=1).mean(axis=(0, 1))
    state_variance = jnp.square(mean).mean(axis=(0, 1)) - action_variance / num_actions
    return Components(state_variance, action_variance, state_covariance, action_covariance)


def diagnose(gradients: jax.Array, delta: Scalar, num_lags: int, num_actions: Count | None = None) -> Diagnosis:
    """Whether more actions or longer trajectories pay now, from the batch that an agent has at hand.

    The paper states its condition and never evaluates it; this estimates both sides of it from one batch, by
    `estimate_components`. It takes for granted that policy, critic and model are fixed within the batch, that the
    batch is many times longer than ``num_lags``, and that ``G`` is exact: noise or bias of advantages counts as
    variance over actions. One batch is noisy; average the gains of several before acting on them.

    Variances add up over parameters, so ``P`` may be any of them, or projections of all of them: the bias of the
    policy's last layer and its log deviations cost no backward pass and stand for the scale of the rest, while the dot
    products with ``P`` standard normal vectors, over the root of ``P``, estimate the whole trace without bias.

    Args:
        gradients: ``G(s_t, a_t^n)``, float [B, T, N, P], of ``B`` independent trajectories; action 0 is executed.
        delta: price of one more action in every state in lengths of the trajectory, at least 0. For simulated actions
            it is a matter of compute: in steps of the environment they are free.
        num_lags: see `estimate_components`.
        num_actions: of each state that the gradient in question averages over, at least 1; by default all ``N``.
    """
    num_trajectories, num_steps, given, _ = gradients.shape
    num_actions = given if num_actions is None else num_actions
    components = jax.tree.map(lambda leaf: leaf.sum(axis=-1), estimate_components(gradients, num_lags))
    return Diagnosis(
        variance=variance(components, num_actions, num_steps) / num_trajectories,
        action_gain=-action_change(components, num_actions, num_steps) / num_trajectories,
        step_gain=-step_change(components, num_actions, num_steps, delta) / num_trajectories,
    )


def _lengthening_weights(lags: jax.Array, num_steps: Count, longer: Scalar) -> jax.Array:
    """``(T - t) / T - t / (T + delta T)`` up to lag ``T - 1``."""
    return jnp.where(lags < num_steps, (num_steps - lags) / num_steps - lags / longer, 0.0)


def _weigh(weights: jax.Array, covariances: jax.Array) -> jax.Array:
    """Weighted sum over lags, ``[...]``."""
    return jnp.tensordot(weights, covariances, axes=1)
