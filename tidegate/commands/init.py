"""`tidegate init`: create a model function that can be trained, tested, served and deployed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    name: Annotated[
        str, typer.Argument(help="The name of its folder, Python package, image, Knative Service and model: lower-case letters and digits.")
    ],
    directory: Annotated[
        Path, typer.Option("--directory", "-C", envvar="TIDEGATE_DIRECTORY", help="The clone of Tidegate to create it in.")
    ] = Path(),
    fastapi: Annotated[
        bool,
        typer.Option("--fastapi", envvar="TIDEGATE_FASTAPI", help="Add an app.py for your own routes, dependencies and middleware."),
    ] = False,
) -> None:
    """Create a model function of your own in this clone.

    It has a contract, a transform, a trainer with generated data, tests, manifests and an image, and runs without
    changes. Either all files are written or none.
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
        "  tidegate up    # in another terminal\n"
        f"  curl http://router.localhost:8080/v1/models/{name}:predict -d {shlex.quote(body)}\n{own}\n"
        f"Then make it yours: the data in functions/{name}/train.py, the inputs in model.yaml and transform.py beside it{routes}."
    )
