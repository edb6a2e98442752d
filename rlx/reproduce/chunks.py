"""The files of a computation in chunks: an output file each, and one with the state that goes on.

A file appears under its name only once it is complete. The outputs of a chunk are written before the state that
follows it, so whatever moment a process is killed at, the state's number of chunks have their outputs; a file of the
chunk that was under way is written again.
"""

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlx.errors import ConfigurationError
from rlx.types import PyTree

_STATE = "state.npz"


class Position(NamedTuple):
    """How far a computation is: chunks done, of how many, and the seconds they took."""

    done: int
    num_chunks: int
    seconds: float


def write_outputs(folder: Path, chunk: int, outputs: Mapping[str, np.ndarray]) -> None:
    """Save the outputs of one chunk."""
    _write(_chunk_file(folder, chunk), {name: np.asarray(value) for name, value in outputs.items()})


def read_outputs(folder: Path) -> dict[str, np.ndarray]:
    """The outputs of all chunks done, joined along their first axis."""
    parts = [_read(_chunk_file(folder, chunk)) for chunk in range(read_position(folder).done)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def write_state(folder: Path, state: PyTree, position: Position) -> None:
    """Save the state after ``position.done`` chunks."""
    leaves, kinds = _packed(state)
    record = np.array(json.dumps({"position": position, "kinds": kinds}))
    _write(folder / _STATE, {"record": record} | {f"leaf{index}": leaf for index, leaf in enumerate(leaves)})


def read_position(folder: Path) -> Position:
    """How far the computation in ``folder`` is; no chunk of none, if it has not begun."""
    if not (folder / _STATE).exists():
        return Position(0, 0, 0.0)
    return Position(*_record(_read(folder / _STATE, "record"))["position"])


def read_state(folder: Path, like: PyTree) -> tuple[PyTree, Position]:
    """The saved state, in the structure of ``like``, and how far it is.

    Raises:
        ConfigurationError: if it is damaged, or of another structure.
    """
    arrays = _read(folder / _STATE)
    record = _record(arrays)
    leaves = [arrays[f"leaf{index}"] for index in range(len(record["kinds"]))]
    if len(jax.tree.leaves(like)) != len(leaves):
        raise ConfigurationError(f"{folder / _STATE} belongs to another computation; remove {folder} to begin anew")
    return jax.tree.unflatten(jax.tree.structure(like), _unpacked(leaves, record["kinds"])), Position(
        *record["position"]
    )


def as_restored(state: PyTree) -> PyTree:
    """The state as it is after saving and restoring: what goes on is then the same, interrupted or not."""
    return jax.tree.unflatten(jax.tree.structure(state), _unpacked(*_packed(state)))


def _packed(state: PyTree) -> tuple[list[np.ndarray], list[str]]:
    """The leaves as NumPy arrays, and of which kind each was: ``"numpy"``, ``"jax"``, or a PRNG's name."""
    leaves, kinds = [], []
    for leaf in jax.tree.leaves(state):
        is_key = isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        kinds.append(str(jax.random.key_impl(leaf)) if is_key else "jax" if isinstance(leaf, jax.Array) else "numpy")
        leaves.append(np.asarray(jax.random.key_data(leaf) if is_key else leaf))
    return leaves, kinds


def _unpacked(leaves: list[np.ndarray], kinds: list[str]) -> list[Any]:
    def unpacked(leaf: np.ndarray, kind: str) -> Any:
        if kind == "numpy":
            return leaf
        array = jnp.asarray(leaf)
        return array if kind == "jax" else jax.random.wrap_key_data(array, impl=kind)

    return [unpacked(leaf, kind) for leaf, kind in zip(leaves, kinds, strict=True)]


def _chunk_file(folder: Path, chunk: int) -> Path:
    return folder / f"chunk{chunk:05d}.npz"


def _record(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return json.loads(str(arrays["record"]))


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    os.replace(temporary, path)


def _read(path: Path, *names: str) -> dict[str, np.ndarray]:
    """The arrays of a file; all of them unless ``names`` says which.

    Raises:
        ConfigurationError: if it is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names or file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"{path} is damaged; remove {path.parent} to compute it anew") from error
