"""Procedures to start from, each value with its source and how good that is. ``panji sop show NAME`` prints one."""

from __future__ import annotations

from importlib import resources

_ENDING = ".toml"


def presets() -> list[str]:
    """Returns their names."""
    entries = resources.files(__name__).iterdir()
    return sorted(one.name.removesuffix(_ENDING) for one in entries if one.name.endswith(_ENDING))


def text_of(name: str) -> str:
    """Returns the TOML of one.

    Raises:
        KeyError: There is none of this name.
    """
    if name not in presets():
        raise KeyError(name)
    return resources.files(__name__).joinpath(name + _ENDING).read_text("utf-8")
