"""This machine's own addresses: no proxy leads to them, whatever HTTP_PROXY says."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from urllib.request import BaseHandler, OpenerDirector


def is_loopback(host: str) -> bool:
    """Whether a name, or an IP address without brackets, is this machine: 127.0.0.0/8, ::1, localhost and all names under it (RFC 6761)."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return bool((getattr(address, "ipv4_mapped", None) or address).is_loopback)


def leads_here(url: str) -> bool:
    """Whether a URL is on this machine; one that cannot be read is not."""
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False


def opener(url: str, *handlers: BaseHandler) -> OpenerDirector:
    """urllib's opener for this URL: without the environment's proxies where it is on this machine."""
    from urllib.request import ProxyHandler, build_opener

    return build_opener(ProxyHandler({}), *handlers) if leads_here(url) else build_opener(*handlers)
