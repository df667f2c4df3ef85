"""The operator's policy for artifacts: which locations may be read, what a download may cost, where it is cached."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from common.environ import integer, number
from common.errors import InvalidSetting
from functions.runtime.artifacts import addresses
from functions.runtime.artifacts.addresses import Address, InvalidAddress
from functions.runtime.errors import InvalidModel


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Where artifacts may be read from, in addition to the folder of their card, and the limits of a download."""

    allowed: tuple[str, ...] = ()
    """TIDEGATE_ARTIFACT_URIS: prefixes, comma-separated, such as s3://models/prod,file:///mnt/models. None by default:
    nothing is fetched, since a card is text that anybody may write."""

    cache: Path | None = None
    """TIDEGATE_CACHE: the folder of downloads; `tidegate` in XDG_CACHE_HOME or ~/.cache unless named, or a folder in
    the temporary one where those are not writable.
    """

    max_bytes: int = 2**30
    """TIDEGATE_MAX_ARTIFACT_BYTES: larger artifacts are not fetched; a gradient-boosted model has megabytes."""

    seconds: float = 300.0
    """TIDEGATE_ARTIFACT_SECONDS: the time limit of one whole download; Knative gives a revision 600 s to get ready."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Policy:
        """Raises InvalidSetting, naming the variable."""
        allowed = tuple(filter(None, (uri.strip() for uri in environ.get("TIDEGATE_ARTIFACT_URIS", "").split(","))))
        for uri in allowed:
            try:
                addresses.parse(uri)
            except InvalidAddress as error:
                raise InvalidSetting(
                    f"TIDEGATE_ARTIFACT_URIS has {addresses.redacted(uri)}, which {error.reason}", remedy=error.remedy
                ) from None
        cache = environ.get("TIDEGATE_CACHE")
        return cls(
            allowed=allowed,
            cache=Path(cache) if cache else default_cache(environ) if allowed else None,
            max_bytes=integer(environ, "TIDEGATE_MAX_ARTIFACT_BYTES", cls.max_bytes, least=1),
            seconds=number(environ, "TIDEGATE_ARTIFACT_SECONDS", cls.seconds, least=0.001),
        )

    def check(self, uri: str) -> Address:
        """Parse a URI and raise InvalidModel unless it is within an allowed prefix."""
        try:
            address = addresses.parse(uri)
        except InvalidAddress as error:
            raise InvalidModel(
                f"the artifact {addresses.redacted(uri)} {error.reason}", remedy=f"fix artifact.uri: {error.remedy}"
            ) from None
        if not any(address.within(addresses.parse(prefix)) for prefix in self.allowed):
            places = ", ".join(map(addresses.redacted, self.allowed)) or "none"
            raise InvalidModel(
                f"the artifact {address} is not within an allowed location ({places})",
                remedy="add its location to TIDEGATE_ARTIFACT_URIS",
            )
        return address


# Only the folder of the card may be read.
CARD_FOLDER_ONLY = Policy()


def default_cache(environ: Mapping[str, str]) -> Path:
    """The user's cache folder, or one in the temporary folder. Raises InvalidSetting when neither can be used."""
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
    """A folder in the temporary one that this user owns: any other could change after the check of a digest."""
    import tempfile

    try:
        folder = Path(tempfile.gettempdir()) / f"tidegate-{os.getuid()}"
    except OSError:  # as in a pod without a volume, whose root file system is read-only
        raise InvalidSetting("no folder for artifacts is writable", remedy="mount a volume and set TIDEGATE_CACHE to it") from None
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        owned = folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
    except OSError:
        owned = False
    if not owned:
        raise InvalidSetting(f"no folder for artifacts is writable: {folder} cannot be used", remedy="set TIDEGATE_CACHE")
    return folder
