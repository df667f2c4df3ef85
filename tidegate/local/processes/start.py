"""`python -P start.py MODULE …`: run a function of the project in the working directory, as its image would.

An image has the packages `common`, `eventing` and `functions` in its working directory, and nothing else of the project. So these come
from there, and what lies beside them, such as a `resource.py`, does not take the place of a library's module: it is looked for last.
"""

from __future__ import annotations

import os
import runpy
import sys

_PACKAGES = ("common", "eventing", "functions")


def main() -> None:
    module = sys.argv.pop(1)
    root = os.getcwd()  # noqa: PTH109 what pathlib imports would be looked for here
    sys.path.insert(0, root)
    for package in _PACKAGES:
        if os.path.isfile(os.path.join(root, package, "__init__.py")):  # noqa: PTH113, PTH118 likewise
            __import__(package)
    sys.path.remove(root)
    if root not in sys.path:
        sys.path.append(root)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
