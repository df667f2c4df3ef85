"""Strict models of Kubernetes Jobs (batch/v1)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tidegate.local.objects.resources import LabelSelector, Manifest, Metadata, PodTemplate
from tidegate.local.objects.validation import Json, StrictModel

BATCH = "batch/v1"
DEFAULT_BACKOFF_LIMIT = 6
"""The number of failed pods after which a Job fails, unless it names another."""


class JobSpec(StrictModel):
    """A Job's specification. Times are in seconds.

    Without `completions` a Job is complete as soon as one of its pods is; `parallelism` is the number that run at once.
    """

    template: PodTemplate
    parallelism: int = Field(1, ge=0)
    completions: int | None = Field(None, ge=0)
    completion_mode: Literal["NonIndexed", "Indexed"] = "NonIndexed"
    backoff_limit: int = Field(DEFAULT_BACKOFF_LIMIT, ge=0)
    active_deadline_seconds: int | None = Field(None, ge=0)
    ttl_seconds_after_finished: int | None = Field(None, ge=0)
    suspend: bool = False
    selector: LabelSelector | None = None
    manual_selector: bool | None = None
    backoff_limit_per_index: int | None = Field(None, ge=0)
    max_failed_indexes: int | None = Field(None, ge=0)
    pod_failure_policy: Json = None
    success_policy: Json = None
    pod_replacement_policy: Literal["TerminatingOrFailed", "Failed"] | None = None
    managed_by: str | None = None


class Job(Manifest):
    spec: JobSpec
    status: Json = None


class JobTemplate(StrictModel):
    """The Job of a JobSink, to which each event gives a name."""

    api_version: str | None = None
    kind: str | None = None
    metadata: Metadata = Metadata.model_validate({})
    spec: JobSpec
    status: Json = None
