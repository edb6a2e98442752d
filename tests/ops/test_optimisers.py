import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.ops.optimisers import adam, adamw, adamw_uncorrected, linear_schedule, rmsprop, separately, sgd

RATES = [0.1, 0.05, 0.2]


def tree(scale, large=False):
    """Parameters or gradients, fewer or more than optimisers flatten."""
    shape = (200, 100) if large else (3, 2)
    values = np.random.default_rng(scale).normal(size=shape).astype(np.float32)
    return {"kernel": jnp.asarray(values), "bias": jnp.array([1.0, -2.0]) * scale}


def run(optimiser, params, gradients):
    """Parameters after a step with every gradient and learning rate."""
    step, state = jax.jit(optimiser.step), optimiser.init(params)
    for grads, rate in zip(gradients, RATES, strict=True):
        params, state = step(grads, state, params, rate)
    return params


def numpy_run(direction, params, gradients):
    """The same in NumPy, leaf by leaf; ``direction(memory, grad, param, t)`` is stepped against."""
    result = {}
    for name, leaf in params.items():
        param, memory = np.asarray(leaf, np.float64), {}
        for t, (grads, rate) in enumerate(zip(gradients, RATES, strict=True), start=1):
            param = param - rate * direction(memory, np.asarray(grads[name], np.float64), param, t)
        result[name] = param
    return result


def average(memory, name, value, decay, initial=0.0):
    memory[name] = decay * memory.get(name, initial) + (1 - decay) * value
    return memory[name]


def adam_direction(memory, grad, param, t, b1=0.9, b2=0.99, eps=1e-5, decay=0.0):
    mean = average(memory, "mean", grad, b1) / (1 - b1**t)
    square = average(memory, "square", grad**2, b2) / (1 - b2**t)
    return mean / (np.sqrt(square) + eps) + decay * param


def uncorrected_direction(memory, grad, param, t):
    mean, square = average(memory, "mean", grad, 0.6), average(memory, "square", grad**2, 0.99)
    return mean / (np.sqrt(square) + 1e-5) + 0.3 * param


def rms_direction(memory, grad, param, t):
    return grad / np.sqrt(average(memory, "square", grad**2, 0.9, initial=1.0) + 1e-3)


def centred_direction(memory, grad, param, t):
    mean, square = average(memory, "mean", grad, 0.9), average(memory, "square", grad**2, 0.9)
    return grad / (np.sqrt(square - mean**2) + 1e-3)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
    ("optimiser", "direction"),
    [
        (sgd(), lambda memory, grad, param, t: grad),
        (adam(b2=0.99, eps=1e-5), adam_direction),
        (adamw(weight_decay=0.3, b2=0.99, eps=1e-5), lambda *args: adam_direction(*args, decay=0.3)),
        (adamw_uncorrected(0.3, 0.6, 0.99, eps=1e-5), uncorrected_direction),
        (rmsprop(eps=1e-3, initial_scale=1.0), rms_direction),
        (rmsprop(eps=1e-3, centered=True, eps_inside_root=False), centred_direction),
    ],
    ids=["sgd", "adam", "adamw", "uncorrected", "rmsprop", "centred"],
)
def test_optimisers_against_numpy(optimiser, direction, large):
    params, gradients = tree(1, large), [tree(scale, large) for scale in (2, 3, 4)]
    expected = numpy_run(direction, params, gradients)
    for name, leaf in run(optimiser, params, gradients).items():
        np.testing.assert_allclose(leaf, expected[name], rtol=1e-4, atol=1e-5)


def test_first_step_of_adam_is_the_learning_rate():
    params, grads = {"w": jnp.array([1.0, 1.0])}, {"w": jnp.array([1e-3, -50.0])}
    optimiser = adam()
    moved, _ = optimiser.step(grads, optimiser.init(params), params, 0.25)
    np.testing.assert_allclose(moved["w"], [0.75, 1.25], rtol=1e-4)


