"""Options of Azure Blob Storage from the environment, by the variables and connection strings of its tools."""

from __future__ import annotations

import base64
import binascii
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies

from common.errors import InvalidSetting
from functions.batch.errors import InvalidPath

CONNECTION = "AZURE_STORAGE_CONNECTION_STRING"
_ENDPOINT = "AZURE_STORAGE_SERVICE_ENDPOINT"
_BLOB_AUTHORITY = ".blob.core.windows.net"
# Azure's SDK waits for a connection for five minutes, four times, and PyArrow has no option for it.
_CONNECT_SECONDS = 10.0
_PORTS = {"http": 80, "https": 443}
# What Azure's tools put in place of UseDevelopmentStorage=true: the account of every emulator, whose key is public.
_DEVELOPMENT = {
    "accountname": "devstoreaccount1",
    "accountkey": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    "blobendpoint": "http://127.0.0.1:10000/devstoreaccount1",
}


def options(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the options of PyArrow's file system; without a key or a token, Azure's SDK finds an identity.

    Raises InvalidSetting.
    """
    given = _connection(environ.get(CONNECTION, ""))
    endpoint = urlsplit(given.get("blobendpoint") or environ.get(_ENDPOINT) or "")
    # A connection string with a shared access signature has no name of the account.
    account = given.get("accountname") or environ.get("AZURE_STORAGE_ACCOUNT") or _account_of(endpoint)
    if not account:
        raise InvalidSetting("AZURE_STORAGE_ACCOUNT is not set", remedy="set it to the name of the storage account")
    return {"account_name": account, **_credential(given, environ), **_authorities(given, endpoint, account)}


def check_connection(options: Mapping[str, Any]) -> None:
    """Connect to the store once. Raises InvalidPath where a firewall drops packets, after some seconds.

    Any other failure is left to the SDK, which tries again and names the reason; so is a store behind a proxy.
    """
    if getproxies():
        return
    authority, scheme = options.get("blob_storage_authority", _BLOB_AUTHORITY), options.get("blob_storage_scheme", "https")
    host = urlsplit(f"{scheme}://{options['account_name'] if authority.startswith('.') else ''}{authority}")
    try:
        socket.create_connection((host.hostname, host.port or _PORTS[scheme]), _CONNECT_SECONDS).close()
    except TimeoutError:
        raise InvalidPath(
            f"no connection to the storage account at {host.netloc} within {_CONNECT_SECONDS:g} s",
            remedy=f"check {_ENDPOINT} or {CONNECTION}, and the rules of the network",
        ) from None
    except OSError:
        return


def _connection(text: str) -> dict[str, str]:
    """Return the fields of a connection string, their names in lower case."""
    pairs = [part.partition("=") for part in text.split(";") if part.strip()]
    given = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return {**_DEVELOPMENT, **given} if given.get("usedevelopmentstorage", "").lower() == "true" else given


def _account_of(endpoint: SplitResult) -> str:
    host = endpoint.hostname or ""
    return host.partition(".")[0] if ".blob." in host else endpoint.path.strip("/")


def _credential(given: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return a key, or else a token. Raises InvalidSetting for a key that would end the process in Azure's SDK."""
    key = given.get("accountkey") or environ.get("AZURE_STORAGE_KEY")
    if key:
        try:
            base64.b64decode(key, validate=True)
        except binascii.Error:
            raise InvalidSetting(
                "the key of the storage account is not base64", remedy=f"check AZURE_STORAGE_KEY or {CONNECTION}"
            ) from None
        return {"account_key": key}
    token = given.get("sharedaccesssignature") or environ.get("AZURE_STORAGE_SAS_TOKEN")
    # PyArrow appends it to URLs as it is.
    return {"sas_token": f"?{token.lstrip('?')}"} if token else {}


def _authorities(given: Mapping[str, str], endpoint: SplitResult, account: str) -> dict[str, str]:
    """Return the hosts: one that begins with a dot follows the account's name, any other precedes it as in a path."""
    if not endpoint.netloc:
        suffix, scheme = given.get("endpointsuffix"), given.get("defaultendpointsprotocol")
        found = {"blob_storage_authority": f".blob.{suffix}", "dfs_storage_authority": f".dfs.{suffix}"} if suffix else {}
        return found | ({"blob_storage_scheme": scheme, "dfs_storage_scheme": scheme} if scheme else {})
    blob = endpoint.netloc.removeprefix(account) if endpoint.netloc.startswith(f"{account}.") else endpoint.netloc
    if blob == endpoint.netloc and endpoint.path.strip("/") != account:
        raise InvalidSetting(
            f"the endpoint of the storage account is {endpoint.scheme}://{endpoint.netloc}{endpoint.path}, which does not name the account",
            remedy=f"write {endpoint.scheme}://{account}.HOST, or {endpoint.scheme}://HOST/{account}",
        )
    # It is asked whether the account has folders, and an emulator has one host for all.
    dfs = blob.replace(".blob.", ".dfs.", 1)
    hosts = {"blob_storage_authority": blob, "dfs_storage_authority": dfs}
    return {**hosts, "blob_storage_scheme": endpoint.scheme, "dfs_storage_scheme": endpoint.scheme}
