"""DirectLiNGAM: which variables cause which, from samples alone (Shimizu et al. 2011; Hyvärinen and Smith 2013).

The model is ``x = B x + e`` with ``B`` strictly lower triangular after a permutation, and ``e`` independent and, all
but one, not Gaussian. First the causal order is searched for, a variable at a time, by which one is most independent of
what it leaves of the others; then ``B`` is an adaptive lasso of each variable on those before it. Of the one row of
a variable that causes none of the others, known as such, the order does not matter (`sink_row`).

``variant="lingam"`` computes what that package does from 1.9 on, ``"orig"`` what it did until then, with slopes too
large by ``n / (n - 1)`` and coefficients shrunk by the lasso.

All shapes are static, and nothing calls LAPACK: the functions work under ``jit`` and ``vmap``, in float32 and float64.
The search takes ``O(d^3 n)``, the row of a sink ``O(d^2 n)``.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlx.errors import ConfigurationError
from rlx.ops.lasso import adaptive_lasso, centre

VARIANTS = ("lingam", "orig")
# What becomes of an order in which a column is constant.
CONSTANTS = ("collapse", "leave_out")

_GAUSSIAN_ENTROPY = 0.5 * (1.0 + math.log(2.0 * math.pi))
# Pairs whose residuals are computed together.
_PAIRS = 16


class LiNGAM(NamedTuple):
    """A causal model.

    Attributes:
        order: variables, causes before effects, int32 ``[d]``.
        adjacency: ``B[i, j]`` is the effect of variable ``j`` on ``i``, ``[d, d]``.
    """

    order: jax.Array
    adjacency: jax.Array


def direct_lingam(
    x: jax.Array, variant: str = "lingam", prior: np.ndarray | None = None, constants: str = "collapse"
) -> LiNGAM:
    """The causal model of samples ``[n, d]``.

    Args:
        x: samples; more of them than variables.
        variant: see above.
        prior: int ``[d, d]``, where known: ``prior[i, j]`` is 1 if a path leads from ``j`` to ``i``, 0 if none does,
            -1 if that is unknown. (The docstring of the package says the transpose of what it does; this is what it
            does.)
        constants: with a constant column, ``"collapse"`` makes the order ``0, ..., d - 1``, as the package ends up
            with; ``"leave_out"`` orders the others as if it were not there, and puts it first.

    Raises:
        ConfigurationError: if there are too few samples, or the prior has another shape or contradicts itself.
    """
    d = x.shape[1]
    order = causal_order(x, variant, prior, constants)
    rank = jnp.argsort(order)
    before = rank[:, None] > rank  # [target, predictor]
    _, forbidden = _precedence(prior, d)
    row = lambda target: adaptive_lasso(x, target, before[target] & ~forbidden[target], variant)  # noqa: E731
    return LiNGAM(order, jax.lax.map(row, jnp.arange(d)))


def sink_row(x: jax.Array, target: int, variant: str = "lingam") -> jax.Array:
    """The row ``[d]`` of ``B`` of a variable that is known to cause no other: no order is searched for.

    It is what `direct_lingam` finds with a prior whose column ``target`` is 0.
    """
    _check(x)
    return adaptive_lasso(x, target, jnp.ones(x.shape[1], bool), variant)


def row(x: jax.Array, target: int, variant: str = "lingam", constants: str = "collapse") -> jax.Array:
    """The row ``[d]`` of ``B`` of one variable; the search ends where it has its place."""
    _check(x)
    return adaptive_lasso(x, target, ~_search(x, variant, None, constants, target).active, variant)


def causal_order(
    x: jax.Array, variant: str = "lingam", prior: np.ndarray | None = None, constants: str = "collapse"
) -> jax.Array:
    """The causal order ``[d]`` of the variables, int32; see `direct_lingam`."""
    _check(x)
    return _search(x, variant, prior, constants, None).order


class _Search(NamedTuple):
    """Standardised residuals ``[d, n]`` of the variables that have no place yet, which these are, and the places."""

    z: jax.Array
    active: jax.Array
    order: jax.Array
    step: jax.Array


def _search(x: jax.Array, variant: str, prior: np.ndarray | None, constants: str, until: int | None) -> _Search:
    """The search, until the variable ``until`` has its place, or all have."""
    n, d = x.shape
    slope = n / (n - 1) if variant == "orig" else 1.0
    precedes, _ = _precedence(prior, d)
    centred, scale, varies = centre(x)

    def place(search: _Search) -> _Search:
        correlation = jnp.matmul(search.z, search.z.T, precision="highest") / n
        score = scores(search.z, slope * correlation, search.active, d - search.step)
        # A tie goes to the first: a score of 0 for all leaves the order as it is.
        score = jnp.where(varies, score, jnp.inf) if constants == "leave_out" else jnp.where(varies.all(), score, 0.0)
        candidate = search.active & ~(precedes & search.active).any(1)
        chosen = jnp.argmax(jnp.where(candidate, score, -jnp.inf)).astype(jnp.int32)
        z = search.z - (slope * correlation[:, chosen])[:, None] * search.z[chosen]
        return _Search(
            z=jnp.where(jnp.arange(d)[:, None] == chosen, search.z, standardised(z)),
            active=search.active.at[chosen].set(False),
            order=search.order.at[search.step].set(chosen),
            step=search.step + 1,
        )

    def goes_on(search: _Search) -> jax.Array:
        return (search.step < d) & (True if until is None else search.active[until])

    start = _Search((centred / scale).T, jnp.ones(d, bool), jnp.zeros(d, jnp.int32), jnp.int32(0))
    return jax.lax.while_loop(goes_on, place, start)


def scores(z: jax.Array, slopes: jax.Array, active: jax.Array, number: int | jax.Array) -> jax.Array:
    """How well each variable stands before all other active ones, ``[d]``, at most 0.

    Args:
        z: standardised variables ``[d, n]``.
        slopes: of each regressed on each other, ``[d, d]``.
        active: bool ``[d]``.
        number: of the active ones.
    """
    against = jnp.minimum(0.0, differences(z, slopes, active, number))
    others = active[:, None] & active & ~jnp.eye(len(z), dtype=bool)
    return -jnp.where(others, jnp.square(against), 0.0).sum(1)


def differences(z: jax.Array, slopes: jax.Array, active: jax.Array, number: int | jax.Array) -> jax.Array:
    """``D[i, j]``, ``[d, d]``: negative where ``j`` rather causes ``i`` than ``i`` causes ``j``, of active pairs.

    ``D_ij = H(z_j) + H(r_ij) - H(z_i) - H(r_ji)``, ``r_ij`` what ``j`` leaves of ``i``, standardised (Hyvärinen and
    Smith 2013). Arguments as for `scores`.
    """
    d = len(z)
    members = jnp.argsort(~active, stable=True)
    partners = jnp.maximum(number - 1, 1)

    def some(block: jax.Array, residual: jax.Array) -> jax.Array:
        pair = block * _PAIRS + jnp.arange(_PAIRS)
        first, second = pair // partners, pair % partners
        second = second + (second >= first)
        i, j = members[jnp.minimum(first, d - 1)], members[jnp.minimum(second, d - 1)]
        rest = z[i] - slopes[i, j][:, None] * z[j]
        # Those beyond the last pair are dropped.
        return residual.at[jnp.where(first < number, i, d), j].set(entropy(standardised(rest)), mode="drop")

    blocks = (number * (number - 1) + _PAIRS - 1) // _PAIRS
    residual = jax.lax.fori_loop(0, blocks, some, jnp.zeros((d, d), z.dtype))
    alone = entropy(z)
    return alone + residual - alone[:, None] - residual.T


def entropy(u: jax.Array) -> jax.Array:
    """Entropy of standardised samples ``[..., n]``, approximated (Hyvärinen 1998), ``[...]``.

    ``(1 + ln 2 pi) / 2 - 79.047 (E ln cosh u - 0.37457)^2 - 7.4129 (E u exp(-u^2 / 2))^2``
    """
    size = jnp.abs(u)
    log_cosh = size + jnp.log(1.0 + jnp.exp(-2.0 * size)) - math.log(2.0)
    even, odd = log_cosh.mean(-1), (u * jnp.exp(-0.5 * jnp.square(u))).mean(-1)
    return _GAUSSIAN_ENTROPY - 79.047 * jnp.square(even - 0.37457) - 7.4129 * jnp.square(odd)


def standardised(rest: jax.Array) -> jax.Array:
    """Centred samples ``[..., n]`` with deviation 1; constants stay as they are."""
    deviation = jnp.sqrt(jnp.square(rest).mean(-1, keepdims=True))
    return rest / jnp.where(deviation > 0.0, deviation, 1.0)


def _precedence(prior: np.ndarray | None, d: int) -> tuple[jax.Array, jax.Array]:
    """Bool ``[d, d]``: ``[to, from]`` whether ``from`` must stand before, and ``[target, predictor]`` what is no cause.

    Raises:
        ConfigurationError: if the prior has another shape or contradicts itself.
    """
    if prior is None:
        return jnp.zeros((d, d), bool), jnp.zeros((d, d), bool)
    known = np.array(prior)
    if known.shape != (d, d):
        raise ConfigurationError(f"prior has shape {list(known.shape)}; of {d} variables it must be [{d}, {d}]")
    np.fill_diagonal(known, -1)
    path, none = known == 1, known == 0
    if (path & path.T).any():
        raise ConfigurationError("prior says of two variables that each has a path to the other; set one to 0 or -1")
    precedes = path | (none.T & ~none)
    # As the package: what orders nothing is not used at all.
    return jnp.asarray(precedes), jnp.asarray(none & precedes.any())


def _check(x: jax.Array) -> None:
    """Refuse samples that leave no degree of freedom for the noise.

    Raises:
        ConfigurationError: saying how many it takes.
    """
    n, d = x.shape
    if n < d + 1:
        raise ConfigurationError(f"{n} samples of {d} variables are too few; take at least {d + 1}")
