"""The search path for modules that a card names, in this process and in its children.

A bare model runs no code of the folder that it is served in: a file there may have the name of a library's module.
"""

from __future__ import annotations

import os
import sys

_folders: list[str] = []


def offer(folder: str) -> None:
    """Register a folder that may hold the transform or the runtime of a card.

    It is not searched before a card names one.
    """
    _folders.append(folder)


def search() -> None:
    """Search the offered folders from now on, after all others, so that no file in them replaces another module."""
    sys.path += [folder for folder in _folders if folder not in sys.path]


def environment() -> dict[str, str]:
    """The environment of a child `python -P -m MODULE` that finds the same modules as this process, and no others."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
