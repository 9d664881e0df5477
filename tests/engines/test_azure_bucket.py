"""A bucket of Azure, as Microsoft's Azurite serves it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from email.utils import formatdate
from pathlib import Path

import httpx
import pytest
from bucket_contract import BucketContract, Server

AZURITE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clusterctl-engines" / "azurite"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's, as everybody knows them: learn.microsoft.com/azure/storage/common/storage-use-azurite."""


class Azurite(Server):
    """The container `telemetry`."""

    store = "az://telemetry/fleet"

    def command(self) -> list[str]:
        program = AZURITE / "node_modules" / ".bin" / "azurite-blob"
        if not program.exists():
            pytest.fail(f"{program} is missing: sh tests/engines/install.sh, which needs nodejs and npm")
        return [str(program), "--blobPort", str(self.port), "--inMemoryPersistence", "--silent", "--disableTelemetry"]

    def environ(self, url: str) -> dict[str, str]:
        return {
            "AZURE_STORAGE_ENDPOINT": f"{url}/{ACCOUNT}",
            "AZURE_ALLOW_HTTP": "true",
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
        }

    def empty(self) -> None:
        answer = self._ask("PUT", "telemetry", "restype:container")
        if answer.status_code == 409:
            names = self._ask("GET", "telemetry", "comp:list", "restype:container").text.split("<Name>")[1:]
            for name in names:
                self._ask("DELETE", f"telemetry/{name.partition('</Name>')[0]}")
        assert answer.status_code in {201, 409}, answer.text

    def _ask(self, method: str, path: str, *query: str) -> httpx.Response:
        """Signed with the key: learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key."""
        date = formatdate(usegmt=True)
        headers = f"x-ms-date:{date}\nx-ms-version:2023-11-03"
        signed = "\n".join([method, *[""] * 11, headers, f"/{ACCOUNT}/{ACCOUNT}/{path}", *query])
        signature = base64.b64encode(hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()).decode()
        return httpx.request(
            method,
            f"{self.url}/{ACCOUNT}/{path}?{'&'.join(query).replace(':', '=')}",
            trust_env=False,
            headers={
                "x-ms-date": date,
                "x-ms-version": "2023-11-03",
                "Authorization": f"SharedKey {ACCOUNT}:{signature}",
            },
        )


class TestAzure(BucketContract):
    server_class = Azurite
