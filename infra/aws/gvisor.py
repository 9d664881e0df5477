"""gVisor on the sandbox nodes of EKS, whose image lacks it: fetched, checked and made known to containerd at boot."""

from __future__ import annotations

import base64

HANDLER = "runsc"
_SCRIPT = """\
set -eu
from=https://storage.googleapis.com/gvisor/releases/release/latest/$(uname -m)
cd "$(mktemp -d)"
for name in runsc containerd-shim-runsc-v1; do
  curl -fsS --retry 5 -O "$from/$name" -O "$from/$name.sha512"
  sha512sum -c "$name.sha512"
  install -m 755 "$name" /usr/local/bin/
done
"""
"""As gVisor says: https://gvisor.dev/docs/user_guide/install.  The newest, because it is what keeps programs in."""
_NODE = """\
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  containerd:
    config: |
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runsc]
      runtime_type = "io.containerd.runsc.v1"
"""
"""EKS merges it with its own: https://awslabs.github.io/amazon-eks-ami/nodeadm"""
_PARTS = {"text/x-shellscript": "#!/bin/sh\n" + _SCRIPT, "application/node.eks.aws": _NODE}


def _boot() -> str:
    parts = "".join(f"--PART\nContent-Type: {kind}\n\n{text}\n" for kind, text in _PARTS.items())
    whole = f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="PART"\n\n{parts}--PART--\n'
    return base64.b64encode(whole.encode()).decode()


GVISOR_BOOT = _boot()
"""User data of a node.  Where gVisor can't be had, no sandbox starts there: its runtime is missing."""
