"""The program of Apache Kafka: its libraries, downloaded by Maven into the user's cache."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import uuid
from pathlib import Path

from common.environ import Environ
from tidegate.local.errors import MissingProgram, StartFailed
from tidegate.local.processes.orphan_reaper import OrphanReaper
from tidegate.local.processes.process import Launch, Process

log = logging.getLogger("tidegate.local")

VERSION = "4.1.0"
_POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>dev.tidegate</groupId><artifactId>apache-kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"""
# The plugin's version is pinned as the libraries are; the libraries' own digests are beside this module.
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_DIGESTS = Path(__file__).with_name("libraries.sha256")
_STOP_SECONDS = 5.0


def cache(environ: Environ = os.environ) -> Path:
    """Return the folder for what is downloaded once: `tidegate` in XDG_CACHE_HOME or ~/.cache."""
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidegate"


async def installed(folder: Path, output: Path, reaper: OrphanReaper) -> Path:
    """Return the folder of the libraries in the cache `folder`; they are downloaded if they are not there.

    Maven's output goes to the file `output`. Raises MissingProgram without Maven, StartFailed if it fails.
    """
    target = folder / f"kafka-{VERSION}"
    if all((target / name).is_file() for name in digests()):
        return target
    maven = shutil.which("mvn")
    if maven is None:
        problem = f"Apache Kafka {VERSION} is not in {folder} yet, and Maven, which downloads it, is not on the PATH"
        raise MissingProgram(problem, remedy="install Maven (mvn)")
    log.info("downloading Apache Kafka %s by Maven into %s, once (45 MB)…", VERSION, folder)
    # Complete or not at all, also when two processes download at once.
    part = folder / f"{target.name}.{uuid.uuid4().hex}"
    try:
        part.mkdir(parents=True)
        (part / "pom.xml").write_text(_POM)
        await _run(maven, part, output, reaper)
        _check(part / "lib", output)
        shutil.rmtree(target, ignore_errors=True)
        (part / "lib").rename(target)
    except OSError as error:
        if not all((target / name).is_file() for name in digests()):  # not completed by another process meanwhile
            raise StartFailed(f"cannot write into {folder}: {error.strerror}", remedy="set XDG_CACHE_HOME to another folder") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def digests() -> dict[str, str]:
    """Return the SHA-256 digest of each library, by the name of its file."""
    return {name: digest for digest, name in (line.split() for line in _DIGESTS.read_text("ascii").splitlines())}


async def _run(maven: str, part: Path, output: Path, reaper: OrphanReaper) -> None:
    argv = [maven, "-B", "-f", str(part / "pom.xml"), _COPY, f"-DoutputDirectory={part / 'lib'}"]
    process = Process.start(Launch(name="mvn", argv=argv, env=os.environ, cwd=part, log=output), reaper)
    try:
        exit_ = await process.exited
    finally:
        await process.stop(_STOP_SECONDS)
    if exit_.code:
        message = f"Maven cannot download Apache Kafka {VERSION}: it {exit_}, and its output is in {output}"
        raise StartFailed(message, remedy="check the connection to Maven Central, or its mirror in ~/.m2/settings.xml")


def _check(folder: Path, output: Path) -> None:
    for name, digest in digests().items():
        try:
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except FileNotFoundError:
            found = "missing"
        if found != digest:
            message = f"{name} of Apache Kafka {VERSION} has the SHA-256 digest {found}, not {digest}; Maven's output is in {output}"
            raise StartFailed(message, remedy="delete it from Maven's repository (~/.m2), or ask who runs the mirror")
