"""From `artifact.uri` to a file with the bytes that the card promises: beside the card, or fetched once and kept by digest."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath

from common.environ import integer, number
from common.errors import InvalidSetting
from functions.runtime.artifacts import addresses
from functions.runtime.artifacts.addresses import Address, InvalidAddress
from functions.runtime.contract.card import Artifact
from functions.runtime.errors import InvalidModel
from functions.runtime.runtimes.formats import read_bytes, unreadable

log = logging.getLogger("tidegate.artifact")


# Without slots, so that a field's default can be read from the class.
@dataclass(frozen=True)
class Policy:
    """Where artifacts may be read from besides the folder of their card, and what fetching one may cost."""

    # TIDEGATE_ARTIFACT_URIS: prefixes, comma-separated, such as s3://models/prod,file:///mnt/models; by default nothing is fetched, since a
    # card is text that anybody may write.
    allowed: tuple[str, ...] = ()
    # TIDEGATE_CACHE: a folder; by default `tidegate` in XDG_CACHE_HOME or ~/.cache, or the temporary folder's where that cannot be written.
    cache: Path | None = None
    # TIDEGATE_MAX_ARTIFACT_BYTES: larger ones are not fetched; a gradient-boosted model has megabytes.
    max_bytes: int = 2**30
    # TIDEGATE_ARTIFACT_SECONDS that one download may take as a whole; Knative gives a revision 600 to get ready.
    seconds: float = 300.0

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Policy:
        """Raises InvalidSetting, naming the variable."""
        allowed = tuple(filter(None, (uri.strip() for uri in environ.get("TIDEGATE_ARTIFACT_URIS", "").split(","))))
        for uri in allowed:
            try:
                addresses.parse(uri)
            except InvalidAddress as error:
                raise InvalidSetting(f"TIDEGATE_ARTIFACT_URIS has {addresses.shown(uri)}, which {error}.") from None
        cache = environ.get("TIDEGATE_CACHE")
        return cls(
            allowed,
            Path(cache) if cache else _default_cache(environ) if allowed else None,
            integer(environ, "TIDEGATE_MAX_ARTIFACT_BYTES", cls.max_bytes, least=1),
            number(environ, "TIDEGATE_ARTIFACT_SECONDS", cls.seconds, least=0.001),
        )

    def check(self, uri: str) -> Address:
        """Raises InvalidModel unless it lies within what is allowed."""
        try:
            address = addresses.parse(uri)
        except InvalidAddress as error:
            raise InvalidModel(f"the artifact {addresses.shown(uri)} {error}; mend artifact.uri.") from None
        if not any(address.within(addresses.parse(prefix)) for prefix in self.allowed):
            places = ", ".join(map(addresses.shown, self.allowed)) or "none"
            raise InvalidModel(
                f"the artifact {address} is in no place that may be read ({places}); add its place to TIDEGATE_ARTIFACT_URIS."
            )
        return address


# Reads what is beside its card, and nothing else.
BESIDE = Policy()


def locate(artifact: Artifact, folder: Path, policy: Policy) -> Path:
    """The file of a card in `folder`, its digest checked. What is a path is read where it is. Raises InvalidModel."""
    path, unchecked = _place(artifact, folder, policy)
    if unchecked:
        check_digest(path, artifact.sha256)
    return path


def read(artifact: Artifact, folder: Path, policy: Policy) -> tuple[Path, bytes]:
    """The file of a card in `folder` and its bytes, their digest checked: bytes that are read once cannot change before they are loaded.

    Raises InvalidModel.
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
        raise InvalidModel(f"the artifact {uri} leaves the folder of its card, {folder}; keep it there, or name it by an absolute path.")
    return folder / uri, True


def check_digest(path: Path, sha256: str | None) -> None:
    """No library reads bytes that are not those that the card promises."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest() if sha256 else None
    except OSError as error:
        raise unreadable(path, error) from None
    if found != sha256:
        raise _mismatch(str(path), str(found), str(sha256))


def fetch(uri: str, sha256: str | None, policy: Policy) -> Path:
    """The file in the cache, which is named by its digest. Raises InvalidModel."""
    address = policy.check(uri)
    if sha256 is None:
        raise InvalidModel(f"the artifact {address} has no digest; add artifact.sha256 to its card, since others can change what is there.")
    target = (policy.cache or _default_cache(os.environ)) / (sha256 + address.suffix)
    try:
        if target.exists():
            check_digest(target, sha256)
            return target
    except InvalidModel:
        log.warning("%s is damaged; fetching it again", target)
    try:
        _fetch(uri, address, sha256, target, policy)
    except OSError as error:
        raise InvalidModel(f"cannot write to {target.parent}: {error.strerror}; name another folder by TIDEGATE_CACHE.") from None
    return target


def _fetch(uri: str, address: Address, sha256: str, target: Path, policy: Policy) -> None:
    """Under a name of its own until the digest is right, so that no reader, and no other process that fetches it, sees half a file."""
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
    """Remove what killed processes left: a download that is alive has written within its time."""
    for part in target.parent.glob(f"{target.name}.*.part"):
        with suppress(FileNotFoundError):  # another process sweeps too
            if time.time() - part.stat().st_mtime > seconds:
                part.unlink()


def _mismatch(what: str, found: str, promised: str) -> InvalidModel:
    return InvalidModel(
        f"the artifact {what} has the sha256 {found[:12]}…, its card promises {promised[:12]}…",
        remedy="train again, or put the artifact back that the card describes",
    )


def _default_cache(environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME")
    base = environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home else None)
    if base is not None:
        folder = Path(base) / "tidegate"
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    return _temporary_cache()


def _temporary_cache() -> Path:
    """Everybody writes to the temporary folder: what is there under our name must be ours, or it could change after it was checked."""
    import tempfile

    try:
        folder = Path(tempfile.gettempdir()) / f"tidegate-{os.getuid()}"
    except OSError:  # as in a pod without a volume, whose root file system is read-only
        raise InvalidSetting("there is no folder that artifacts can be kept in; mount a volume and name it by TIDEGATE_CACHE.") from None
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        ours = folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
    except OSError:
        ours = False
    if not ours:
        raise InvalidSetting(f"there is no folder to keep artifacts in: {folder} cannot be used; set TIDEGATE_CACHE.")
    return folder
