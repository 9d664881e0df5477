"""The certificates and kubeconfig files of a throw-away control plane, by openssl."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import yaml

CLIENTS = {
    "admin": "/O=system:masters/CN=admin",
    "controllers": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
    "real0": "/O=system:nodes/CN=system:node:real0",
    "real1": "/O=system:nodes/CN=system:node:real1",
    "apiserver-to-kubelet": "/O=system:masters/CN=apiserver-to-kubelet",
    "nobody": "/CN=nobody",
    "dev": "/CN=dev",
}
"""File -> whom a client certificate names."""


def make_certificates(folder: Path, server: str, *addresses: str) -> None:
    """CA, servers' and clients' certificates in `folder`, and a kubeconfig for each client, whose context is `test`."""
    folder.mkdir(parents=True)
    _openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ca.key")
    usage = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    _openssl(
        folder,
        "req",
        "-x509",
        "-new",
        "-key",
        "ca.key",
        "-days",
        "30",
        "-subj",
        "/CN=test-ca",
        "-out",
        "ca.crt",
        *usage,
    )
    names = [f"IP:{address}" for address in ("127.0.0.1", *addresses)]
    names += [f"DNS:{name}" for name in ("localhost", "kubernetes.default.svc", "real0", "real1")]
    _certificate(folder, "apiserver", "/CN=kube-apiserver", ",".join(names))
    _certificate(folder, "kubelet", "/O=system:nodes/CN=system:node:real0", ",".join(names))
    for client, subject in CLIENTS.items():
        _certificate(folder, client, subject)
        (folder / f"{client}.kubeconfig").write_text(yaml.safe_dump(_kubeconfig(folder, client, server)))
    _openssl(folder, "genrsa", "-out", "accounts.key", "2048")
    _openssl(folder, "rsa", "-in", "accounts.key", "-pubout", "-out", "accounts.pub")


def _certificate(folder: Path, name: str, subject: str, server_names: str = "") -> None:
    _openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
    _openssl(folder, "req", "-new", "-key", f"{name}.key", "-subj", subject, "-out", f"{name}.csr")
    usage = (
        f"subjectAltName={server_names}\nextendedKeyUsage=serverAuth" if server_names else "extendedKeyUsage=clientAuth"
    )
    (folder / f"{name}.ext").write_text(f"{usage}\nkeyUsage=digitalSignature\n")
    by_ca = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-extfile", f"{name}.ext"]
    _openssl(folder, "x509", "-req", "-in", f"{name}.csr", *by_ca, "-out", f"{name}.crt")


def _kubeconfig(folder: Path, client: str, server: str) -> dict[str, object]:
    def data(file: str) -> str:
        return base64.b64encode((folder / file).read_bytes()).decode()

    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority-data": data("ca.crt")}}],
        "users": [
            {
                "name": client,
                "user": {"client-certificate-data": data(f"{client}.crt"), "client-key-data": data(f"{client}.key")},
            }
        ],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": client}}],
    }


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
