from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest

from functions.runtime.artifacts.fetching import fetch, locate
from functions.runtime.artifacts.policy import CARD_FOLDER_ONLY, Policy
from functions.runtime.contract.card import Artifact
from functions.runtime.errors import InvalidModel

BODY = bytes(range(256)) * 1_000
REDIRECTS = {
    "moved.ubj": "/models/model.ubj",
    "away.ubj": "http://localhost:{port}/models/model.ubj?signature=secret",
    "up.ubj": "/other/model.ubj",
    "passwd.ubj": "file:///etc/passwd",
}
SHA256 = hashlib.sha256(BODY).hexdigest()


@dataclass
class Storage:
    """A web server of artifacts; `asked` counts the requests by path. Slow answers wait until they are `released`."""

    asked: Counter[str] = field(default_factory=Counter)
    released: threading.Event = field(default_factory=threading.Event)
    both: threading.Barrier = field(default_factory=lambda: threading.Barrier(2))
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.partition("?")[0]
        self.asked[path] += 1
        name = path.removeprefix("/models/")
        if name in REDIRECTS:
            request.send_response(302)
            request.send_header("Location", REDIRECTS[name].format(port=self.port))
            request.send_header("Content-Length", "0")
            request.end_headers()
        elif name == "gone.ubj":
            request.send_error(404)
        else:
            self._send(request, name)

    def _send(self, request: BaseHTTPRequestHandler, name: str) -> None:
        if name == "silent.ubj":
            self.released.wait()
        if name == "together.ubj":
            self.both.wait()
        request.send_response(200)
        if name != "endless.ubj":
            request.send_header("Content-Length", str(len(BODY)))
        request.end_headers()
        request.wfile.write(BODY[:1_000] if name in ("cut.ubj", "slow.ubj") else BODY)
        if name == "slow.ubj":
            self.released.wait()


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    monkeypatch.setenv("no_proxy", "*")
    found = Storage()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.answer(self)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield found
        found.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def policy(storage: Storage, tmp_path: Path) -> Policy:
    return Policy(allowed=(f"{storage.url}/models",), cache=tmp_path / "cache")


def kept(policy: Policy) -> set[str]:
    assert policy.cache is not None
    return {path.name for path in policy.cache.iterdir()} if policy.cache.exists() else set()


def test_an_artifact_is_fetched_once_and_cached_by_its_digest(storage: Storage, policy: Policy) -> None:
    paths = {fetch(f"{storage.url}/models/model.ubj?signature=secret", SHA256, policy) for _ in range(3)}
    (path,) = paths
    assert path.read_bytes() == BODY
    assert kept(policy) == {f"{SHA256}.ubj"}
    assert storage.asked == {"/models/model.ubj": 1}


