"""Addresses of this machine: requests to them bypass HTTP_PROXY."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from urllib.request import BaseHandler, OpenerDirector


def is_loopback(host: str) -> bool:
    """Return whether a name, or an IP address without brackets, is this machine.

    That is 127.0.0.0/8, ::1, localhost and all names under it (RFC 6761, section 6.3).
    """
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return bool((getattr(address, "ipv4_mapped", None) or address).is_loopback)


def is_loopback_url(url: str) -> bool:
    """Return whether a URL points to this machine; an invalid one does not."""
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False


def opener(url: str, *handlers: BaseHandler) -> OpenerDirector:
    """Return urllib's opener for a URL; it ignores the environment's proxies when the URL points to this machine."""
    from urllib.request import ProxyHandler, build_opener

    return build_opener(ProxyHandler({}), *handlers) if is_loopback_url(url) else build_opener(*handlers)
