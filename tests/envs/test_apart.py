"""Libraries without the libraries that rlx does not use of them; and names known without any."""

import subprocess
import sys

import pytest

import rlx
from rlx import registry, task_names
from rlx.envs.imports import postponed, without


def output(code):
    """What a new interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library whose ``drawing`` uses two modules of a heavy one, and whose ``free`` works without it."""
    (tmp_path / "heavy_one").mkdir()
    (tmp_path / "heavy_one" / "__init__.py").write_text("colour = 'blue'\n")
    (tmp_path / "heavy_one" / "plots.py").write_text("def plot():\n    return 'a plot'\n")
    (tmp_path / "heavy_one" / "rest.py").write_text("import heavy_one\ncolour = heavy_one.colour\n")
    drawing = "import heavy_one.plots as plots\nfrom heavy_one import plots as same\nimport heavy_one\n"
    (tmp_path / "drawing.py").write_text(drawing)
    (tmp_path / "eager.py").write_text(f"{drawing}from heavy_one.rest import colour\n")
    (tmp_path / "free.py").write_text("try:\n    import heavy_one\nexcept ImportError:\n    heavy_one = None\n")
    monkeypatch.syspath_prepend(tmp_path)
    names = ("heavy_one", "heavy_one.plots", "heavy_one.rest", "drawing", "eager", "free")
    yield names
    for name in names:
        sys.modules.pop(name, None)


def test_a_postponed_module_is_loaded_by_its_first_use(library):
    with postponed("heavy_one", "heavy_one.plots"):
        import drawing
    assert not {"heavy_one", "heavy_one.plots"} & set(sys.modules)
    assert drawing.plots.plot() == drawing.same.plot() == "a plot"
    import heavy_one

    assert sys.modules["heavy_one"].__file__ == heavy_one.__file__
    assert drawing.heavy_one.colour == heavy_one.colour == "blue"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = drawing.heavy_one.nothing


def test_a_library_that_uses_it_at_once_gets_it(library):
    with postponed("heavy_one", "heavy_one.plots"):
        import eager
    assert (eager.colour, eager.plots.plot()) == ("blue", "a plot")


def test_a_module_that_is_loaded_already_is_left_alone(library):
    import heavy_one

    with postponed("heavy_one"), without("heavy_one"):
        import free
    assert free.heavy_one is heavy_one


def test_a_library_that_is_hidden_is_back_afterwards(library):
    with without("heavy_one"):
        import free
    assert free.heavy_one is None
    import heavy_one

    assert heavy_one.colour == "blue"


def test_gymnax_plots_when_asked_to():
    code = "import sys, rlx.envs.api\nfrom gymnax.environments.misc import pong\n"
    code += "before = {'matplotlib', 'seaborn', 'scipy', 'pandas'} & set(sys.modules)\n"
    assert output(f"{code}print(before, pong.colors.to_hex('red'))") == "set() #ff0000\n"


def test_brax_comes_without_warp_and_leaves_it_to_others():
    code = "import sys, importlib.util, rlx\nenv = rlx.make_env('brax/inverted_pendulum')\n"
    code += "print('warp' in sys.modules, importlib.util.find_spec('nothing'), env.spec.obs_shape)"
    assert output(code) == "False None (4,)\n"


def test_the_names_of_gymnax_are_those_it_registers():
    listed = output("import gymnax; print(*gymnax.registered_envs)").split()
    assert list(task_names.GYMNAX) == [name for name in listed if name not in task_names.GYMNAX_NEEDS_DATA]
    assert set(task_names.GYMNAX_NEEDS_DATA) < set(listed)


def test_the_names_of_brax_are_those_it_has():
    from brax import envs

    assert set(task_names.BRAX) == set(envs._envs) - {"fast", "swimmer"}


def test_the_names_of_jumanji_and_playground_are_theirs():
    """Which of Jumanji's tasks cannot be adapted, the tests of its family know."""
    import jumanji
    from mujoco_playground import dm_control_suite

    assert set(task_names.JUMANJI) <= set(jumanji.registered_environments())
    assert set(task_names.PLAYGROUND) <= set(dm_control_suite.ALL_ENVS)


@pytest.mark.parametrize(("family", "name"), [("jumanji", "Sokoban-v0"), ("playground", "CheetahRun")])
def test_a_library_is_asked_for_tasks_that_it_may_have(family, name):
    code = (
        f"from rlx.task_names import may_have\nprint(may_have('{family}', '{name}'), may_have('{family}', 'Other'))\n"
    )
    module = {"jumanji": "jumanji", "playground": "mujoco_playground"}[family]
    assert output(code) == "True False\n"
    assert output(f"import sys\nsys.modules['{module}'] = sys\n{code}") == "True True\n"


def test_every_own_task_is_where_it_is_said_to_be():
    for name in task_names.OWN:
        assert rlx.make_env(f"rlx/{name}").name == f"rlx/{name}"
    loaded = output("import sys, rlx; rlx.make_env('rlx/chain')\nprint('rlx.envs.microrts' in sys.modules)")
    assert loaded == "False\n"


def test_all_names_are_known_without_any_library():
    libraries = ("jax", "gymnax", "brax", "jumanji", "mujoco_playground")
    code = f"import sys, rlx\nprint(*rlx.environments())\nprint([n for n in {libraries} if n in sys.modules])"
    names, loaded = output(code).splitlines()
    assert loaded == "[]"
    assert set(names.split()) <= set(registry.environments())  # here other tests register tasks of their own
