"""The adaptive lasso of one variable on others, its penalty chosen by the Bayesian information criterion (Zou 2006).

As the packages lingam and scikit-learn compute it (Efron et al. 2004), with static shapes: which variables are
predictors is a mask. All of it is done on the covariance matrix, by sweeps (Goodnight 1979): the entry and exit of a
predictor take ``O(d^2)``, and nothing calls LAPACK, which in compiled programs can stall on CPU.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

# scikit-learn's: where the path ends, in units of covariance, and after how many knots.
_LEAST_COVARIANCE = float(jnp.finfo(jnp.float32).eps)
_MOST_KNOTS = 500


def adaptive_lasso(x: jax.Array, target: int | jax.Array, predictors: jax.Array, variant: str = "lingam") -> jax.Array:
    """Coefficients of ``target`` in the variables that cause it, those that the lasso prunes 0.

    Weights of the penalties are the inverses of least-squares coefficients.

    Args:
        x: samples ``[n, d]``, float; more of them than predictors and 2.
        target: column.
        predictors: bool ``[d]``; those that are constant, or linear in ones before them, get 0.
        variant: ``"lingam"``, as that package from 1.8.2 on: of standardised columns, and by least squares on the
            support; ``"orig"``, as before: of raw columns, and shrunk by the lasso.

    Returns:
        In raw units, ``[d]``.
    """
    n, d = x.shape
    predictors = predictors & (jnp.arange(d) != target)
    centred, scale, varies = centre(x)
    z = centred / scale if variant == "lingam" else centred
    usable = predictors & varies
    with jax.default_matmul_precision("highest"):
        s = z.T @ z / n
        xy = s[:, target]
        beta = least_squares(s, xy, usable)
        noise = jnp.square(z[:, target] - z @ beta).sum() / (n - predictors.sum() - 1)
        weight = jnp.abs(beta)
        precision = n / jnp.maximum(noise, jnp.finfo(x.dtype).tiny)
        # With these weights the least-squares coefficients are the signs.
        gram = weight[:, None] * weight * s
        coef = lars(gram, weight * xy, jnp.sign(beta), usable, precision, math.log(n))
        if variant == "orig":
            return coef * weight
        return least_squares(s, xy, coef != 0.0) * scale[target] / scale


def centre(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """``x`` less its means, population deviations ``[d]``, 1 for constants, and which columns vary, bool ``[d]``."""
    varies = x.max(0) > x.min(0)
    centred = jnp.where(varies, x - x.mean(0), 0.0)
    return centred, jnp.where(varies, jnp.sqrt(jnp.square(centred).mean(0)), 1.0), varies


def least_squares(s: jax.Array, xy: jax.Array, usable: jax.Array) -> jax.Array:
    """Coefficients ``[d]`` on the ``usable`` variables of covariance ``s`` ``[d, d]``, all others 0.

    Args:
        s: covariances.
        xy: those with the target, ``[d]``.
        usable: bool ``[d]``; a variable that is linear in ones before it gets 0.
    """
    least = tolerance(s.dtype) * jnp.diag(s)

    def enter(k: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        swept, used = carry
        enters = usable[k] & (swept[k, k] > least[k])
        return jnp.where(enters, sweep(swept, k), swept), used.at[k].set(enters)

    swept, used = jax.lax.fori_loop(0, len(s), enter, (s, jnp.zeros_like(usable)))
    inverse = jnp.where(used[:, None] & used, -swept, 0.0)
    beta = inverse @ jnp.where(used, xy, 0.0)
    # Once more for the error, which is most of what float32 loses.
    return beta + inverse @ jnp.where(used, xy - s @ beta, 0.0)


def sweep(a: jax.Array, k: jax.Array, back: bool = False) -> jax.Array:
    """Sweep the symmetric matrix ``a`` on its ``k``-th pivot, or undo that.

    Swept on a set, ``a`` holds the negative inverse of that block, regression coefficients beside it, and the
    covariance of residuals elsewhere.
    """
    pivot = a[k, k]
    row = a[k] / (-pivot if back else pivot)
    swept = a - (jnp.outer(a[:, k], a[k]) / pivot)
    return swept.at[k].set(row).at[:, k].set(row).at[k, k].set(-1.0 / pivot)


def tolerance(dtype: jnp.dtype) -> float:
    """Share of its variance below which what is left of a variable counts as rounding."""
    return 64.0 * float(jnp.finfo(dtype).eps)


class _Path(NamedTuple):
    """Where the path stands: coefficients, their active set with signs, the swept Gram matrix; and the best knot."""

    coef: jax.Array
    active: jax.Array
    sign: jax.Array
    swept: jax.Array
    barred: jax.Array
    dropped: jax.Array
    best: jax.Array
    best_coef: jax.Array
    knots: jax.Array
    ended: jax.Array


def lars(
    gram: jax.Array, xy: jax.Array, full: jax.Array, usable: jax.Array, precision: jax.Array, penalty: float
) -> jax.Array:
    """Coefficients ``[d]`` at that knot of the lasso path where the criterion is first least.

    The criterion is ``precision (coef - full)' gram (coef - full) + penalty df``, ``df`` the number of coefficients.

    Args:
        gram: covariances of the predictors, ``[d, d]``.
        xy: those with the target, ``[d]``.
        full: least-squares coefficients, where the path ends.
        usable: bool ``[d]``.
        precision: samples over the variance of the noise.
        penalty: of a coefficient.
    """
    least = tolerance(gram.dtype) * jnp.diag(gram)
    eps = jnp.finfo(gram.dtype).eps

    def criterion(coef: jax.Array) -> jax.Array:
        excess = (coef - full) @ gram @ (coef - full)
        return precision * excess + penalty * (jnp.abs(coef) > eps).sum()

    def knot(path: _Path) -> _Path:
        value = criterion(path.coef)
        better = value < path.best
        path = path._replace(
            best=jnp.where(better, value, path.best), best_coef=jnp.where(better, path.coef, path.best_coef)
        )
        correlation = xy - gram @ path.coef
        free = usable & ~path.active & ~path.barred
        size = jnp.where(free, jnp.abs(correlation), 0.0)
        ended = size.max() <= _LEAST_COVARIANCE
        path, barred = _entered(path, jnp.argmax(size), jnp.sign(correlation), least)
        moved = _moved(path, correlation, size.max(), usable & ~path.active & ~path.barred)
        following = jax.tree.map(lambda old, new: jnp.where(barred, old, new), path, moved)
        return following._replace(knots=path.knots + 1, ended=ended)

    nothing, none = jnp.zeros_like(xy), jnp.zeros_like(usable)
    start = _Path(nothing, none, nothing, gram, none, jnp.bool_(False), jnp.array(jnp.inf, gram.dtype), nothing,
                  jnp.int32(0), jnp.bool_(False))  # fmt: skip
    return jax.lax.while_loop(lambda path: ~path.ended & (path.knots < _MOST_KNOTS), knot, start).best_coef


def _entered(path: _Path, k: jax.Array, sign: jax.Array, least: jax.Array) -> tuple[_Path, jax.Array]:
    """The path with predictor ``k`` active, unless one was dropped at this knot, or it is linear in the others."""
    linear = path.swept[k, k] <= least[k]
    enters, barred = ~path.dropped & ~linear, ~path.dropped & linear
    here = jnp.arange(len(sign)) == k
    return path._replace(
        active=path.active | (here & enters),
        sign=jnp.where(here & enters, sign, path.sign),
        swept=jnp.where(enters, sweep(path.swept, k), path.swept),
        barred=path.barred | (here & barred),
    ), barred


def _moved(path: _Path, correlation: jax.Array, most: jax.Array, free: jax.Array) -> _Path:
    """The path at its next knot: the active coefficients go on together until one of the others joins them, or ends."""
    product = path.swept @ path.sign
    weights = jnp.where(path.active, -product, 0.0)
    norm = jax.lax.rsqrt(jnp.maximum(weights @ path.sign, jnp.finfo(product.dtype).tiny))
    step, change = weights * norm, product * norm
    # How far until another one's correlation is as large, until none is left, and until a coefficient is 0.
    meets = [_least_positive((most - s * correlation) / (norm - s * change), free) for s in (1.0, -1.0)]
    gamma = jnp.minimum(jnp.minimum(*meets), most / norm)
    crossings = jnp.where(path.active & (step != 0.0), -path.coef / jnp.where(step != 0.0, step, 1.0), -1.0)
    crossing = _least_positive(crossings, path.active)
    drops = crossing < gamma
    gone = path.active & (crossings == crossing) & drops
    k = jnp.argmax(gone)
    return path._replace(
        coef=jnp.where(gone, 0.0, path.coef + jnp.minimum(gamma, crossing) * step),
        active=path.active & ~gone,
        sign=jnp.where(gone, 0.0, path.sign),
        swept=jnp.where(drops, sweep(path.swept, k, back=True), path.swept),
        dropped=drops,
    )


def _least_positive(x: jax.Array, among: jax.Array) -> jax.Array:
    return jnp.where(among & (x > 0.0), x, jnp.inf).min()
