import jax
import jax.numpy as jnp
import numpy as np

from rlx.ops import exploration

KEY = jax.random.key(0)
NVEC_VALID = jnp.array([[True, True, True], [True, True, False]])
GREEDY = jnp.zeros((60_000, 2), jnp.int32)


def test_whole_actions_explore_together():
    action, explored = exploration.joint_epsilon_greedy(KEY, GREEDY, 0.25, NVEC_VALID)
    assert action[~explored].tolist() == GREEDY[~explored].tolist()
    np.testing.assert_allclose(np.mean(explored), 0.25, atol=0.01)
    pairs = np.asarray(action[explored])
    for first in range(3):
        for second in range(3):
            share = np.mean((pairs == (first, second)).all(1))
            np.testing.assert_allclose(share, 0.0 if second == 2 else 1 / 6, atol=0.015)


def test_components_explore_by_themselves():
    action = np.asarray(exploration.component_epsilon_greedy(KEY, GREEDY, 0.3, NVEC_VALID))
    np.testing.assert_allclose(np.mean(action != 0, axis=0), [0.2, 0.15], atol=0.01)
    np.testing.assert_allclose(np.mean((action != 0).all(1)), 0.03, atol=0.005)
    assert action[:, 1].max() == 1


def test_a_choice_that_is_not_valid_is_never_drawn():
    valid = jnp.array([[[False, True, True], [False, False, False]]])
    drawn = np.asarray(exploration.random_choices(KEY, (1_000, 2), jnp.broadcast_to(valid, (1_000, 2, 3))))
    assert set(drawn[:, 0]) == {1, 2}
    assert set(drawn[:, 1]) == {0}


def test_epsilon_falls_with_every_exploring_action_down_to_its_least():
    epsilon = lambda number: float(exploration.decayed_epsilon(jnp.int32(number), 1.0, 0.999, 0.05))  # noqa: E731
    assert epsilon(0) == 1.0
    np.testing.assert_allclose(epsilon(1_000), 0.3676954, rtol=1e-4)
    assert epsilon(2_994) > 0.05
    assert epsilon(2_995) == np.float32(0.05)
    assert epsilon(2**30) == np.float32(0.05)
