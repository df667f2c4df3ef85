"""Settings of Azure Blob Storage, in all forms in which its tools write them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from common.errors import InvalidSetting
from functions.batch.errors import InvalidPath
from functions.batch.storage import azure
from tests.functions.batch.storage.datasets import opened, rows_of
from tests.functions.batch.storage.servers import AZURE_ACCOUNT, AZURE_KEY, Bucket

KEY = base64.b64encode(b"key").decode()
NAMED = f"AccountName=a;AccountKey={KEY}"
HOSTS = {
    "blob_storage_authority": ".blob.core.windows.net",
    "dfs_storage_authority": ".dfs.core.windows.net",
    "blob_storage_scheme": "https",
    "dfs_storage_scheme": "https",
}
EMULATOR = {
    "blob_storage_authority": "127.0.0.1:10000",
    "dfs_storage_authority": "127.0.0.1:10000",
    "blob_storage_scheme": "http",
    "dfs_storage_scheme": "http",
}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"AZURE_STORAGE_ACCOUNT": "a"}, {"account_name": "a"}),
        ({"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_KEY": KEY}, {"account_name": "a", "account_key": KEY}),
        ({"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_SAS_TOKEN": "?sv=1&sig=2"}, {"account_name": "a", "sas_token": "?sv=1&sig=2"}),
        (
            {"AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=https;{NAMED};EndpointSuffix=core.windows.net"},
            {"account_name": "a", "account_key": KEY, **HOSTS},
        ),
        (
            {"AZURE_STORAGE_CONNECTION_STRING": "BlobEndpoint=https://a.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=2"},
            {"account_name": "a", "sas_token": "?sv=1&sig=2", **HOSTS},
        ),
        (
            {"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_SERVICE_ENDPOINT": "https://a.blob.core.windows.net"},
            {"account_name": "a", **HOSTS},
        ),
        (
            {"AZURE_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true"},
            {"account_name": AZURE_ACCOUNT, "account_key": AZURE_KEY, **EMULATOR},
        ),
    ],
)
def test_account_endpoint_and_credential_follow_from_the_environment(variables: dict[str, str], expected: dict[str, Any]) -> None:
    assert azure.options(variables) == expected


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({}, "AZURE_STORAGE_ACCOUNT is not set; set it to the name of the storage account"),
        ({"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_KEY": "no key"}, "the key of the storage account is not base64"),
        (
            {"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_SERVICE_ENDPOINT": "https://data.example.com/"},
            "https://data.example.com/, which does not name the account; write https://a.HOST, or https://HOST/a",
        ),
    ],
)
def test_what_the_store_lacks_is_one_sentence(variables: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidSetting, match=sentence):
        azure.options(variables)


def signature(permissions: str) -> str:
    """Return a shared access signature of the account, as Azure's documentation describes it."""
    version, services, types, expiry = "2021-06-08", "b", "sco", "2099-01-01T00:00:00Z"
    text = f"{AZURE_ACCOUNT}\n{permissions}\n{services}\n{types}\n\n{expiry}\n\n\n{version}\n\n"
    digest = hmac.new(base64.b64decode(AZURE_KEY), text.encode(), hashlib.sha256).digest()
    signed = base64.b64encode(digest).decode().replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    return f"sv={version}&ss={services}&srt={types}&sp={permissions}&se={expiry}&sig={signed}"


@pytest.mark.parametrize("made_bucket", ["az"], indirect=True)
def test_shared_access_signature_is_enough(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("a.csv", b"a\n1\n")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", f"BlobEndpoint={bucket.endpoint};SharedAccessSignature={signature('rl')}")
    assert rows_of(opened(bucket.uri("a.csv"))) == [{"a": 1}]


@pytest.mark.parametrize("made_bucket", ["az"], indirect=True)
@pytest.mark.parametrize(
    "credential", [f"AccountKey={KEY}", "SharedAccessSignature=sv=2021-06-08&ss=b&srt=sco&sp=rl&se=2099-01-01&sig=hidden"]
)
def test_wrong_credential_is_one_sentence_without_it(credential: str, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"AccountName={AZURE_ACCOUNT};BlobEndpoint={bucket.endpoint};{credential}"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
    for location in (bucket.uri("a.csv"), bucket.uri("*.csv")):
        with pytest.raises(
            InvalidPath, match=rf"^cannot read {bucket.scheme}://[^ ]* \(authorization failure\); check the location, and the cred"
        ):
            opened(location)


@pytest.fixture
def dropping() -> Iterator[str]:
    """A host that drops all further packets for connections, as a firewall does: its queue of them is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_account_behind_a_firewall_is_one_sentence_soon(dropping: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(azure, "_CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(azure, "getproxies", dict)
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", f"{NAMED};BlobEndpoint=http://{dropping}/a")
    with pytest.raises(
        InvalidPath, match=rf"^no connection to the storage account at {dropping} within 0\.1 s; check AZURE_STORAGE_SERVICE_ENDPOINT"
    ):
        opened("az://b/a.csv")
