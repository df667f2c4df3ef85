"""From `artifact.uri` to a file with the bytes of the card's digest: beside the card, or downloaded once and cached."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from contextlib import suppress
from pathlib import Path, PurePath

from functions.runtime.artifacts.addresses import Address
from functions.runtime.artifacts.policy import Policy, default_cache
from functions.runtime.contract.card import Artifact
from functions.runtime.errors import InvalidModel
from functions.runtime.runtimes.formats import read_bytes, unreadable

log = logging.getLogger("tidegate.artifact")


def locate(artifact: Artifact, folder: Path, policy: Policy) -> Path:
    """The file of a card in `folder`, its digest checked; a path is read in place. Raises InvalidModel."""
    path, unchecked = _place(artifact, folder, policy)
    if unchecked:
        check_digest(path, artifact.sha256)
    return path


def read(artifact: Artifact, folder: Path, policy: Policy) -> tuple[Path, bytes]:
    """The file of a card in `folder` and its bytes, their digest checked. Raises InvalidModel.

    Bytes that are read once cannot change between the check and the load.
    """
    path, unchecked = _place(artifact, folder, policy)
    data = read_bytes(path)
    if unchecked and artifact.sha256 is not None:
        found = hashlib.sha256(data).hexdigest()
        if found != artifact.sha256:
            raise _mismatch(str(path), found, artifact.sha256)
    return path, data


def _place(artifact: Artifact, folder: Path, policy: Policy) -> tuple[Path, bool]:
    """The file, and whether its digest has yet to be checked."""
    uri = artifact.uri.removeprefix("file://") if artifact.uri.startswith("file:///") else artifact.uri
    if "://" in uri:
        return fetch(uri, artifact.sha256, policy), False
    if uri.startswith("/"):
        policy.check(f"file://{uri}")
    elif ".." in PurePath(uri).parts:
        raise InvalidModel(
            f"the artifact {uri} is outside the folder of its card, {folder}", remedy="move it there, or use an absolute path"
        )
    return folder / uri, True


def check_digest(path: Path, sha256: str | None) -> None:
    """Raise InvalidModel unless the file has this digest, before any library reads it.

    Without a digest, check that it is readable.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest() if sha256 else None
    except OSError as error:
        raise unreadable(path, error) from None
    if found != sha256:
        raise _mismatch(str(path), str(found), str(sha256))


def fetch(uri: str, sha256: str | None, policy: Policy) -> Path:
    """The cached file, whose name is its digest; downloaded if it is not there. Raises InvalidModel."""
    address = policy.check(uri)
    if sha256 is None:
        raise InvalidModel(
            f"the artifact {address} has no digest", remedy="add artifact.sha256 to its card, since others can change the remote file"
        )
    target = (policy.cache or default_cache(os.environ)) / (sha256 + address.suffix)
    try:
        if target.exists():
            check_digest(target, sha256)
            return target
    except InvalidModel:
        log.warning("%s is damaged; fetching it again", target)
    try:
        _fetch(uri, address, sha256, target, policy)
    except OSError as error:
        raise InvalidModel(f"cannot write to {target.parent}: {error.strerror}", remedy="set TIDEGATE_CACHE to another folder") from None
    return target


def _fetch(uri: str, address: Address, sha256: str, target: Path, policy: Policy) -> None:
    """Download to a temporary name and rename once the digest is right: no process sees a partial file."""
    # Imported only here: urllib would add to the start of every function with an artifact beside its card.
    from functions.runtime.artifacts.downloading import download

    started = time.perf_counter()
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target, policy.seconds)
    part = target.with_name(f"{target.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    try:
        found = download(uri, part, policy)
        if found != sha256:
            raise _mismatch(str(address), found, sha256)
        size = part.stat().st_size
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    log.info("fetched %s: %.1f MB in %.1f s", address, size / 1e6, time.perf_counter() - started)


def _sweep(target: Path, seconds: float) -> None:
    """Remove the partial files of killed processes. Newer ones than the time limit may be downloads in progress."""
    for part in target.parent.glob(f"{target.name}.*.part"):
        with suppress(FileNotFoundError):  # another process sweeps too
            if time.time() - part.stat().st_mtime > seconds:
                part.unlink()


def _mismatch(what: str, found: str, expected: str) -> InvalidModel:
    return InvalidModel(
        f"the artifact {what} has the sha256 {found[:12]}…, but its card has {expected[:12]}…",
        remedy="train again, or restore the artifact that the card describes",
    )
