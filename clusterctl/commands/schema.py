"""`clusterctl schema`: the JSON Schema of a run spec, for editors."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from clusterctl.json_text import json_text
from clusterctl.specfile.editor_schema import editor_schema
from clusterctl.specfile.manual import run_spec_manual
from clusterctl.specfile.write import write_atomic
from clusterctl.ui.streams import emit, emit_json


def schema(
    *,
    out: Annotated[Path | None, Option("--out", "-o", help="Write to this file instead of stdout.")] = None,
    markdown: Annotated[bool, Option("--markdown", help="Print the manual of every field instead.")] = False,
) -> None:
    """Print the JSON Schema of a run spec.

    Editors with a YAML language server complete and check a spec whose first line is
    `# yaml-language-server: $schema=run-spec.schema.json`.
    """
    text = run_spec_manual() if markdown else json_text(editor_schema(), indent=2, ensure_ascii=False) + "\n"
    if out is None:
        emit(text) if markdown else emit_json(text)
        return
    write_atomic(out, text)
    typer.echo(f"wrote {out}", err=True)
