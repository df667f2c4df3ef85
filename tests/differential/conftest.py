from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.differential import sides
from tests.differential.sides import Side


@pytest.fixture(scope="module", params=["local", pytest.param("cluster", marks=pytest.mark.e2e)])
def side(request: pytest.FixtureRequest, flights_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    """`tidegate up`, or the cluster of KUBECONFIG, with manifests/overlays/local."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not on the PATH: install it, since it builds the overlay.")
    folder, namespace = tmp_path_factory.mktemp("scenario"), f"tidegate-diff-{uuid.uuid4().hex[:6]}"
    if request.param == "local":
        with sides.local(folder, namespace) as here:
            yield here
        return
    kubectl = request.getfixturevalue("kubectl")
    if not os.environ.get("E2E_IMAGES"):
        pytest.skip("E2E_IMAGES is not set: name the file that `skaffold build --file-output` has written.")
    with sides.cluster(folder, namespace, kubectl) as here:
        yield here
