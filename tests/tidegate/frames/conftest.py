from __future__ import annotations

from tests.functions.batch.conftest import model, url

__all__ = ["model", "url"]
