"""Teach an agent live, on a local web page: ``python experiments/teach.py env=rlx/cliff-grid agent=coach``."""

import dataclasses
import time
from pathlib import Path
from typing import Any

from rlx import cli
from rlx.compose import compose_values
from rlx.errors import ConfigurationError
from rlx.paths import expand
from rlx.runner.settings import RunSettings
from rlx.settings import checked_fields, hyper, settings_of

TABLES = ("rlx/cliff-grid", "rlx/four-rooms")
LOCAL = ("127.0.0.1", "localhost", "::1")
# What teaching begins with where nothing else is asked for. A press that is credited to the frame it answers comes a
# step after it, hence a delay of 1.
AGENTS: dict[str, dict[str, Any]] = {
    "coach": {"agent.trace_decays": [0.0, 0.8, 0.99], "agent.delay": 1, "agent.max_lag": 4, "agent.max_grad_norm": 1.0},
    "deep_coach": {"agent.delay": 1},
    "tamer": {"agent.delay": 1},
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Where a session is kept, and who may teach."""

    session: str | None = hyper(None, "its folder; goes on with what is there. null: a new one below runs/")
    host: str = hyper("127.0.0.1", "address to serve; any other than this machine's own needs a token")
    port: int = hyper(8000, "port to serve", within="[1, 65535]")
    token: str | None = hyper(None, "a word that the page's address must hold: ?token=WORD")
    rate: float = hyper(4.0, "steps a second at first", within="[0.2, 60]")


def teach(words: list[str]) -> None:
    """Serve the page until Ctrl-C; all that happens is recorded."""
    own = settings_of(Settings)
    values = cli.parse_words(words, own | settings_of(RunSettings))
    given = {name: value for name, value in values.items() if name in own}
    settings = Settings(**checked_fields(Settings, given, "", "this command"))
    rest = {name: value for name, value in values.items() if name not in own}
    if settings.host not in LOCAL and not settings.token:
        raise ConfigurationError(f"host={settings.host} lets others in; add token=WORD that they must know")
    try:
        import uvicorn

        from rlx.teaching.classroom import Classroom
        from rlx.teaching.messages import LONGEST
        from rlx.teaching.server import application
    except ImportError as error:
        raise ConfigurationError("teaching needs a web server: pip install 'rlx[teach]'") from error
    folder = expand(settings.session) if settings.session else new_folder()
    print("compiling a step", flush=True)
    classroom = Classroom(folder, setup_of(rest, folder), settings.rate)
    query = f"?token={settings.token}" if settings.token else ""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    print(
        f"teach at http://{host}:{settings.port}/{query}\nrecorded in {folder}; Ctrl-C ends, session={folder} goes on"
    )
    uvicorn.run(
        application(classroom, settings.token),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        ws_max_size=4 * LONGEST,
        server_header=False,
        timeout_graceful_shutdown=2,
    )


def setup_of(values: dict[str, Any], folder: Path) -> Any:
    """What a new session begins with; ``None`` where one goes on as it began.

    Raises:
        ConfigurationError: if the words do not fit, or nothing says what to begin with.
    """
    from rlx.teaching.recording import META
    from rlx.teaching.session import Setup

    if (folder / META).exists() and not values:
        return None
    agent = values.get("agent", "coach")
    defaults = {"agent": agent, "env": "rlx/cliff-grid", **AGENTS.get(agent, {})}
    if agent == "coach" and values.get("env", defaults["env"]) in TABLES:
        defaults["agent.learning_rate"] = 0.5  # a press changes one cell, and should be seen to
    config = compose_values({**defaults, **values})
    return Setup(config.agent, config.env, config.settings.seed)


def new_folder() -> Path:
    """A name that no session has yet."""
    stem = f"runs/{time.strftime('%Y%m%d-%H%M%S')}-teach"
    return next(path for number in range(1_000) if not (path := Path(stem + (f"-{number}" if number else ""))).exists())


def help_text() -> str:
    """What ``--help`` says."""
    return (
        f"{__doc__}\n\n  session=FOLDER alone goes on with a session that was recorded.\n"
        "  agent=, env=, agent.FIELD=, env.FIELD= and seed= are those of experiments/train.py.\n\n"
        f"{cli.describe(Settings)}"
    )


if __name__ == "__main__":
    cli.main(teach, help_text)
