"""SAC in NumPy and double precision, written from its definition; networks have one hidden layer of ReLUs."""

import jax
import jax.numpy as jnp
import numpy as np
from by_hand import Adam, doubles, gradient

from rlx.types import Transition


def affine(x, layer):
    return x @ layer["kernel"] + layer["bias"]


def policy(actor, obs, noise, weights=1.0):
    """Actions ``[B, D]`` and weighted log-probabilities ``[B]``."""
    p = actor["params"]
    hidden = np.maximum(affine(obs, p["torso"]["Dense_0"]), 0)
    mean, log_std = affine(hidden, p["mean"]), np.clip(affine(hidden, p["log_std"]), -20, 2)
    action = np.tanh(mean + np.exp(log_std) * noise)
    density = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi)
    return action, (weights * (density - np.log(1 - action**2))).sum(-1)


def values(critics, obs, action):
    """Of both critics, ``[2, B]``."""
    pair, p = np.concatenate([obs, action], -1), critics["params"]

    def one(k):
        layer = lambda x, weights: affine(x, {name: leaf[k] for name, leaf in weights.items()})  # noqa: E731
        return layer(np.maximum(layer(pair, p["torso"]["Dense_0"]), 0), p["head"])[:, 0]

    return np.stack([one(0), one(1)])


def actor_loss(actor, critics, obs, noise, alpha, weights=1.0):
    action, log_prob = policy(actor, obs, noise, weights)
    return np.mean(alpha * log_prob - values(critics, obs, action).min(0))


def critic_loss(critics, batch, y):
    return sum(np.mean((q - y) ** 2) for q in values(critics, batch.obs, batch.action))


class ByHand:
    """What an agent learns, update by update."""

    def __init__(self, agent, state):
        self.agent = agent
        self.params, self.target = doubles(state.params), doubles(state.target_params)
        self.adams = {name: Adam(part, np.inf, 1e-8) for name, part in state.params.items()}

    def update(self, batch, noises, weights=1.0, alpha=None, improves=True):
        """One update on a minibatch, with the normal draws of critics and actor; returns the critics' loss."""
        critic_noise, actor_noise = (np.float64(noise) for noise in noises)
        alpha = np.exp(self.params["log_alpha"]) if alpha is None else alpha
        action, log_prob = policy(self.params["actor"], batch.next_obs, critic_noise, weights)
        value = values(self.target, batch.next_obs, action).min(0) - alpha * log_prob
        y = batch.reward + float(self.agent.discount) * ~batch.terminated * value
        loss = lambda critics: critic_loss(critics, batch, y)  # noqa: E731
        before = loss(self.params["critics"])
        self._step("critics", gradient(loss, self.params["critics"]), self.agent.learning_rate)
        if improves:
            self._improve(batch.obs, actor_noise, weights, alpha)
        return before

    def _improve(self, obs, noise, weights, alpha):
        critics = self.params["critics"]
        _, log_prob = policy(self.params["actor"], obs, noise, weights)
        loss = lambda actor: actor_loss(actor, critics, obs, noise, alpha, weights)  # noqa: E731
        self._step("actor", gradient(loss, self.params["actor"]), self.agent.learning_rate)
        slope = np.array(-(log_prob.mean() + self.agent.target_entropy * noise.shape[1]))
        self._step("log_alpha", slope, self.agent.temperature_learning_rate)
        tau = self.agent.target_rate
        self.target = jax.tree.map(lambda t, p: (1 - tau) * t + tau * p, self.target, critics)

    def _step(self, name, grads, rate):
        self.params[name] = self.adams[name].step(self.params[name], grads, rate)


def rollout_of(rng, num_envs=4, obs=2, actions=2):
    """Transitions ``[1, N]``, some of which terminate."""
    draw = lambda *shape: jnp.asarray(rng.normal(size=(1, num_envs, *shape)), jnp.float32)  # noqa: E731
    flag = jnp.asarray(rng.random((1, num_envs)) < 0.3)
    return Transition(draw(obs), jnp.tanh(draw(actions)), draw(), flag, ~flag & False, draw(obs), None, None, {})
