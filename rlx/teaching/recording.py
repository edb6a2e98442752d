"""A teaching session on disk: what it began with, and line by line all that happened; docs/teach.md has the format.

``meta.json`` says what the session began with; ``events.jsonl`` grows by a line for each press and each step, written
at once, so that a process that dies loses nothing that it had accepted. Lines are what `Session.take` takes, some with
notes such as times. What a session *is* follows from these two files alone.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rlx.errors import ConfigurationError
from rlx.runner.folder import metadata, write_atomically
from rlx.teaching.session import Outcome, Session, Setup

VERSION = 1
META, EVENTS, SAVES = "meta.json", "events.jsonl", "saves"
LONGEST_NAME = 40


class Recording:
    """The folder of a session that is being recorded.

    Attributes:
        folder: where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _mend(folder / EVENTS)
        # Unbuffered: a line that is written has left this process.
        self._file = (folder / EVENTS).open("ab", buffering=0)

    @classmethod
    def begin(cls, folder: Path, setup: Setup) -> "Recording":
        """A new recording in ``folder``.

        Raises:
            ConfigurationError: if there is one already, or it cannot be written.
        """
        if (folder / META).exists():
            raise ConfigurationError(f"{folder} holds a session already; session={folder} goes on with it")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            meta = {"version": VERSION, "agent": dict(setup.agent), "env": dict(setup.env), "seed": setup.seed}
            write_atomically(folder / META, json.dumps(meta | {"made": metadata()}, indent=1) + "\n")
            return cls(folder)
        except OSError as error:
            raise ConfigurationError(f"cannot write the session {folder} ({error.strerror})") from error

    def add(self, line: Mapping[str, Any]) -> None:
        """Append a line, with the time."""
        text = json.dumps({**line, "time": round(time.time(), 3)}, separators=(",", ":"))
        self._file.write(text.encode() + b"\n")

    def save(self, name: str) -> None:
        """Keep all that has happened so far under ``name``, in place of what had that name."""
        (self.folder / SAVES).mkdir(exist_ok=True)
        target = self.folder / SAVES / f"{name}.jsonl"
        shutil.copyfile(self.folder / EVENTS, target.with_suffix(".tmp"))
        os.replace(target.with_suffix(".tmp"), target)

    def load(self, name: str) -> None:
        """Go on from what was saved as ``name``; what happened since is kept beside it, in a file of its own.

        Raises:
            ConfigurationError: if nothing has that name.
        """
        source = self.folder / SAVES / f"{name}.jsonl"
        if not source.exists():
            raise ConfigurationError(
                f"nothing is saved as {name!r}; there is {', '.join(self.saves()) or 'nothing yet'}"
            )
        self.close()
        kept = sum(1 for _ in self.folder.glob("events-*.jsonl"))
        shutil.copyfile(self.folder / EVENTS, self.folder / f"events-{kept + 1}.jsonl")
        shutil.copyfile(source, self.folder / f"{EVENTS}.tmp")
        os.replace(self.folder / f"{EVENTS}.tmp", self.folder / EVENTS)
        self._file = (self.folder / EVENTS).open("ab", buffering=0)

    def saves(self) -> list[str]:
        """Names under which something is saved."""
        return sorted(path.stem for path in (self.folder / SAVES).glob("*.jsonl"))

    def close(self) -> None:
        """Write no more."""
        self._file.close()


def read_setup(folder: Path) -> Setup:
    """What the session in ``folder`` began with.

    Raises:
        ConfigurationError: if there is none, it is damaged, or of a later version.
    """
    try:
        meta = json.loads((folder / META).read_text("utf-8"))
        if meta["version"] > VERSION:
            raise ConfigurationError(f"{folder} was recorded by a later version of rlx; read it with that")
        return Setup(dict(meta["agent"]), dict(meta["env"]), int(meta["seed"]))
    except FileNotFoundError as error:
        raise ConfigurationError(f"{folder} is no teaching session: it has no {META}") from error
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"{folder / META} is damaged") from error


def read_lines(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of a recording; one that was cut off in the middle is left out.

    Raises:
        ConfigurationError: for any other line that is none.
    """
    path = folder / EVENTS
    text = path.read_bytes() if path.exists() else b""
    for number, line in enumerate(text.split(b"\n")[:-1], 1):
        try:
            event = json.loads(line)
            assert isinstance(event["kind"], str)
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            raise ConfigurationError(f"{path}: line {number} is damaged") from error
        yield event


def replay(folder: Path) -> tuple[Session, list[Outcome]]:
    """The session in ``folder`` as it stood after its last line, and what its steps did since the last restart."""
    session = Session(read_setup(folder))
    outcomes: list[Outcome] = []
    for line in read_lines(folder):
        outcome = session.take(line)
        if line["kind"] == "restart":
            outcomes = []
        if outcome is not None:
            outcomes.append(outcome)
    return session, outcomes


def _mend(path: Path) -> None:
    """Cut off a last line that was written in part."""
    if path.exists():
        text = path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if whole != text:
            path.write_bytes(whole)
