"""Values of factored actions: numbers of the specification's oracles, by hand."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.ops import value_decomposition as vd

KEY = jax.random.key(0)
ALL = jnp.ones((2, 3), bool)


def test_the_value_is_a_mean_and_its_best_action_that_of_each_component():
    utilities = jnp.array([[1.0, 2, 3], [4, 0, -2]])
    values = {a: float(vd.value_of(utilities, jnp.array(a), ALL)) for a in itertools.product(range(3), repeat=2)}
    assert vd.greedy(utilities, ALL).tolist() == [2, 0]
    assert vd.greedy_value(utilities, ALL) == 3.5 == max(values.values()) == values[2, 0]
    assert values[0, 2] == -0.5


def test_choices_of_components_of_unequal_size():
    assert vd.valid_choices((3, 1), None).tolist() == [[True, True, True], [True, False, False]]
    mask = jnp.array([True, False, True, True])
    assert vd.valid_choices((3, 1), mask).tolist() == [[True, False, True], [True, False, False]]


def test_what_a_component_lacks_is_never_chosen_and_never_worth_anything():
    utilities = jnp.array([[1.0, 2, 3], [4, 0, 100]])  # the second component has two choices
    valid = vd.valid_choices((3, 2), None)
    assert vd.greedy(utilities, valid).tolist() == [2, 0]
    assert vd.greedy_value(utilities, valid) == 3.5
    none = valid.at[1].set(False)
    assert vd.greedy_value(utilities, none) == 1.5  # a component without a valid choice is worth 0
    assert vd.value_of(utilities, jnp.array([2, 0]), none) == 1.5


@pytest.mark.parametrize(
    ("bootstrap", "value"),
    [("mean", 0.5), ("mean_of_max", 1.0), ("independent", [1.0, 0.0]), ("double", [0.5, 0.5]), ("redq", 1.0)],
)
def test_bootstraps_of_two_critics(bootstrap, value):
    """One component of two choices; target utilities (1, 0) and (0, 1), and both online critics prefer the first."""
    target = jnp.array([[1.0, 0.0], [0.0, 1.0]])[:, None, None, :]
    online = jnp.array([[3.0, 2.0], [5.0, 2.0]])[:, None, None, :]
    found = vd.BOOTSTRAPS[bootstrap](online, target, jnp.ones((1, 1, 2), bool), KEY)
    assert found.tolist() == ([[v] for v in value] if isinstance(value, list) else [value])


def test_redq_takes_the_lesser_of_two_different_critics():
    target = jnp.array([1.0, 2.0, 4.0])[:, None, None, None]
    draw = jax.vmap(lambda key: vd.redq(target, target, jnp.ones((1, 1, 1), bool), key)[0])
    values = np.asarray(draw(jax.random.split(KEY, 3_000)))
    # Of the three pairs two hold the first critic.
    np.testing.assert_allclose([np.mean(values == 1), np.mean(values == 2)], [2 / 3, 1 / 3], atol=0.03)


@pytest.mark.parametrize(
    ("utility", "anchor", "loss", "gradient"),
    [
        ((2.0, 0.0), (1.0, 1.0), 0.6321206, (0.6321206, -0.6321206)),
        ((2.0, 0.0), (2.0, 0.0), 0.0, (0.0, 0.0)),
        # Another gauge, with the same value: other errors, another loss.
        ((3.0, -1.0), (1.0, 1.0), 3.4586589, (1.7293294, -1.7293294)),
    ],
)
def test_the_regulariser(utility, anchor, loss, gradient):
    """One critic, one transition, two components, and a target of 1."""
    of = lambda u: vd.regulariser(u, jnp.array(anchor)[None, None], jnp.ones(1)).mean()  # noqa: E731
    found, grads = jax.value_and_grad(of)(jnp.array(utility)[None, None])
    np.testing.assert_allclose(found, loss, rtol=1e-6)
    np.testing.assert_allclose(grads[0, 0], gradient, rtol=1e-6)


def test_the_anchor_has_no_gradient():
    grads = jax.grad(lambda anchor: vd.regulariser(jnp.ones((1, 1, 2)), anchor, jnp.zeros(1)).sum())(
        jnp.zeros((1, 1, 2))
    )
    assert not grads.any()


def test_where_components_must_agree_no_decomposition_tells_actions_apart():
    """Two components of two choices, rewarded for being equal: the nearest mean of utilities is 0.5 everywhere."""
    actions = np.array(list(itertools.product(range(2), repeat=2)))
    design = np.stack([(actions[:, i] == choice) / 2 for i in range(2) for choice in range(2)], axis=1)
    reward = (actions[:, 0] == actions[:, 1]).astype(float)
    utilities = jnp.asarray(np.linalg.lstsq(design, reward)[0].reshape(2, 2))
    fitted = vd.value_of(utilities, jnp.asarray(actions), ALL[:, :2])
    np.testing.assert_allclose(fitted, 0.5, rtol=1e-6)
