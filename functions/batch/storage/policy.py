"""The operator's policy for batches: the locations that may be read and written, and the addresses behind names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from common.environ import Environ, flag
from common.errors import InvalidSetting
from common.loopback import is_loopback
from functions.batch.errors import InvalidPath
from functions.batch.storage import locations
from functions.batch.storage.locations import Location

SETTING = "TIDEGATE_BATCH_PATHS"


# Without slots, so that a field's default can be read from the class.
@dataclass(frozen=True)
class Policy:
    """Prefixes of the locations that a batch may use; None allows every location, as for a user at a terminal."""

    allowed: tuple[Location, ...] | None = None
    private_addresses: bool = False
    """Whether names of allowed web servers may resolve to addresses of private networks, as those of a cluster do."""

    @classmethod
    def from_setting(cls, text: str, *, private_addresses: bool = False) -> Policy:
        """Parse comma-separated absolute paths and URIs. Raises InvalidSetting."""
        return cls(tuple(map(_prefix, filter(None, (part.strip() for part in text.split(","))))), private_addresses)

    @classmethod
    def from_env(cls, environ: Environ, default: str) -> Policy:
        """Read TIDEGATE_BATCH_PATHS and TIDEGATE_BATCH_PRIVATE_ADDRESSES. Raises InvalidSetting."""
        return cls.from_setting(
            environ.get(SETTING) or default, private_addresses=flag(environ, "TIDEGATE_BATCH_PRIVATE_ADDRESSES", cls.private_addresses)
        )

    @property
    def folders(self) -> tuple[Path, ...] | None:
        """The local folders among the prefixes, resolved; None allows all."""
        return None if self.allowed is None else tuple(Path(prefix.path).resolve() for prefix in self.allowed if prefix.is_local)

    def check(self, location: Location) -> None:
        """Check that a location is within an allowed prefix, links resolved. Raises InvalidPath."""
        if self.allowed is None:
            return
        try:
            address = location.address
        except (OSError, RuntimeError, ValueError):
            raise InvalidPath(f"the path {location} cannot be resolved", remedy="check the path") from None
        if not any(address.within(prefix.address) for prefix in self.allowed):
            names = ", ".join(map(str, self.allowed)) or "none"
            raise InvalidPath(
                f"{location} is outside the locations that a batch may use ({names})", remedy=f"set {SETTING} to allow others"
            )

    def check_host(self, host: str, found: Sequence[str]) -> None:
        """Check the IP addresses that the name of a web server resolves to.

        The name of an allowed server may be changed by its owner to resolve to an address inside this network. Raises
        InvalidPath unless all addresses are public, or the operator allowed private ones, by the setting or by naming
        the address itself.
        """
        if self.allowed is None or self.private_addresses or is_loopback(host) or _is_ip(host):
            return
        private = next((text for text in found if not _is_public(ip_address(text))), None)
        if private is not None:
            raise InvalidPath(
                f"the host {host} resolves to {private}, which is not a public address",
                remedy="set TIDEGATE_BATCH_PRIVATE_ADDRESSES to true if it is meant",
            )


# Every location, for a user who runs a batch with their own permissions.
EVERYTHING = Policy()


def _prefix(text: str) -> Location:
    try:
        found = locations.parse(text)
    except InvalidPath as error:
        raise InvalidSetting(f"{SETTING}: {error.message}", remedy=error.remedy) from None
    if found.query:
        raise InvalidSetting(f"{SETTING} has {found}, which has a query", remedy="leave it out")
    if found.is_local and not found.path.startswith("/"):
        raise InvalidSetting(f"{SETTING} has {str(found)!r}, which is not an absolute path", remedy="write absolute paths")
    return found


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    plain = getattr(address, "ipv4_mapped", None) or address
    return bool(plain.is_global and not plain.is_multicast)
