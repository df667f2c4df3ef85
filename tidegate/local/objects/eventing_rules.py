"""Validation rules of Knative Eventing's objects, in the wording of its webhook, and the limits of `tidegate up`."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from tidegate.local.objects import container_rules, cron, delivery_rules, destinations, event_filters, job_rules, kinds
from tidegate.local.objects.eventing import (
    DELIVERY_ORDER,
    ApiServerSource,
    Broker,
    ContainerSource,
    JobSink,
    Parallel,
    PingSource,
    Sequence,
    SinkBinding,
    SourceSpec,
    Trigger,
)
from tidegate.local.objects.job import Job
from tidegate.local.objects.resources import Manifest, ObjectReference
from tidegate.local.objects.validation import InvalidObject, Stage, webhook_error

_EXTENSION = re.compile(r"[a-z0-9]+")
_SUBJECTS = ("Deployment", "Job", "Service")


def check(model: Manifest) -> None:
    """Raise InvalidObject for the first violation of a rule of the object's kind."""
    destinations.check(model)
    delivery_rules.check(model)
    spec = getattr(model, "spec", None)
    if isinstance(spec, SourceSpec):
        _check_overrides(spec)
    for kind, rule in _RULES.items():
        if isinstance(model, kind):
            rule(model)


def _check_overrides(spec: SourceSpec) -> None:
    for name in spec.ce_overrides.extensions if spec.ce_overrides else ():
        if not _EXTENSION.fullmatch(name):
            details = "CloudEvents attribute names consist of lower-case letters and digits"
            raise webhook_error("spec.ceOverrides.extensions", f'invalid key name "{name}"', details)


def _check_broker(broker: Broker) -> None:
    config = broker.spec.config
    if config and config.kind != "ConfigMap":
        raise webhook_error("spec.config.kind", f"invalid value: {config.kind}", "Expected ConfigMap")


def _check_trigger(trigger: Trigger) -> None:
    spec = trigger.spec
    if not spec.broker and spec.broker_ref is None:
        raise webhook_error("spec.broker", "missing field(s)")
    if spec.broker and spec.broker_ref is not None:
        raise webhook_error("spec.broker, spec.brokerRef", "expected exactly one, got both")
    order = trigger.metadata.annotations.get(DELIVERY_ORDER, "unordered")
    if order.lower() not in ("ordered", "unordered"):
        raise webhook_error(f"metadata.annotations[{DELIVERY_ORDER}]", f"invalid value: {order}", 'want "ordered" or "unordered"')
    event_filters.check(spec)


def _check_ping_source(source: PingSource) -> None:
    spec = source.spec
    try:
        cron.parse(spec.schedule, spec.timezone)
    except cron.InvalidSchedule as error:
        raise webhook_error(f"spec.{error.field}", f"invalid value: {error.message}", error.remedy) from None
    if spec.data and spec.data_base64:
        raise webhook_error("spec.data, spec.dataBase64", "expected exactly one, got both")
    text: str | bytes = spec.data
    field = "spec.dataBase64" if spec.data_base64 else "spec.data"
    if spec.data_base64:
        try:
            text = base64.b64decode(spec.data_base64, validate=True)
        except binascii.Error as error:
            raise webhook_error(field, f"invalid value: {error}", "want Base64") from None
    if text and spec.content_type == "application/json":
        _check_json_object(text, field)


def _check_json_object(text: str | bytes, field: str) -> None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise webhook_error(field, f"invalid value: {error}", "want a JSON object, as spec.contentType is application/json") from None
    if not isinstance(value, dict):
        raise webhook_error(field, f"invalid value: {type(value).__name__}", "want a JSON object, as spec.contentType is application/json")


def _check_job_sink(sink: JobSink) -> None:
    job_rules.check(sink.spec.job.spec, "spec.job.spec")


def _check_job(job: Job) -> None:
    job_rules.check(job.spec, "spec")


def _check_sink_binding(binding: SinkBinding) -> None:
    subject = binding.spec.subject
    if subject.namespace and binding.metadata.namespace and subject.namespace != binding.metadata.namespace:
        raise webhook_error("spec.subject.namespace", f"invalid value: {subject.namespace}")
    if subject.kind not in _SUBJECTS or not (subject.name or _has_selector(subject)):
        problem = f"is {subject.kind} {subject.name or 'by selector'}, which tidegate up does not bind"
        remedy = f"name an object of one of the kinds {', '.join(_SUBJECTS)}, or select Jobs"
        raise InvalidObject(Stage.SCHEMA, "spec.subject", problem, remedy=remedy)


def _has_selector(subject: ObjectReference) -> bool:
    # A Job is bound when it is created, whatever its name; the others must be found again when their binding changes.
    return subject.kind == "Job" and subject.selector is not None


def _check_api_server_source(source: ApiServerSource) -> None:
    for index, selected in enumerate(source.spec.resources):
        kind = kinds.BY_VERSION.get((selected.api_version, selected.kind))
        if kind is None or not kind.served:
            path = f"spec.resources[{index}]"
            problem = f"is {selected.kind} of {selected.api_version}, which tidegate up has no API for"
            raise InvalidObject(Stage.SCHEMA, path, problem, remedy="watch Service of serving.knative.dev/v1, or an eventing kind")
    if source.spec.filters:
        raise webhook_error("spec.filters", "Filters is not empty but the NewAPIServerFilters feature is disabled.")


def _check_sequence(sequence: Sequence) -> None:
    if not sequence.spec.steps:
        raise webhook_error("spec.steps", "missing field(s)")


def _check_parallel(parallel: Parallel) -> None:
    if not parallel.spec.branches:
        raise webhook_error("spec.branches", "missing field(s)")


def _check_container_source(source: ContainerSource) -> None:
    container_rules.check_container(source.spec.template.spec, "spec.template.spec")


_RULES: Mapping[type[Manifest], Callable[[Any], None]] = {
    Broker: _check_broker,
    Trigger: _check_trigger,
    PingSource: _check_ping_source,
    JobSink: _check_job_sink,
    Job: _check_job,
    SinkBinding: _check_sink_binding,
    ApiServerSource: _check_api_server_source,
    ContainerSource: _check_container_source,
    Sequence: _check_sequence,
    Parallel: _check_parallel,
}
