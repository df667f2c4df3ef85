from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from tidegate.local.up import Up

Object = dict[str, Any]
Make = Callable[..., Object]
Until = Callable[[Callable[[], Any]], Awaitable[None]]
Running = Callable[..., AbstractAsyncContextManager[Up]]


def deployment(*command: str) -> Object:
    container = {"name": "worker", "command": list(command)}
    template = {"metadata": {"labels": {"app": "worker"}}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": {"app": "worker"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "worker"}, "spec": spec}


def binding(**sink: Any) -> Object:
    spec = {
        "subject": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "worker"},
        "sink": sink or {"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "hello"}, "uri": "/models/flights"},
    }
    return {"apiVersion": "sources.knative.dev/v1", "kind": "SinkBinding", "metadata": {"name": "worker"}, "spec": spec}


async def test_deployment_has_its_sink_and_is_restarted(running: Running, service: Make, root: Path, until: Until) -> None:
    script = "from pathlib import Path; import os, time; f = Path('first'); w = Path('second' if f.exists() else 'first'); "
    script += "t = Path('half'); t.write_text(os.environ['K_SINK'] + ' ' + os.environ['TIDEGATE_BOOTSTRAP_SERVERS']); t.rename(w); "
    script += "time.sleep(0 if w.name == 'first' else 60)"
    async with running(service(), deployment("python", "-c", script), binding()) as here:
        await until((root / "second").exists)
        sink, broker = (root / "second").read_text().split()
        assert sink == f"http://hello.localhost:{here.running.gateway.rpartition(':')[2]}/models/flights"
        assert broker == here.running.bootstrap_servers
        assert here.status()["deployments"]["worker"]["crashes"] == 1


async def test_worker_of_many_streams_reads_them_from_its_config_map(running: Running, service: Make, root: Path, until: Until) -> None:
    script = "import os, pathlib, time; pathlib.Path('half').write_text(pathlib.Path(os.environ['TIDEGATE_STREAMS']).read_text()); "
    script += "pathlib.Path('half').rename('read'); time.sleep(60)"
    text = """
        defaults: {output: scores, deadletter: letters}
        streams:
          - {name: one, input: first, sink: /models/small}
          - {input: second, sink: /models/large, group: mine}
    """
    worker = deployment("python", "-c", script)
    spec = worker["spec"]["template"]["spec"]
    spec["volumes"] = [{"name": "streams", "configMap": {"name": "streams"}}]
    spec["containers"][0]["volumeMounts"] = [{"name": "streams", "mountPath": "/etc/tidegate"}]
    spec["containers"][0]["env"] = [{"name": "TIDEGATE_STREAMS", "value": "/etc/tidegate/streams.yaml"}]
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "streams"}, "data": {"streams.yaml": text}}
    async with running(service(), config_map, worker) as here:
        await until((root / "read").exists)
        assert (root / "read").read_text() == text
        both = {"output": "scores", "deadletter": "letters"}
        assert here.status()["streams"] == {
            "worker/one": {"topic": "first", "group": "tidegate-first", "model": "small", **both},
            "worker/second": {"topic": "second", "group": "mine", "model": "large", **both},
        }