def test_gradients_are_clipped_by_their_global_norm():
    params = {"a": jnp.zeros(1), "b": jnp.zeros((1, 1))}
    grads = {"a": jnp.array([3.0]), "b": jnp.array([[4.0]])}

    @jax.jit
    def moved(max_grad_norm):
        optimiser = sgd(max_grad_norm)
        return optimiser.step(grads, optimiser.init(params), params, 1.0)[0]

    # One program for any norm: 5 is the norm of the gradient.
    np.testing.assert_allclose(moved(2.5)["a"], [-1.5], rtol=1e-6)
    np.testing.assert_allclose(moved(2.5)["b"], [[-2.0]], rtol=1e-6)
    np.testing.assert_allclose(moved(10.0)["b"], [[-4.0]], rtol=1e-6)
    assert moved._cache_size() == 1


def test_members_with_their_own_rates_take_their_own_steps():
    params, grads = tree(1), tree(2)
    optimiser = adam(0.5)
    state = optimiser.init(params)
    rates = jnp.array([0.1, 0.2])
    members = jax.jit(jax.vmap(optimiser.step, in_axes=(None, None, None, 0)))
    together, _ = members(grads, state, params, rates)
    for member, rate in enumerate([0.1, 0.2]):
        alone, _ = jax.jit(optimiser.step)(grads, state, params, rate)
        np.testing.assert_allclose(together["kernel"][member], alone["kernel"], rtol=1e-6)


def test_dtypes_and_structure_survive():
    params = {"half": jnp.ones(2, jnp.bfloat16), "nested": {"full": jnp.ones((2, 2))}}
    optimiser = adam(1.0)
    moved, _ = optimiser.step(params, optimiser.init(params), params, jnp.float32(0.1))
    assert jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), moved) == {
        "half": ((2,), "bfloat16"),
        "nested": {"full": ((2, 2), "float32")},
    }


def test_linear_schedule():
    values = [float(linear_schedule(0.3, 0.1, progress)) for progress in (0.0, 0.25, 1.0, 2.0)]
    np.testing.assert_allclose(values, [0.3, 0.25, 0.1, 0.1], rtol=1e-6)
    assert linear_schedule(0.3, 0.1, jnp.float32(1.0)) == jnp.float32(0.1)


def test_separate_optimisers_clip_by_separate_norms():
    params = {"actor": jnp.zeros(2), "critic": {"kernel": jnp.zeros(1)}}
    grads = {"actor": jnp.array([3.0, 4.0]), "critic": {"kernel": jnp.array([0.5])}}
    optimiser = separately(sgd(max_grad_norm=1.0))
    stepped, _ = optimiser.step(grads, optimiser.init(params), params, 1.0)
    np.testing.assert_allclose(stepped["actor"], [-0.6, -0.8], rtol=1e-6)
    np.testing.assert_allclose(stepped["critic"]["kernel"], [-0.5], rtol=1e-6)


def test_separate_optimisers_keep_separate_states():
    params, gradients = {"a": tree(1), "b": tree(2)}, [{"a": tree(3), "b": tree(4)}] * 3
    together = run(separately(adam(max_grad_norm=0.1)), params, gradients)
    for name in params:
        alone = run(adam(max_grad_norm=0.1), params[name], [grads[name] for grads in gradients])
        jax.tree.map(np.testing.assert_array_equal, together[name], alone)


def test_without_bias_correction_the_first_steps_are_longer():
    """Constant gradients of 1 at a learning rate of 1e-4: each step, in learning rates; and decay alone."""
    golden = 0.6180339887498949
    optimiser = adamw_uncorrected(0.0, golden, 0.995)
    param, steps = {"w": jnp.zeros(())}, []
    state, step = optimiser.init(param), jax.jit(optimiser.step)
    for _ in range(1_000):
        after, state = step({"w": jnp.ones(())}, state, param, 1e-4)
        steps.append((float(param["w"]) - float(after["w"])) / 1e-4)
        param = {"w": jnp.zeros(())}
    found = [steps[t - 1] for t in (1, 2, 3, 10, 100, 1_000)]
    np.testing.assert_allclose(found, [5.402, 6.188, 6.253, 4.486, 1.593, 1.003], atol=1e-3)
    decaying = adamw_uncorrected(0.01, golden, 0.995)
    one = {"w": jnp.ones(())}
    after, _ = decaying.step({"w": jnp.zeros(())}, decaying.init(one), one, 1e-4)
    np.testing.assert_allclose(after["w"], 1 - 1e-6, rtol=0, atol=6e-8)
