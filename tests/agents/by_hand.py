"""Networks, gradients and Adam in NumPy and double precision, written from their definitions."""

import jax
import numpy as np


def doubles(tree):
    """``tree`` in double precision."""
    return jax.tree.map(lambda leaf: np.array(leaf, np.float64), tree)


def network(params, obs):
    """One hidden layer of hyperbolic tangents and a linear head: outputs ``[B, K]`` of observations ``[B, F]``."""
    hidden, head = params["params"]["torso"]["Dense_0"], params["params"]["head"]
    return np.tanh(obs @ hidden["kernel"] + hidden["bias"]) @ head["kernel"] + head["bias"]


def log_softmax(logits):
    """Over the last axis."""
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def gradient(loss, params, step=1e-6):
    """Central differences of ``loss(params)``, leaf by leaf and number by number."""
    leaves, structure = jax.tree.flatten(doubles(params))

    def slope(leaf, index):
        sides = []
        for sign in (1, -1):
            moved = [x.copy() for x in leaves]
            moved[leaf][index] += sign * step
            sides.append(loss(jax.tree.unflatten(structure, moved)))
        return (sides[0] - sides[1]) / (2 * step)

    slopes = [np.array([slope(i, index) for index in np.ndindex(x.shape)]) for i, x in enumerate(leaves)]
    return jax.tree.unflatten(structure, [s.reshape(x.shape) for s, x in zip(slopes, leaves, strict=True)])


class Adam:
    """Kingma and Ba 2015, algorithm 1, of gradients first scaled down to a global norm."""

    def __init__(self, params, max_grad_norm, eps):
        nothing = [np.zeros_like(leaf) for leaf in jax.tree.leaves(doubles(params))]
        self.mean, self.square, self.time = nothing, nothing, 0
        self.max_grad_norm, self.eps = max_grad_norm, eps

    def step(self, params, grads, learning_rate):
        """Parameters after one more gradient."""
        leaves, structure = jax.tree.flatten(grads)
        norm = np.sqrt(sum((leaf**2).sum() for leaf in leaves))
        leaves = [leaf * min(1.0, self.max_grad_norm / norm) for leaf in leaves]
        self.time += 1
        self.mean = [0.9 * m + 0.1 * g for m, g in zip(self.mean, leaves, strict=True)]
        self.square = [0.999 * s + 0.001 * g**2 for s, g in zip(self.square, leaves, strict=True)]
        first, second = 1 - 0.9**self.time, 1 - 0.999**self.time
        moved = [
            p - learning_rate * (m / first) / (np.sqrt(s / second) + self.eps)
            for p, m, s in zip(jax.tree.leaves(doubles(params)), self.mean, self.square, strict=True)
        ]
        return jax.tree.unflatten(structure, moved)


def assert_trees_close(found, expected, **tolerances):
    """Leaf by leaf."""
    for (path, a), b in zip(jax.tree.leaves_with_path(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, err_msg=jax.tree_util.keystr(path), **tolerances)
