import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.networks.dormancy import dormancy, fresh

KEY = jax.random.key(0)


def layer(*norms):
    """The gradient of a layer whose neurons' weights have these norms, and of biases that do not matter."""
    kernel = jnp.array([[0.6 * norm for norm in norms], [0.8 * norm for norm in norms]])
    return {"kernel": kernel, "bias": jnp.zeros(len(norms))}


@pytest.mark.parametrize(
    ("layers", "share"),
    [
        ([(4, 1, 1, 2)], 0),  # the threshold is 1, and the test strict
        ([(4, 0.5, 1.5, 2)], 1 / 4),
        ([(4, 0.5, 1.5, 2), (1, 1)], 1 / 6),  # counted together, and no mean of shares
        ([(0, 0, 0)], 0),
    ],
)
def test_dormant_neurons(layers, share):
    grads = {"params": {f"Dense_{i}": layer(*norms) for i, norms in enumerate(layers)}}
    np.testing.assert_allclose(dormancy(grads, 0.5), share, rtol=1e-6)


def test_new_parameters_are_orthogonal_and_zero():
    params = {
        "a": {"kernel": jnp.ones((5, 3)), "bias": jnp.ones(3)},
        "b": {"kernel": jnp.ones((5, 3)), "log_std": jnp.ones(2)},
    }
    drawn = fresh(KEY, params)
    for name in "ab":
        kernel = np.asarray(drawn[name]["kernel"])
        np.testing.assert_allclose(kernel.T @ kernel, np.eye(3), atol=1e-5)
    assert not np.allclose(drawn["a"]["kernel"], drawn["b"]["kernel"])
    assert not drawn["a"]["bias"].any()
    assert not drawn["b"]["log_std"].any()


MANY = """
import jax, jax.numpy as jnp
from rlx.networks.dormancy import fresh
from jax.sharding import Mesh, PartitionSpec as P
shapes = {str(i): {"kernel": jnp.zeros((128, 128)), "bias": jnp.zeros(128)} for i in range(20)}
draw = lambda key, go: jax.lax.cond(go, lambda: fresh(key, shapes), lambda: shapes)
mesh = Mesh(jax.devices(), "members")
keys = jax.random.split(jax.random.key(0), 4 * len(jax.devices()))
each = lambda keys, go: jax.vmap(draw, (0, None))(keys, go)
spread = jax.jit(jax.shard_map(each, mesh=mesh, in_specs=(P("members"), P()), out_specs=P("members"), check_vma=False))
for _ in range(3):
    drawn = spread(keys, jnp.bool_(True))["7"]["kernel"]
print(len(jax.devices()), float(jnp.abs(jnp.einsum("mij,mik->mjk", drawn, drawn) - jnp.eye(128)).max()) < 1e-4)
"""


def test_many_draws_under_jit_and_vmap_on_several_devices_end():
    """Batched QR waits for ever for the threads that it occupies itself; in a process that can be given up."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "JAX_NUM_CPU_DEVICES": "2",
    }
    done = subprocess.run([sys.executable, "-c", MANY], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["2", "True"], done.stderr
