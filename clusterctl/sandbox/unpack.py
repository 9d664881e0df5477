"""Reads the archive of files that a sandbox hands back.  Whoever wrote it may be hostile."""

from __future__ import annotations

import io
import tarfile


def unpack(archive: bytes) -> dict[str, bytes]:
    """Name → content of the plain files in `archive`; links, devices and sparse files are left out.

    Nothing is written anywhere.  An archive that breaks off gives what was whole.
    """
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() and not member.issparse() else None
                if content is not None and 0 <= member.size <= len(archive):
                    files[member.name] = content.read()
    except (tarfile.TarError, ValueError, EOFError, OverflowError):
        return files
    return files
