"""A real Apache Kafka, with a listener for each way to enter one. Its program comes from Maven, once, into the user's cache."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

VERSION = "4.1.0"
NEEDED = {"java": "Java 17 or newer", "mvn": "Maven", "openssl": "OpenSSL"}
POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>dev.tidegate</groupId><artifactId>apache-kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"""
# A listener is known by its name and speaks the protocol behind it.
LISTENERS = {
    "CONTROLLER": "PLAINTEXT",
    "PLAINTEXT": "PLAINTEXT",
    "SSL": "SSL",
    "MUTUAL": "SSL",
    "SASL_SSL": "SASL_SSL",
    "SASL_PLAINTEXT": "SASL_PLAINTEXT",
}
STARTED = "Kafka Server started"


@dataclass(frozen=True)
class Apache:
    """`folder` has ca.pem and other-ca.pem, which signed nothing; client.pem and client.key; password and guess; token and old-token."""

    folder: Path
    ports: dict[str, int]
    user: str = "alice"
    secret: str = "correct-horse-battery"  # noqa: S105 of the test's own broker

    def at(self, listener: str) -> str:
        return f"localhost:{self.ports[listener]}"

    def file(self, name: str) -> str:
        return str(self.folder / name)

    def environ(self, given: Mapping[str, str]) -> dict[str, str]:
        """The variables, from their names without the prefix; files are those of the folder."""
        found = {name: self.file(value) if value and name.endswith("_FILE") else value for name, value in given.items()}
        return {f"TIDEGATE_KAFKA_{name}": value for name, value in found.items()}


@pytest.fixture(scope="session")
def apache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    for program, name in NEEDED.items():
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not on the PATH: install {name}.")
    libraries = _libraries()
    found = Apache(tmp_path_factory.mktemp("apache"), dict(zip(LISTENERS, _free_ports(len(LISTENERS)), strict=True)))
    _certificates(found.folder)
    (found.folder / "password").write_text(f"{found.secret}\n")
    (found.folder / "guess").write_text("guessed-by-chance\n")
    (found.folder / "token").write_text(_token(found.user, time.time() + 3600))
    (found.folder / "old-token").write_text(_token(found.user, time.time() - 3600))
    properties = found.folder / "server.properties"
    properties.write_text("".join(f"{name}={value}\n" for name, value in _properties(found).items()))
    java = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", f"{libraries}/*"]
    scram = [f"--add-scram={name}=[name={found.user},password={found.secret}]" for name in ("SCRAM-SHA-256", "SCRAM-SHA-512")]
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    format_ = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties), *scram]
    _run(*java, *format_)
    with ExitStack() as stack:
        server = subprocess.Popen(
            [*java, "kafka.Kafka", str(properties)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        stack.callback(_stop, server)
        output = server.stdout
        assert output is not None
        _wait_until_started(output)
        reader = threading.Thread(target=lambda: [None for _ in output])
        reader.start()
        stack.callback(reader.join)
        stack.callback(server.terminate)
        yield found


def _libraries() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidegate"
    libraries = cache / f"kafka-{VERSION}"
    if libraries.exists():
        return libraries
    # Whole or not at all, also when two want it at once.
    half = cache / f"{libraries.name}.{uuid.uuid4().hex}"
    half.mkdir(parents=True)
    try:
        (half / "pom.xml").write_text(POM)
        copy = ["mvn", "-q", "-B", "-f", str(half / "pom.xml"), "dependency:copy-dependencies", f"-DoutputDirectory={half / 'lib'}"]
        done = subprocess.run(copy, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"Maven cannot fetch Apache Kafka: {done.stdout.strip()[:500]}")
        if not libraries.exists():
            (half / "lib").rename(libraries)
    finally:
        shutil.rmtree(half)
    return libraries


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


def _certificates(folder: Path) -> None:
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for name in ("ca", "other-ca"):
        _run("openssl", "req", "-x509", *new_key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem", cwd=folder)
    # No address is in it, so that 127.0.0.1 is another name than the certificate's.
    (folder / "extensions").write_text("subjectAltName=DNS:localhost\n")
    for name in ("broker", "client"):
        _run("openssl", "req", *new_key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr", cwd=folder)
        sign = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extensions", "-out", f"{name}.pem"]
        _run("openssl", "x509", "-req", "-in", f"{name}.csr", *sign, cwd=folder)
    chain = [(folder / name).read_text() for name in ("broker.key", "broker.pem", "ca.pem")]
    (folder / "keystore.pem").write_text("".join(chain))


def _token(subject: str, expires: float) -> str:
    """A token without a signature: Apache Kafka takes them as long as nobody says who may sign."""
    parts = [{"alg": "none"}, {"sub": subject, "iat": expires - 7200, "exp": expires}]
    return ".".join([base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts] + [""])


def _properties(apache: Apache) -> dict[str, str]:
    ports, plain = apache.ports, f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{apache.user}="{apache.secret}";'
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    bearer = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;"
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{ports['CONTROLLER']}",
        "controller.listener.names": "CONTROLLER",
        "listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items()),
        "advertised.listeners": ",".join(f"{name}://localhost:{port}" for name, port in ports.items() if name != "CONTROLLER"),
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in LISTENERS.items()),
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": apache.file("data"),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": apache.file("keystore.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": apache.file("ca.pem"),
        "listener.name.mutual.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        "listener.name.sasl_plaintext.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": plain,
        "listener.name.sasl_ssl.plain.sasl.jaas.config": plain,
        "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": scram,
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": scram,
        "listener.name.sasl_ssl.oauthbearer.sasl.jaas.config": bearer,
    }


def _wait_until_started(output: IO[str]) -> None:
    told = []
    for line in output:
        if STARTED in line:
            return
        told.append(line)
    pytest.fail("Apache Kafka did not start:\n" + "".join(told[-30:]))


def _run(*command: str, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _stop(server: subprocess.Popen[str]) -> None:
    with server:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
