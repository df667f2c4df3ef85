"""The Java runtime of this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from common.environ import Environ
from tidegate.local.errors import MissingProgram

LEAST = 17
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')
_SECONDS = 30.0
_REMEDY = f"install Java {LEAST} or newer, or name its folder in JAVA_HOME"


def find(environ: Environ = os.environ) -> str:
    """Return the path of `java`: that of JAVA_HOME, else that of the PATH.

    Raises MissingProgram if there is none, or an older one than Apache Kafka needs.
    """
    home = environ.get("JAVA_HOME")
    path = str(Path(home) / "bin" / "java") if home else shutil.which("java", path=environ.get("PATH"))
    if path is None:
        raise MissingProgram("Apache Kafka needs Java, which is not on the PATH", remedy=_REMEDY)
    try:
        done = subprocess.run([path, "-version"], capture_output=True, text=True, errors="replace", check=False, timeout=_SECONDS)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingProgram(f"Apache Kafka needs Java, and {path} cannot be run ({error})", remedy=_REMEDY) from None
    found = version(done.stderr + done.stdout)
    if found is None:
        # As the stub of macOS, which only asks for an installation.
        raise MissingProgram(f"Apache Kafka needs Java, and {path} does not report its version", remedy=_REMEDY)
    if found < LEAST:
        raise MissingProgram(f"Apache Kafka needs Java {LEAST} or newer, and {path} is Java {found}", remedy=_REMEDY)
    return path


def version(output: str) -> int | None:
    """Return the major version in the output of `java -version`: 8 for "1.8.0_292"; None if it has none."""
    found = _VERSION.search(output)
    return None if found is None else int(found[1])
