"""Recorded lessons as arrays, and lessons by a script: ``python experiments/lessons.py session=FOLDER``."""

import dataclasses

from teach import setup_of

from rlx import cli
from rlx.paths import expand
from rlx.runner.settings import RunSettings
from rlx.settings import checked_fields, hyper, settings_of


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which session, and how long a script shall teach in it."""

    session: str = hyper(
        dataclasses.MISSING, "its folder; a new one takes agent= and env=, as experiments/teach.py does"
    )
    steps: int = hyper(0, "steps in which a script presses by the task's rule; 0: none", within="[0, inf)")
    probability: float = hyper(1.0, "share of its judgements that the script presses", within="[0, 1]")


def main(words: list[str]) -> None:
    """Let the script teach, if it shall, and write ``steps.npz`` beside the recording."""
    own = settings_of(Settings)
    values = cli.parse_words(words, own | settings_of(RunSettings))
    given = {name: value for name, value in values.items() if name in own}
    if "session" not in given:
        cli.parse_settings([], Settings)  # which says that it is missing
    settings = Settings(**checked_fields(Settings, given, "", "this command"))
    folder = expand(settings.session)
    setup = setup_of({name: value for name, value in values.items() if name not in own}, folder)

    from rlx.teaching import lessons, recording, scripted

    kept = recording.Recording(folder) if setup is None else recording.Recording.begin(folder, setup)
    session, _ = recording.replay(folder)
    scripted.teach(session, kept, settings.steps, settings.probability)
    kept.close()
    _, outcomes = recording.replay(folder)
    lessons.write_lessons(folder / "steps.npz", outcomes)
    print(f"{len(outcomes)} steps in {folder / 'steps.npz'}")


if __name__ == "__main__":
    cli.main(main, lambda: f"{__doc__}\n\n{cli.describe(Settings)}")
