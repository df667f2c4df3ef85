"""A predictor in KServe's own Python server, run in its environment: `ARTIFACT --model_name NAME --http_port PORT`.

KServe's xgbserver is only in its images, not on PyPI; this is equivalent, with the same library and the same server.
"""

from __future__ import annotations

import argparse
from typing import Any

import kserve  # type: ignore[import-not-found]
import xgboost
from kserve.utils.utils import get_predict_input, get_predict_response  # type: ignore[import-not-found]


class Predictor(kserve.Model):  # type: ignore[misc]
    def __init__(self, name: str, artifact: str) -> None:
        super().__init__(name)
        # One thread, the default of xgbserver.
        self._booster = xgboost.Booster({"nthread": 1}, model_file=artifact)
        self.ready = True

    def predict(self, payload: Any, *_: Any, **__: Any) -> Any:
        rows = xgboost.DMatrix(get_predict_input(payload), nthread=1)
        return get_predict_response(payload, self._booster.predict(rows), self.name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[kserve.model_server.parser])
    parser.add_argument("artifact")
    options = parser.parse_args()
    if options.configure_logging:
        kserve.logging.configure_logging(options.log_config_file)
    kserve.ModelServer().start([Predictor(options.model_name, options.artifact)])
