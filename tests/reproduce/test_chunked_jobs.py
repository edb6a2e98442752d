"""A computation in chunks: stopped at any moment it goes on to the same bits."""

import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.errors import ConfigurationError
from rlx.reproduce import chunks
from rlx.reproduce.jobs import Chunked, job_folder, outputs

CHUNKS = 4


class Stopped(BaseException):
    """What ends the process."""


@jax.jit
def step(key, walk):
    key, draw = jax.random.split(key)
    return key, walk + jax.random.normal(draw, walk.shape)


def advance(state, chunk):
    key, walk = step(state["key"], state["walk"])
    exact = state["exact"] + np.pi ** (chunk + 20)
    assert state["exact"].dtype == np.float64  # JAX's arrays would be narrower
    return {"key": key, "walk": walk, "exact": exact}, {"walk": walk[None], "exact": [exact, -exact]}


def init():
    return {"key": jax.random.key(3), "walk": jnp.zeros(3), "exact": np.zeros(())}


def job(advance=advance, num_chunks=CHUNKS, **settings):
    return Chunked("walk", settings, num_chunks, init, advance)


def nothing(share):
    """Not looked at."""


def same_outputs(left, right):
    left, right = outputs(left), outputs(right)
    assert sorted(left) == sorted(right) == ["exact", "walk"]
    return all(left[name].tobytes() == right[name].tobytes() for name in left)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    shares = []
    assert job().run(folder, shares.append)
    assert shares == [0.0, 0.25, 0.5, 0.75, 1.0]
    return folder


def test_outputs_are_joined_in_order(whole):
    state = init()
    walks, exacts = [], []
    for chunk in range(CHUNKS):
        state, _ = advance(state, chunk)
        walks.append(np.asarray(state["walk"]))
        exacts += [state["exact"], -state["exact"]]
    np.testing.assert_array_equal(outputs(whole)["walk"], np.stack(walks))
    np.testing.assert_array_equal(outputs(whole)["exact"], exacts)


def test_a_chunk_that_fails_is_all_that_is_lost(whole, tmp_path):
    computed = []

    def failing(state, chunk):
        computed.append(chunk)
        if computed == [0, 1, 2]:
            raise Stopped
        return advance(state, chunk)

    interrupted = job(failing)
    with pytest.raises(Stopped):
        interrupted.run(tmp_path, nothing)
    assert not interrupted.finished(tmp_path)
    assert interrupted.seconds(tmp_path) > 0.0
    assert interrupted.run(tmp_path, nothing)
    assert computed == [0, 1, 2, 2, 3]
    assert interrupted.finished(tmp_path)
    assert same_outputs(tmp_path, whole)


@pytest.mark.parametrize("moment", range(2 * CHUNKS))
@pytest.mark.parametrize("half_written", [False, True])
def test_killed_while_saving_it_goes_on_to_the_same_bits(moment, half_written, whole, tmp_path, monkeypatch):
    # Each chunk replaces two files; before the one numbered `moment` the process dies.
    left = [moment]

    def replace(source, target):
        if target.name == "settings.json":
            return os.rename(source, target)
        if left[0] == 0:
            if half_written:
                source.write_bytes(source.read_bytes()[:100])
            raise Stopped
        left[0] -= 1
        return os.rename(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(chunks.os, "replace", replace)
        with pytest.raises(Stopped):
            job().run(tmp_path, nothing)
    assert chunks.read_position(tmp_path).done == moment // 2
    computed = []
    assert job(lambda state, chunk: (computed.append(chunk), advance(state, chunk))[1]).run(tmp_path, nothing)
    assert computed == list(range(moment // 2, CHUNKS))
    assert same_outputs(tmp_path, whole)


def test_ctrl_c_ends_after_the_chunk_that_runs(whole, tmp_path):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupting(state, chunk):
        if chunk == 1:
            signal.raise_signal(signal.SIGINT)
        return advance(state, chunk)

    assert not job(interrupting).run(tmp_path, nothing)
    signal.signal(signal.SIGINT, before)
    assert chunks.read_position(tmp_path).done == 2
    assert job().run(tmp_path, nothing)
    assert same_outputs(tmp_path, whole)


def test_a_finished_one_computes_nothing(whole):
    assert job(lambda state, chunk: pytest.fail("it computes")).run(whole, nothing)


def test_another_number_of_chunks_begins_anew(tmp_path):
    job(num_chunks=2).run(tmp_path, nothing)
    assert not job(num_chunks=3).finished(tmp_path)
    job(num_chunks=3).run(tmp_path, nothing)
    assert outputs(tmp_path)["walk"].shape == (3, 3)


@pytest.mark.parametrize("name", ["state.npz", "chunk00001.npz"])
def test_a_damaged_file_is_named(name, tmp_path):
    job().run(tmp_path, nothing)
    (tmp_path / name).write_bytes(b"PK of another kind")
    with pytest.raises(ConfigurationError, match=f"{name} is damaged; remove .* to compute it anew"):
        outputs(tmp_path)


def test_a_state_of_other_code_is_refused(tmp_path):
    stopping = job(lambda state, chunk: advance(state, chunk) if chunk == 0 else (_ for _ in ()).throw(Stopped))
    with pytest.raises(Stopped):
        stopping.run(tmp_path, nothing)
    other = Chunked("walk", {}, CHUNKS, lambda: np.zeros(2), advance)
    with pytest.raises(ConfigurationError, match="belongs to another computation; remove"):
        other.run(tmp_path, nothing)


def test_no_chunk_is_refused():
    with pytest.raises(ValueError, match="num_chunks=0; give at least 1"):
        job(num_chunks=0)


def test_other_settings_have_another_folder(tmp_path):
    folders = {job_folder(job(width=width, seeds=seeds), tmp_path) for width in (1, 2) for seeds in (4, 8)}
    assert len(folders) == 4
    assert all(folder.parent == tmp_path and folder.name.startswith("walk-") for folder in folders)
    assert job_folder(job(width=np.int64(1), seeds=4), tmp_path) == job_folder(job(seeds=4, width=1), tmp_path)
    assert job_folder(job(rate=0.1), tmp_path) != job_folder(job(rate=0.1 + 1e-16), tmp_path)
