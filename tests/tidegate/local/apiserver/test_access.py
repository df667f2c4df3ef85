"""Who is let in by the API of `tidegate up`."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import stat
import subprocess
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tidegate.local.apiserver import access, kubeconfig
from tidegate.local.apiserver.private import make_private, write_private
from tidegate.local.errors import UnusableFolder
from tidegate.local.state import claimed
from tidegate.local.up import Up, UpSettings, up

Object = dict[str, Any]
Make = Callable[..., Object]
Running = Callable[..., AbstractAsyncContextManager[Up]]
SERVICES = "/apis/serving.knative.dev/v1/namespaces/default/services"


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"tidegate:{password}".encode()).decode()


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic",
        "Basic !!",
        basic(""),
        basic("wrong"),
        "Digest x",
        "Bearer \udcff",
        "Bearer é",
    ],
)
async def test_who_has_no_token_can_neither_act_nor_look(
    wrong: str | None, running: Running, service: Make, client: aiohttp.ClientSession
) -> None:
    headers = {} if wrong is None else {"Authorization": wrong}
    async with running(service()) as here:
        for method, path in (("POST", SERVICES), ("DELETE", f"{SERVICES}/hello"), ("GET", SERVICES), ("GET", "/version"), ("GET", "/no")):
            async with client.request(method, here.running.api + path, data=json.dumps(service("evil")), headers=headers) as response:
                assert (response.status, (await response.json())["reason"]) == (401, "Unauthorized")
        async with client.get(f"{here.running.api}/tidegate/status", headers=headers) as response:
            assert response.status == 401
        assert list(here.status()["services"]) == ["hello"]


@pytest.mark.parametrize("shown", ["Bearer {}", "bearer {}", "Basic"])
async def test_the_token_lets_in(shown: str, running: Running, service: Make, client: aiohttp.ClientSession) -> None:
    async with running(service()) as here:
        token = here.running.token()
        headers = {"Authorization": basic(token) if shown == "Basic" else shown.format(token)}
        async with client.post(here.running.api + SERVICES, data=json.dumps(service("second")), headers=headers) as response:
            assert response.status == 201
        assert sorted(here.status()["services"]) == ["hello", "second"]


async def test_no_web_page_can_make_a_service_even_with_the_token(running: Running, service: Make, client: aiohttp.ClientSession) -> None:
    async with running(service()) as here:
        token = {"Authorization": f"Bearer {here.running.token()}"}
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example:80"}, {"Host": "127.0.0.1.evil.example"}):
            async with client.post(here.running.api + SERVICES, data=json.dumps(service("evil")), headers={**token, **headers}) as response:
                assert response.status == 403
        assert list(here.status()["services"]) == ["hello"]


async def test_the_token_is_another_each_time(running: Running, service: Make) -> None:
    tokens = []
    for _ in range(2):
        async with running(service()) as here:
            tokens.append(here.running.token())
    assert len(set(tokens)) == 2
    assert all(len(token) >= 43 for token in tokens)  # 256 bits in Base64


async def test_only_the_owner_reads_what_is_in_the_folder(running: Running, service: Make, root: Path) -> None:
    async with running(service(annotations={"min-scale": "1"})) as here:
        revision = here.fleet.revisions["hello-00001"]
        revision.release(await revision.acquire())
        state = root / "state"
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (state, *state.iterdir())}
    assert {name: oct(mode) for name, mode in modes.items()} | {"up.lock": ""} == {
        **dict.fromkeys(("state", "log"), oct(0o700)),
        **dict.fromkeys(("kubeconfig", "token", "up.json"), oct(0o600)),
        "up.lock": "",
    }


async def test_processes_get_the_file_and_no_log_or_status_has_the_token(running: Running, service: Make, root: Path) -> None:
    program = "import os, pathlib; print(dict(os.environ)); pathlib.Path('file').write_text(os.environ['TIDEGATE_KUBERNETES_TOKEN_FILE'])"
    async with running(service(command=["python", "-c", program], annotations={"min-scale": "1"})) as here:
        async with asyncio.timeout(20):
            while not (root / "file").exists() or not (root / "file").read_text():  # noqa: ASYNC110 another process makes it
                await asyncio.sleep(0.01)
        token = here.running.token()
        assert Path((root / "file").read_text()).read_text() == token  # noqa: ASYNC240 a few bytes
        assert token not in json.dumps(here.status())
        texts = [path.read_text() for path in (root / "state").rglob("*") if path.is_file() and path.name not in ("kubeconfig", "token")]
    assert texts
    assert not [text for text in texts if token in text]


async def test_kubectl_is_let_in_by_the_kubeconfig(running: Running, service: Make) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not on the PATH: install it.")

    def kubectl(config: Path | str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = ["kubectl", "--kubeconfig", str(config), *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)

    async with running(service()) as here:
        config = Path(here.running.kubeconfig)
        made = await asyncio.to_thread(kubectl, config, "create", "--validate=false", "-f", "-", stdin=json.dumps(service("second")))
        assert "service.serving.knative.dev/second created" in made.stdout, made.stderr
        listed = await asyncio.to_thread(kubectl, config, "get", "ksvc", "-o", "name")
        assert listed.stdout.split() == ["service.serving.knative.dev/hello", "service.serving.knative.dev/second"]
        content = yaml.safe_load(await asyncio.to_thread(config.read_text))
        content["clusters"][0]["cluster"]["server"] = here.running.api
        (without := config.with_name("without")).write_text(yaml.safe_dump(content))
        refused = await asyncio.to_thread(kubectl, without, "get", "ksvc")
        assert refused.returncode != 0


def test_a_folder_of_another_user_or_that_others_can_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs").write_text("")
    tmp_path.chmod(0o777)
    with pytest.raises(UnusableFolder, match=r"can be written by other users.*choose another --state-dir, or chmod go-w it"):
        make_private(tmp_path, mark="up.lock")
    monkeypatch.setattr("os.getuid", lambda: 4711)
    with pytest.raises(UnusableFolder, match=r"belongs to another user.*choose another --state-dir"), claimed(tmp_path):
        pass


def test_what_is_ours_is_made_private_and_what_is_not_is_left(tmp_path: Path) -> None:
    for name, inside in (("new", None), ("empty", ()), ("ours", ("up.lock", "log")), ("shared", ("thesis.tex",))):
        folder = tmp_path / name
        if inside is not None:
            folder.mkdir()
            folder.chmod(0o755)
            for file in inside:
                (folder / file).touch()
        make_private(folder, mark="up.lock")
    assert {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in tmp_path.iterdir()} == {
        "new": oct(0o700),
        "empty": oct(0o700),
        "ours": oct(0o700),
        "shared": oct(0o755),
    }


def test_a_link_that_another_left_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "kubeconfig").symlink_to(tmp_path / "precious")
    kubeconfig.write(tmp_path, "http://127.0.0.1:1", access.new_token())
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "kubeconfig").is_symlink()
    write_private(tmp_path / "kubeconfig", "again")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["kubeconfig", "precious"]


async def test_a_folder_that_others_can_write_starts_nothing(service: Make, root: Path) -> None:
    folder = root / "open"
    folder.mkdir()
    (folder / "theirs").touch()
    folder.chmod(0o777)
    with pytest.raises(UnusableFolder):
        async with up(UpSettings(manifests=[service()], port=0, state_dir=folder, project_root=root)):
            raise AssertionError
    assert [path.name for path in folder.iterdir()] == ["theirs"]


async def test_the_gateway_s_own_page_only_shows(running: Running, service: Make, client: aiohttp.ClientSession) -> None:
    async with running(service()) as here:
        async with client.get(here.running.gateway) as response:
            assert list((await response.json())["services"]) == ["hello"]
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            async with client.request(method, here.running.gateway) as response:
                assert response.status == 405
        async with client.get(here.running.gateway, headers={"Host": "evil.example"}) as response:
            assert response.status == 404
