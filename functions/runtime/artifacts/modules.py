"""Where the modules that a card names are looked for, and what a child process must know to find the same ones.

A bare model runs no code of the folder that it is served in: a file there may have the name of a library's module.
"""

from __future__ import annotations

import os
import sys

_folders: list[str] = []


def offer(folder: str) -> None:
    """A folder that may hold the transform or the runtime of a card; it is not looked into before a card names one."""
    _folders.append(folder)


def search() -> None:
    """Look into the offered folders from now on, after all others, so that nothing in them takes the place of another module."""
    sys.path += [folder for folder in _folders if folder not in sys.path]


def environment() -> dict[str, str]:
    """The environment of `python -P -m MODULE` that finds what this process finds, and nothing in the working directory besides."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
