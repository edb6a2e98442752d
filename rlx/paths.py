"""Paths as users write them."""

from pathlib import Path

from rlx.errors import ConfigurationError


def expand(path: str | Path) -> Path:
    """``path`` with the user's home in place of ``~`` at its beginning.

    Raises:
        ConfigurationError: if there is a ``~`` and no home, as for a user whom the system does not know.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigurationError(f"nobody knows where the home folder in {path} is; write the whole path") from error
