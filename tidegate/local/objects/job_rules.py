"""Validation rules of Jobs, in the wording of the API server, and the limits of local processes."""

from __future__ import annotations

from tidegate.local.objects import container_rules
from tidegate.local.objects.job import JobSpec
from tidegate.local.objects.validation import InvalidObject, Stage

_RESTART_POLICIES = ("OnFailure", "Never")
# Fields that decide about single pods of a Job. To ignore one would change what a failure means.
_UNSUPPORTED = ("backoff_limit_per_index", "managed_by", "max_failed_indexes", "pod_failure_policy", "success_policy")


def check(spec: JobSpec, where: str) -> None:
    """Check a Job's specification at the path `where`. Raises InvalidObject for the first violation."""
    container_rules.check_container(spec.template.spec, f"{where}.template.spec")
    if spec.template.spec.restart_policy not in _RESTART_POLICIES:
        field = f"{where}.template.spec.restartPolicy"
        value = spec.template.spec.restart_policy or ""
        raise InvalidObject(Stage.SCHEMA, field, f"is {value!r}", remedy='use one of the valid values "OnFailure" and "Never"')
    if spec.completion_mode == "Indexed" and spec.completions is None:
        problem = "is missing: a Job of completion mode Indexed requires it"
        raise InvalidObject(Stage.SCHEMA, f"{where}.completions", problem, remedy="add it")
    unsupported = [name for name in _UNSUPPORTED if getattr(spec, name) is not None]
    if spec.pod_replacement_policy == "Failed":
        unsupported.append("pod_replacement_policy")
    for name in unsupported:
        field = JobSpec.model_fields[name].alias or name
        raise InvalidObject(Stage.SCHEMA, f"{where}.{field}", "is not supported by tidegate up", remedy="remove it")
