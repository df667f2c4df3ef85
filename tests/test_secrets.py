"""No output repeats a secret: one is planted in each setting, and searched for in logs, errors and responses."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.errors import TidegateError
from common.redaction import redact
from functions.router.settings import Settings as RouterSettings
from functions.runtime.artifacts.policy import Policy
from functions.runtime.knative.client import Access
from functions.runtime.observability.settings import ObservabilitySettings
from functions.runtime.settings import Settings as FunctionSettings
from functions.stream.settings import StreamSettings

ROOT = Path(__file__).parents[1]
SECRET = "S3cr3tValue"  # noqa: S105 what is planted
NAMES = re.findall(r"^\| `([A-Z_0-9]+)` \|", (ROOT / "docs/settings.md").read_text("utf-8"), re.MULTILINE)
# What each reader needs to come as far as the planted one.
NEEDED = {
    "TIDEGATE_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "TIDEGATE_STREAM_INPUT": "in",
    "TIDEGATE_STREAM_OUTPUT": "out",
    "K_SINK": "http://router/models/m",
    "TIDEGATE_MODEL": "m.ubj",
    "TIDEGATE_KUBERNETES_API": "http://127.0.0.1:1",
}
READERS: list[Callable[[Mapping[str, str]], Any]] = [
    StreamSettings.from_env,
    FunctionSettings.from_env,
    RouterSettings.from_env,
    ObservabilitySettings.from_env,
    Policy.from_env,
    Access.from_env,
]
FORMS = [f"http://user:{SECRET}@127.0.0.1:1/p?sig={SECRET}", f"user:{SECRET}@host:1", f"ftp://user:{SECRET}@host/x?token={SECRET}"]


@pytest.mark.parametrize("planted", FORMS)
def test_settings_errors_do_not_repeat_a_secret(planted: str) -> None:
    assert len(NAMES) > 50
    complaints = []
    for name in NAMES:
        for read in READERS:
            try:
                read({**NEEDED, name: planted})
            except TidegateError as error:
                complaints.append(redact(str(error)))
    assert len(complaints) > 20
    assert not [sentence for sentence in complaints if SECRET in sentence]


@pytest.mark.parametrize("name", ["TIDEGATE_KAFKA_PASSWORD_FILE", "TIDEGATE_KAFKA_TOKEN_FILE"])
def test_secret_given_as_a_file_name_is_not_repeated(name: str) -> None:
    mechanism = "OAUTHBEARER" if "TOKEN" in name else "PLAIN"
    sasl = {"TIDEGATE_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "TIDEGATE_KAFKA_SASL_MECHANISM": mechanism}
    for value in (SECRET, f"{SECRET}/more", SECRET * 100):
        with pytest.raises(TidegateError, match=f"{name} is not a readable file") as caught:
            StreamSettings.from_env({**NEEDED, **sasl, "TIDEGATE_KAFKA_USERNAME": "u", name: value})
        assert SECRET not in str(caught.value)


@contextmanager
def process(module: str, tmp_path: Path, **environ: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    said = tmp_path / "said"
    with said.open("wb") as file:
        command = [sys.executable, "-m", *module.split()]
        started = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environ}, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield started, said
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(30)
        finally:
            started.kill()


def said_until(said: Path, words: str, seconds: float = 60) -> str:
    end = time.monotonic() + seconds
    while words not in (text := said.read_text("utf-8")):
        assert time.monotonic() < end, text
        time.sleep(0.02)
    return text


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def ask(port: int, path: str, body: bytes | None = None) -> str:
    try:
        with urlopen(Request(f"http://127.0.0.1:{port}{path}", body), timeout=30) as answer:
            found: str = answer.read().decode()
            return f"{answer.headers}\n{found}"
    except HTTPError as error:
        return f"{error.headers}\n{error.read().decode()}"


def test_model_function_does_not_repeat_a_secret(flights_models: Path, tmp_path: Path) -> None:
    port = free_port()
    planted = FORMS[0].replace("/p?", "/v1/traces?")
    environ = {
        "TIDEGATE_PAYLOAD_SINK": FORMS[0],
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": planted,
        # Without its escapes the exporter repeats it, to say that it is not as it should be.
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {SECRET},x-api-key={SECRET}, token {SECRET}=".replace(
            f" token {SECRET}=", "x"
        ),
        "TIDEGATE_ARTIFACT_URIS": f"https://models.example/prod?sig={SECRET}",
        "TIDEGATE_REQUEST_LOG": "true",
        "TIDEGATE_FLUSH_SECONDS": "1",
        "TIDEGATE_LOG_LEVEL": "debug",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "TIDEGATE_MODEL": str(flights_models / "v1"),
        "TIDEGATE_HOST": "127.0.0.1",
        "PORT": str(port),
    }
    with process("functions.flights", tmp_path, **environ) as (_, said):
        said_until(said, "serving flights")
        replies = [ask(port, "/v1/models/flights:predict", b'{"instances": [{}]}')]
        said_until(said, "the payload sink at 127.0.0.1")
        paths = ("/v2/models/flights", "/v2", "/metrics", "/openapi.json", "/schemas/flights/request.json", "/x")
        replies += [ask(port, path) for path in paths]
        replies.append(ask(port, "/v2/repository/index", b"{}"))
    assert SECRET not in "\n".join([said.read_text("utf-8"), *replies])
    assert "tidegate_" in replies[3]


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        (f"https://user:{SECRET}@models.example/m.ubj", "is not a plain scheme"),
        (f"https://models.example/m.ubj?sig={SECRET}", "is not within an allowed location"),
        (f"http://127.0.0.1:1/m.ubj?X-Amz-Signature={SECRET}", "cannot fetch the artifact"),
    ],
)
def test_failed_fetch_does_not_repeat_a_secret(uri: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(
        f"name: m\nartifact: {{uri: '{uri}', sha256: '{'0' * 64}'}}\ninputs: [{{name: x, datatype: FP32}}]\noutputs: [{{name: y}}]\n"
    )
    environ = {"TIDEGATE_MODEL": str(tmp_path), "TIDEGATE_ARTIFACT_URIS": "http://127.0.0.1:1", "TIDEGATE_LOG_LEVEL": "debug"}
    with process("functions.flights", tmp_path, TIDEGATE_CACHE=str(tmp_path), **environ) as (started, said):
        assert started.wait(60) == 1
    assert why in said.read_text("utf-8")
    assert SECRET not in said.read_text("utf-8")


def test_router_does_not_repeat_a_secret(tmp_path: Path) -> None:
    port = free_port()
    environ = {"TIDEGATE_KUBERNETES_API": f"http://user:{SECRET}@127.0.0.1:1/?token={SECRET}", "TIDEGATE_FIRST_VIEW_SECONDS": "0.1"}
    with process("functions.router", tmp_path, PORT=str(port), TIDEGATE_HOST="127.0.0.1", **environ) as (_, said):
        said_until(said, "is unreachable")
        replies = [ask(port, path) for path in ("/v2", "/v2/models", "/v2/models/m", "/metrics")]
    assert SECRET not in "\n".join([said.read_text("utf-8"), *replies])
    assert "http://***@127.0.0.1:1" in said.read_text("utf-8")


def test_batch_does_not_repeat_a_secret(tmp_path: Path) -> None:
    event = b'{"specversion":"1.0","id":"1","source":"/x","type":"dev.tidegate.batch.requested","data":%b}'
    (tmp_path / "event").write_bytes(
        event % (b'{"model":"m","input":"s3://key:%b@b/in?secret_key=%b","output":"/out"}' % (SECRET.encode(), SECRET.encode()))
    )
    with process("functions.batch", tmp_path, K_EVENT_PATH=str(tmp_path), TIDEGATE_ROUTER_URL=FORMS[0]) as (started, said):
        assert started.wait(60) == 1
    assert said.read_text("utf-8").strip()
    assert SECRET not in said.read_text("utf-8")


async def test_unreachable_router_does_not_repeat_a_secret(tmp_path: Path) -> None:
    from functions.batch.client import RetryPolicy
    from functions.batch.job import run
    from functions.batch.request import BatchRequest
    from functions.batch.settings import BatchLimits

    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "in.parquet")
    request = BatchRequest(model="m", input=str(tmp_path / "in.parquet"), output=str(tmp_path / "out.parquet"))
    with pytest.raises(TidegateError, match=r"the router at http://\*\*\*@127\.0\.0\.1:1") as caught:
        await run(request, url=FORMS[0], limits=BatchLimits(retry=RetryPolicy(total_seconds=0.01)))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["tail", "topic", "--bootstrap-servers", f"user:{SECRET}@127.0.0.1:1"],
        ["tail", "topic", "--bootstrap-servers", f"SASL_SSL://user:{SECRET}@127.0.0.1:1", "--debug"],
        ["up", "--port", "0", "--bootstrap-servers", f"user:{SECRET}@127.0.0.1:1"],
        ["publish", "topic", "rows.csv", "--bootstrap-servers", f"user:{SECRET}@127.0.0.1:1"],
        ["batch", "nowhere.parquet", "out.parquet", "--model", "m", "--url", FORMS[0]],
        ["batch", f"s3://user:{SECRET}@bucket/in.parquet", "out.parquet", "--model", "m", "--url", "http://x", "--debug"],
        ["serve", f"https://user:{SECRET}@models.example/m.ubj"],
        ["serve", f"s3://models/m.ubj?X-Amz-Signature={SECRET}"],
        ["doctor", "--kubeconfig", "kubeconfig"],
        ["status", "--state-dir", f"token={SECRET}"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_command_does_not_repeat_a_secret(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a\n1\n")
    cluster = f"{{server: 'http://user:{SECRET}@127.0.0.1:1/?token={SECRET}'}}"
    (tmp_path / "kubeconfig").write_text(
        f"{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}],"
        f" clusters: [{{name: c, cluster: {cluster}}}], users: [{{name: u, user: {{token: {SECRET}}}}}]}}"
    )
    (tmp_path / "manifests/base").mkdir(parents=True)
    (tmp_path / "manifests/base/x.yaml").write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {}}")
    command = [sys.executable, "-P", "-m", "tidegate", *arguments]
    environ = {**os.environ, "TIDEGATE_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "TIDEGATE_KAFKA_SASL_MECHANISM": "PLAIN"}
    environ |= {"TIDEGATE_KAFKA_USERNAME": "user", "TIDEGATE_KAFKA_PASSWORD": SECRET}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    assert SECRET not in done.stdout + done.stderr
