"""What a person is told who asks for something that cannot be, or whose run fails: one line."""

import difflib
from collections.abc import Iterable


class ConfigurationError(ValueError):
    """A configuration that cannot run. The message is one line: the mistake and its remedy."""


class RunFailed(RuntimeError):
    """A run that cannot go on; what it saved before stays as it was."""


class Diverged(RunFailed):
    """A run whose numbers are no longer finite."""


def suggest(wrong: str, options: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the nearest option, or an empty string if none is near."""
    near = difflib.get_close_matches(wrong, list(options), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""
