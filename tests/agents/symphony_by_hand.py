"""Symphony in NumPy and double precision, written from its definition.

What gradients do not pass is taken from the parameters as they stand (`Held`), so that finite differences of the loss
are its gradient.
"""

from typing import NamedTuple

import jax
import numpy as np
from by_hand import doubles, gradient


class Held(NamedTuple):
    """Outputs of the three networks, the aggregated value and beta, as constants; masks of gradients that pass."""

    raw: np.ndarray
    target_nodes: np.ndarray
    nodes: np.ndarray
    value: np.ndarray
    beta: np.ndarray
    masks: tuple


def network(params, x):
    """Outputs ``[B, size]`` of the paper's figure 8."""
    p = params["params"]
    x = x @ p["Dense_0"]["kernel"] + p["Dense_0"]["bias"]
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    x = (x * p["LayerNorm_0"]["scale"] + p["LayerNorm_0"]["bias"]) @ p["Dense_1"]["kernel"] + p["Dense_1"]["bias"]
    s = 1 / (1 + np.exp(-p["ReSine_0"]["s"]))
    f = s * np.sin(x / s)
    return (f / (1 + np.exp(-1.5 * f / s))) @ p["Dense_2"]["kernel"] + p["Dense_2"]["bias"]


def nodes_of(critics, obs, action):
    """All critics' nodes, ``[B, K n]``."""
    size = len(critics["params"]["Dense_2"]["bias"])
    pair = np.concatenate([obs, action], -1)
    return np.concatenate([network(jax.tree.map(lambda x, k=k: x[k], critics), pair) for k in range(size)], -1)


def soft(nodes):
    """Table I."""
    j = np.arange(nodes.shape[1])
    weights = np.tanh((np.pi * (1 - j / nodes.shape[1])) ** np.e)
    return np.sort(nodes, -1) @ (weights / weights.sum())


def passed(x, held, mask):
    """The value of ``x``, of which only what the mask lets through varies."""
    return x if mask is None else np.where(mask, x, held)


def head(raw):
    """Direction, sigma, beta."""
    a, sigma, beta = np.split(np.tanh(raw / 2), 3, axis=-1)
    return a, np.abs(sigma), np.abs(beta)


def loss(params, target, ema, batch, noise, discount, held):
    """The one loss; also the new running mean."""
    raw = passed(network(params["actor"], batch.next_obs), held.raw, held.masks[0])
    a, sigma, beta = head(raw)
    target_nodes = nodes_of(target, batch.next_obs, np.tanh(sigma * a + noise))
    value = soft(passed(target_nodes, held.target_nodes, held.masks[2]))
    y = batch.reward + discount * ~batch.terminated * held.value
    q_t = 0.6180339887498949 * ema + (1 - 0.6180339887498949) * held.value
    x = (value - q_t) / np.abs(q_t)
    e = passed(nodes_of(params["critics"], batch.obs, batch.action), held.nodes, held.masks[1]) - y[:, None]
    s, b = np.clip(sigma, 1e-3, 1 - 1e-3), np.clip(beta, 1e-3, 1 - 1e-3)
    wall = lambda x: np.log((1 + x) / (1 - x))  # noqa: E731
    swaddle = wall(s ** (1 / held.beta)) + b * s * np.log(s) + wall(b**2)
    return -np.mean(np.abs(x) * np.tanh(x / 2)) + np.mean(e * np.tanh(e / 2)) + swaddle.mean(), q_t.mean()


class ByHand:
    """What an agent learns, update by update."""

    def __init__(self, agent, state):
        self.agent = agent
        self.params, self.target, self.ema = doubles(state.params), doubles(state.target_params), 0.0
        self.mean, self.square = (jax.tree.map(np.zeros_like, self.params) for _ in range(2))

    def held(self, batch, noise, masks):
        """At the parameters as they are."""
        raw = network(self.params["actor"], batch.next_obs)
        a, sigma, beta = head(raw)
        target_nodes = nodes_of(self.target, batch.next_obs, np.tanh(sigma * a + noise))
        nodes = nodes_of(self.params["critics"], batch.obs, batch.action)
        return Held(raw, target_nodes, nodes, soft(target_nodes), np.clip(beta, 1e-3, 1 - 1e-3), masks)

    def gradient(self, batch, noise, masks):
        """By finite differences, and the new running mean."""
        held = self.held(batch, noise, masks)
        args = (self.target, self.ema, batch, noise, float(self.agent.discount), held)
        return gradient(lambda params: loss(params, *args)[0], self.params), loss(self.params, *args)[1]

    def update(self, batch, noise, masks):
        """One update on a minibatch; returns the gradient."""
        grads, self.ema = self.gradient(batch, noise, masks)
        b1, b2, lr, tau = 0.6180339887498949, 0.995, float(self.agent.learning_rate), float(self.agent.target_rate)
        self.mean = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, self.mean, grads)
        self.square = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g**2, self.square, grads)
        step = lambda p, m, v: p - lr * (m / (np.sqrt(v) + 1e-8) + 0.01 * p)  # noqa: E731
        self.params = jax.tree.map(step, self.params, self.mean, self.square)
        self.target = jax.tree.map(lambda t, p: (1 - tau) * t + tau * p, self.target, self.params["critics"])
        return grads
