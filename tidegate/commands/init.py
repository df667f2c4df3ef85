"""`tidegate init`: a model function of your own, from nothing to one that is served, tested and deployable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    name: Annotated[
        str, typer.Argument(help="Small letters and digits: the name of its folder, Python package, image, Knative Service and model.")
    ],
    directory: Annotated[
        Path, typer.Option("--directory", "-C", envvar="TIDEGATE_DIRECTORY", help="The clone of Tidegate that it is made in.")
    ] = Path(),
    fastapi: Annotated[
        bool,
        typer.Option("--fastapi", envvar="TIDEGATE_FASTAPI", help="With an app.py for routes, dependencies and middleware of your own."),
    ] = False,
) -> None:
    """Make a model function of your own in this clone.

    It comes with a contract, a transform, a trainer on data that it makes up, tests, manifests and its image, and runs as it is.
    Nothing is written unless all of it can be.
    """
    from tidegate.scaffolding.plan import plan
    from tidegate.scaffolding.writing import write

    changes = plan(directory, name, fastapi=fastapi)
    write(changes)
    for change in changes:
        print(f"{'wrote' if change.before is None else 'added to'} {change.path}")
    print(_next_steps(name, directory, fastapi=fastapi))


def _next_steps(name: str, directory: Path, *, fastapi: bool) -> str:
    import shlex

    import orjson
    import yaml

    contract = yaml.safe_load((directory / f"functions/{name}/model.yaml").read_text("utf-8"))
    body = orjson.dumps({"instances": [contract["example"]]}).decode()
    go = "" if directory == Path() else f"  cd {shlex.quote(str(directory))}\n"
    record = shlex.quote(orjson.dumps(contract["example"]).decode())
    own = f"  curl http://{name}.localhost:8080/{name}/days -H 'content-type: application/json' -d {record}\n" if fastapi else ""
    routes = ", the routes in app.py" if fastapi else ""
    return (
        f"\nTry this:\n{go}"
        f"  make train FUNCTION={name}\n"
        f"  make test ARGS='tests/functions/{name} --no-cov'\n"
        "  tidegate up    # in a terminal of its own\n"
        f"  curl http://router.localhost:8080/v1/models/{name}:predict -d {shlex.quote(body)}\n{own}\n"
        f"Then make it yours: the data in functions/{name}/train.py, the inputs in model.yaml and transform.py beside it{routes}."
    )
