"""What a model function can be told, by environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from eventing.errors import TidegateError
from functions.runtime.card import in_one_sentence


class InvalidSetting(TidegateError):
    """An environment variable has a value that cannot be used."""


class Settings(BaseModel):
    """Each field is read from the environment variable in its alias."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # A folder with model.yaml, a model.yaml, or an XGBoost file; relative to the working directory.
    model: Path = Field(alias="TIDEGATE_MODEL")
    # Knative tells the port; 8080 is what it tells by default.
    port: int = Field(8080, alias="PORT", ge=0, le=65535)
    log_level: str = Field("info", alias="TIDEGATE_LOG_LEVEL", pattern="^(debug|info|warning|error)$")
    # Bytes of a request's body. 100,000 rows of 30 features in JSON are about 60 MiB.
    max_body_bytes: int = Field(64 * 2**20, alias="TIDEGATE_MAX_BODY_BYTES", gt=0)
    # Seconds that requests in flight may take after SIGTERM; Knative grants timeoutSeconds, of which this leaves a little.
    drain_seconds: int = Field(25, alias="TIDEGATE_DRAIN_SECONDS", ge=0)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Raises InvalidSetting, naming the variable."""
        known = {field.alias for field in cls.model_fields.values()}
        try:
            return cls.model_validate({name: value for name, value in environ.items() if name in known})
        except ValidationError as error:
            raise InvalidSetting(f"the environment variable {in_one_sentence(error)}.") from None
