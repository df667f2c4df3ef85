"""`python -P start.py MODULE …`: run a function of the project in the working directory, as its image would.

The working directory of an image has the packages `common`, `eventing` and `functions` of the project only. So these
are imported from there first, and other files there, such as a `resource.py`, are searched last: they do not replace a
module of a library.
"""

from __future__ import annotations

import os
import runpy
import sys

_PACKAGES = ("common", "eventing", "functions")


def main() -> None:
    module = sys.argv.pop(1)
    root = os.getcwd()  # noqa: PTH109 pathlib's own imports would be searched here
    sys.path.insert(0, root)
    for package in _PACKAGES:
        if os.path.isfile(os.path.join(root, package, "__init__.py")):  # noqa: PTH113, PTH118 see above
            __import__(package)
    sys.path.remove(root)
    if root not in sys.path:
        sys.path.append(root)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
