from __future__ import annotations

import stat
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tidegate.local.apiserver import access, kubeconfig
from tidegate.local.apiserver.private import make_private, write_private
from tidegate.local.errors import UnusableFolder
from tidegate.local.state import claimed
from tidegate.local.up import Up

Object = dict[str, Any]
Make = Callable[..., Object]
Running = Callable[..., AbstractAsyncContextManager[Up]]


async def test_state_folder_is_readable_by_its_owner_only(running: Running, service: Make, root: Path) -> None:
    async with running(service(annotations={"min-scale": "1"})) as here:
        revision = here.controller.revisions["hello-00001"]
        revision.release(await revision.acquire())
        state = root / "state"
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (state, *state.iterdir())}
    assert {name: oct(mode) for name, mode in modes.items()} | {"up.lock": ""} == {
        **dict.fromkeys(("state", "log"), oct(0o700)),
        **dict.fromkeys(("kubeconfig", "token", "up.json"), oct(0o600)),
        "up.lock": "",
    }


def test_folder_that_other_users_can_change_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs").write_text("")
    tmp_path.chmod(0o777)
    with pytest.raises(UnusableFolder, match=r"can be written by other users.*choose another --state-dir, or chmod go-w it"):
        make_private(tmp_path, mark="up.lock")
    monkeypatch.setattr("os.getuid", lambda: 4711)
    with pytest.raises(UnusableFolder, match=r"belongs to another user.*choose another --state-dir"), claimed(tmp_path):
        pass


def test_only_marked_and_empty_folders_are_made_private(tmp_path: Path) -> None:
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


def test_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "kubeconfig").symlink_to(tmp_path / "precious")
    kubeconfig.write(tmp_path, "http://127.0.0.1:1", access.new_token())
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "kubeconfig").is_symlink()
    write_private(tmp_path / "kubeconfig", "again")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["kubeconfig", "precious"]
