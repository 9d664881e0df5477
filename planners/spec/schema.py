"""The JSON Schema of a run spec, for editors."""

from typing import Any

from planners.spec.run import RunSpec

SCHEMA_ID = "urn:clusterctl:run-spec:1"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def run_spec_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of `RunSpec` as a person writes it, {file: ...} forms included."""
    return {"$schema": DIALECT, "$id": SCHEMA_ID, **RunSpec.model_json_schema(mode="validation")}