def test_a_damaged_file_in_the_cache_is_fetched_again(storage: Storage, policy: Policy, caplog: pytest.LogCaptureFixture) -> None:
    path = fetch(f"{storage.url}/models/model.ubj", SHA256, policy)
    path.write_bytes(BODY[:-1])
    assert fetch(f"{storage.url}/models/model.ubj", SHA256, policy).read_bytes() == BODY
    assert "is damaged; fetching it again" in caplog.text


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("gone.ubj", {}, "the server responded 404; fix artifact.uri"),
        ("cut.ubj", {}, "ended after 1000 of 256000 bytes"),
        ("slow.ubj", {"seconds": 0.2}, r"was not fetched within 0\.2 s; .* raise TIDEGATE_ARTIFACT_SECONDS"),
        ("silent.ubj", {"seconds": 0.2}, r"was not fetched within 0\.2 s"),
        ("model.ubj", {"max_bytes": 255_999}, "has more than 255999 bytes; raise TIDEGATE_MAX_ARTIFACT_BYTES"),
        ("endless.ubj", {"max_bytes": 255_999}, "has more than 255999 bytes"),
        (
            "away.ubj",
            {},
            r"away\.ubj\?… redirects: the artifact http://localhost:\d+/models/model\.ubj\?… is not within an allowed location",
        ),
        ("up.ubj", {}, r"redirects: the artifact \S+/other/model\.ubj is not within an allowed location"),
        ("passwd.ubj", {}, "the server responded 302"),
    ],
)
def test_a_failed_download_is_one_sentence_and_leaves_nothing(
    name: str, change: dict[str, Any], sentence: str, storage: Storage, policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(InvalidModel, match=sentence) as caught:
        fetch(f"{storage.url}/models/{name}?signature=secret", SHA256, replace(policy, **change))
    assert "secret" not in str(caught.value) + caplog.text
    assert kept(policy) == set()
    assert storage.asked == {f"/models/{name}": 1}


def test_bytes_of_another_digest_are_not_kept(storage: Storage, policy: Policy) -> None:
    with pytest.raises(
        InvalidModel, match=rf"the artifact {storage.url}/models/model\.ubj has the sha256 {SHA256[:12]}…, but its card has 0000"
    ):
        fetch(f"{storage.url}/models/model.ubj", "0" * 64, policy)
    assert kept(policy) == set()


def test_a_redirect_within_an_allowed_location_is_followed(storage: Storage, policy: Policy) -> None:
    assert fetch(f"{storage.url}/models/moved.ubj", SHA256, policy).read_bytes() == BODY


def test_an_unreachable_server_is_one_sentence(policy: Policy) -> None:
    with pytest.raises(InvalidModel, match=r"cannot fetch the artifact http://127\.0\.0\.1:1/models: Connection refused"):
        fetch("http://127.0.0.1:1/models", SHA256, replace(policy, allowed=("http://127.0.0.1:1",)))


def test_two_processes_fetching_at_once_do_not_disturb_each_other(storage: Storage, policy: Policy) -> None:
    uri = f"{storage.url}/models/together.ubj"
    program = (
        "import sys; from pathlib import Path; from functions.runtime.artifacts.fetching import fetch\n"
        "from functions.runtime.artifacts.policy import Policy\n"
        "print(fetch(sys.argv[1], sys.argv[2], Policy(allowed=(sys.argv[1],), cache=Path(sys.argv[3]))))"
    )
    command = [sys.executable, "-c", program, uri, SHA256, str(policy.cache)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    paths = {process.communicate()[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert paths == {f"{policy.cache}/{SHA256}.ubj"}
    assert kept(policy) == {f"{SHA256}.ubj"}
    assert storage.asked["/models/together.ubj"] == 2


def test_partial_files_of_killed_processes_are_removed(storage: Storage, policy: Policy) -> None:
    assert policy.cache is not None
    policy.cache.mkdir()
    left, written = (policy.cache / f"{SHA256}.ubj.{name}.part" for name in ("1-left", "2-written"))
    left.touch()
    written.touch()
    os.utime(left, (0, 0))
    fetch(f"{storage.url}/models/model.ubj", SHA256, policy)
    assert kept(policy) == {f"{SHA256}.ubj", written.name}


def test_any_storage_that_fsspec_supports_is_read(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe("/bucket/models/model.ubj", BODY)
    policy = Policy(allowed=("memory://bucket/models",), cache=tmp_path)
    assert fetch("memory://bucket/models/model.ubj", SHA256, policy).read_bytes() == BODY
    with pytest.raises(InvalidModel, match=r"cannot fetch the artifact memory://bucket/models/gone\.ubj: not found"):
        fetch("memory://bucket/models/gone.ubj", "0" * 64, policy)
    with pytest.raises(InvalidModel, match="has more than 1000 bytes"):
        fetch("memory://bucket/models/model.ubj", "0" * 64, replace(policy, max_bytes=1_000))


@pytest.mark.parametrize(
    ("missing", "uri", "command"),
    [
        ("fsspec", "memory://bucket/model.ubj", 'pip install "tidegate[artifacts]"'),
        ("s3fs", "s3://bucket/model.ubj", 'pip install "tidegate[artifacts]" s3fs'),
    ],
)
def test_a_missing_package_is_named(missing: str, uri: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(InvalidModel) as caught:
        fetch(uri, SHA256, Policy(allowed=(uri,), cache=tmp_path))
    assert command in str(caught.value)


def test_an_unsupported_storage_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="fsspec does not support cellar://"):
        fetch("cellar://shelf/model.ubj", SHA256, Policy(allowed=("cellar://shelf",), cache=tmp_path))


def test_a_remote_artifact_needs_a_digest(storage: Storage, policy: Policy) -> None:
    with pytest.raises(InvalidModel, match=r"has no digest; add artifact\.sha256"):
        fetch(f"{storage.url}/models/model.ubj", None, policy)
    assert not storage.asked


def test_a_location_that_is_not_allowed_is_not_read_from_the_cache(storage: Storage, policy: Policy) -> None:
    fetch(f"{storage.url}/models/model.ubj", SHA256, policy)
    with pytest.raises(InvalidModel, match=r"is not within an allowed location \(none\); add its location to TIDEGATE_ARTIFACT_URIS"):
        fetch(f"{storage.url}/models/model.ubj", SHA256, replace(policy, allowed=()))


def test_a_cache_that_is_not_writable_is_named(storage: Storage, policy: Policy, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidModel, match=r"cannot write to .*/file/cache: Not a directory; set TIDEGATE_CACHE to another folder"):
        fetch(f"{storage.url}/models/model.ubj", SHA256, replace(policy, cache=tmp_path / "file" / "cache"))


@pytest.mark.parametrize("uri", ["model.ubj", "trees/model.ubj", "./model.ubj"])
def test_a_path_in_the_folder_of_the_card_is_always_allowed(uri: str, tmp_path: Path) -> None:
    (tmp_path / uri).parent.mkdir(exist_ok=True)
    (tmp_path / uri).write_bytes(BODY)
    assert locate(Artifact(uri, SHA256), tmp_path, CARD_FOLDER_ONLY).read_bytes() == BODY


@pytest.mark.parametrize("uri", ["../model.ubj", "trees/../../model.ubj"])
def test_a_path_outside_the_folder_of_its_card_is_refused(uri: str, tmp_path: Path) -> None:
    (tmp_path / "model.ubj").write_bytes(BODY)
    (tmp_path / "card" / "trees").mkdir(parents=True)
    with pytest.raises(InvalidModel, match="is outside the folder of its card"):
        locate(Artifact(uri, SHA256), tmp_path / "card", CARD_FOLDER_ONLY)


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_an_absolute_path_must_be_allowed_and_is_read_in_place(scheme: str, tmp_path: Path) -> None:
    path = tmp_path / "shared models" / "model.ubj"
    path.parent.mkdir()
    path.write_bytes(BODY)
    artifact = Artifact(f"{scheme}{path}", SHA256)
    with pytest.raises(InvalidModel, match=r"the artifact file:///.* is not within an allowed location"):
        locate(artifact, tmp_path / "card", CARD_FOLDER_ONLY)
    assert locate(artifact, tmp_path / "card", Policy(allowed=(f"file://{tmp_path}",))) == path
    with pytest.raises(InvalidModel, match="has the sha256"):
        locate(replace(artifact, sha256="0" * 64), tmp_path / "card", Policy(allowed=(f"file://{tmp_path}",)))
