"""TD3 and DDPG in NumPy and double precision, from their definitions; networks have one hidden layer of ReLUs."""

import jax
import numpy as np
from by_hand import Adam, doubles, gradient
from sac_by_hand import affine


def policy(actor, obs):
    """Actions ``[B, D]``."""
    p = actor["params"]
    return np.tanh(affine(np.maximum(affine(obs, p["torso"]["Dense_0"]), 0), p["head"]))


def value(critics, k, obs, action):
    """Of critic ``k``, ``[B]``."""
    p = critics["params"]
    layer = lambda x, weights: affine(x, {name: leaf[k] for name, leaf in weights.items()})  # noqa: E731
    return layer(np.maximum(layer(np.concatenate([obs, action], -1), p["torso"]["Dense_0"]), 0), p["head"])[:, 0]


def target(agent, targets, batch, noise):
    """``[B]``."""
    noise = np.clip(float(agent.target_noise) * noise, -float(agent.target_noise_clip), float(agent.target_noise_clip))
    action = np.clip(policy(targets["actor"], batch.next_obs) + noise, -1, 1)
    least = np.min([value(targets["critics"], k, batch.next_obs, action) for k in range(agent.num_critics)], axis=0)
    return batch.reward + float(agent.discount) * ~batch.terminated * least


def critic_loss(agent, critics, batch, y):
    return sum(np.mean((value(critics, k, batch.obs, batch.action) - y) ** 2) for k in range(agent.num_critics))


def actor_loss(actor, critics, obs):
    return -np.mean(value(critics, 0, obs, policy(actor, obs)))


class ByHand:
    """What an agent learns, update by update."""

    def __init__(self, agent, state):
        self.agent = agent
        self.params, self.target = doubles(state.params), doubles(state.target_params)
        self.adams = {name: Adam(part, np.inf, 1e-8) for name, part in state.params.items()}

    def update(self, batch, noise, improves):
        """One update on a minibatch with the normal draw of the target action; returns the critics' loss."""
        y = target(self.agent, self.target, batch, np.float64(noise))
        loss = lambda critics: critic_loss(self.agent, critics, batch, y)  # noqa: E731
        before = loss(self.params["critics"])
        self._step("critics", loss)
        if improves:
            critics, tau = self.params["critics"], self.agent.target_rate
            self._step("actor", lambda actor: actor_loss(actor, critics, batch.obs))
            self.target = jax.tree.map(lambda t, p: (1 - tau) * t + tau * p, self.target, self.params)
        return before

    def _step(self, name, loss):
        grads = gradient(loss, self.params[name])
        self.params[name] = self.adams[name].step(self.params[name], grads, self.agent.learning_rate)
