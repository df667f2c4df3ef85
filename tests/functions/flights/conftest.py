from pathlib import Path

import pytest

from functions.flights.train import train


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both versions on little data: January for training, February for the test."""
    out = tmp_path_factory.mktemp("models")
    train(out, lambda _line: None, training=(1,), test=(2,), trees=10)
    return out
