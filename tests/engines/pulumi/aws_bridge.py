"""AWS's own provider, which is a plugin of Terraform, as a plugin of Pulumi: `pulumi-resource-aws` starts it.

The environment says AWS_PROVIDER (the program), TERRAFORM_PROTOCOL (a folder with tfplugin5_pb2.py and its stub), AWS_ENDPOINT_URL.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import msgpack
from pulumi.provider.experimental import provider as api
from pulumi.provider.experimental.property_value import Computed, PropertyValue
from pulumi.provider.experimental.server import main

sys.path[:0] = [str(Path(__file__).parent), os.environ["TERRAFORM_PROTOCOL"]]

import tfplugin5_pb2 as messages  # noqa: E402 - found by the path above
import tfplugin5_pb2_grpc as service  # noqa: E402
from terraform_values import UNKNOWN, camel, from_block, is_unknown, proposed, snake, to_block  # noqa: E402

VERSION = "6.83.0"
"""Of pulumi-aws, which has AWS's provider 5.100."""
COOKIE = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"
"""By which a plugin of Terraform knows that it is started as one."""
MOST_BYTES = 1 << 30
STATE = "__state"
DEADLINE_SECONDS = 240.0
"""For one resource: an API that the emulator lacks looks like a hang."""


def plain(value: Any) -> Any:
    """A property as Python has it."""
    inner = value.value if isinstance(value, PropertyValue) else value
    if isinstance(inner, Computed):
        return UNKNOWN
    if isinstance(inner, Mapping):
        return {name: plain(each) for name, each in inner.items()}
    return [plain(each) for each in inner] if isinstance(inner, list | tuple) else inner


def wrapped(value: Any) -> PropertyValue:
    """Python's value as a property."""
    if is_unknown(value):
        return PropertyValue(Computed())
    if isinstance(value, Mapping):
        return PropertyValue({name: wrapped(each) for name, each in value.items()})
    if isinstance(value, list):
        return PropertyValue([wrapped(each) for each in value])
    simple = value is None or isinstance(value, bool | str)
    return PropertyValue(value if simple else float(value))


def packed(value: Any) -> Any:
    return messages.DynamicValue(msgpack=msgpack.packb(value))


def unpacked(value: Any) -> Any:
    return msgpack.unpackb(value.msgpack, strict_map_key=False) if value.msgpack else json.loads(value.json or "null")


def check(diagnostics: Any) -> None:
    """Raises RuntimeError with what went wrong."""
    if errors := [f"{each.summary}: {each.detail}" for each in diagnostics if each.severity == 1]:
        raise RuntimeError("; ".join(errors))


class AwsProvider(api.Provider):
    """Pulumi's calls, made of Terraform's."""

    def __init__(self) -> None:
        self._started: asyncio.Task[None] | None = None

    async def _ready(self) -> None:
        if self._started is None:
            self._started = asyncio.ensure_future(self._start())
        await self._started

    async def _start(self) -> None:
        environment = {**os.environ, "TF_PLUGIN_MAGIC_COOKIE": COOKIE, "PLUGIN_PROTOCOL_VERSIONS": "5"}
        self._process = await asyncio.create_subprocess_exec(
            os.environ["AWS_PROVIDER"],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
        )
        assert self._process.stdout is not None
        _, _, network, address, *_ = (await self._process.stdout.readline()).decode().strip().split("|")
        limits = [("grpc.max_receive_message_length", MOST_BYTES), ("grpc.default_authority", "localhost")]
        channel = grpc.aio.insecure_channel(f"unix:{address}" if network == "unix" else address, options=limits)
        self._call = service.ProviderStub(channel)
        self._schema = await self._call.GetSchema(messages.GetProviderSchema.Request())

    def _type(self, token: str, table: Mapping[str, Any]) -> tuple[str, Any]:
        """Terraform's type and its schema."""
        _, module, name = token.rpartition("$")[2].split(":")
        short = re.sub(r"^get_", "", snake(name.removesuffix("V2")))
        for found in (f"aws_{module.partition('/')[0]}_{short}", f"aws_{short}"):
            if found in table:
                return found, table[found].block
        raise RuntimeError(f"no type of Terraform for {token}")

    def _resource(self, token: str) -> tuple[str, Any]:
        return self._type(token, self._schema.resource_schemas)

    async def get_schema(self, request: api.GetSchemaRequest) -> api.GetSchemaResponse:
        return api.GetSchemaResponse(schema=json.dumps({"name": "aws", "version": VERSION, "resources": {}}))

    async def check_config(self, request: api.CheckRequest) -> api.CheckResponse:
        return api.CheckResponse(inputs=request.new_inputs)

    async def diff_config(self, request: api.DiffRequest) -> api.DiffResponse:
        return api.DiffResponse(changes=False)

    async def configure(self, request: api.ConfigureRequest) -> api.ConfigureResponse:
        await self._ready()
        given: dict[str, Any] = {"s3UsePathStyle": True}
        for name, value in plain(request.args).items():
            given[name] = json.loads(value) if isinstance(value, str) and value[:1] in "{[" else value
        config = packed(to_block(self._schema.provider.block, given))
        prepared = await self._call.PrepareProviderConfig(messages.PrepareProviderConfig.Request(config=config))
        check(prepared.diagnostics)
        done = await self._call.Configure(
            messages.Configure.Request(terraform_version="1.11.4", config=prepared.prepared_config)
        )
        check(done.diagnostics)
        return api.ConfigureResponse(
            accept_secrets=True, accept_resources=False, accept_outputs=False, supports_preview=True
        )

    async def check(self, request: api.CheckRequest) -> api.CheckResponse:
        kind, block = self._resource(request.type)
        inputs, names = dict(request.new_inputs), [each.name for each in block.attributes]
        if "name" in names and "name_prefix" in names and "name" not in inputs:
            before = (request.old_inputs or {}).get("name")
            inputs["name"] = before or PropertyValue(f"{request.name}-{secrets.token_hex(4)[:7]}")
        for name, called in (("node_group_name", "nodeGroupName"), ("bucket", "bucket")):
            if kind in {"aws_eks_node_group", "aws_s3_bucket"} and name in names and called not in inputs:
                before = (request.old_inputs or {}).get(called)
                inputs[called] = before or PropertyValue(f"{request.name}-{secrets.token_hex(4)[:7]}")
        for each in block.attributes:
            if each.name == "name" and each.required and "name" not in inputs:
                before = (request.old_inputs or {}).get("name")
                inputs["name"] = before or PropertyValue(f"{request.name}-{secrets.token_hex(4)[:7]}")
        config = to_block(block, {name: plain(value) for name, value in inputs.items()})
        said = await self._call.ValidateResourceTypeConfig(
            messages.ValidateResourceTypeConfig.Request(type_name=kind, config=packed(config))
        )
        failures = [api.CheckFailure("", f"{d.summary}: {d.detail}") for d in said.diagnostics if d.severity == 1]
        return api.CheckResponse(inputs=inputs, failures=failures)

    async def _plan(self, token: str, inputs: Mapping[str, Any], before: Any) -> tuple[str, Any, Any, Any]:
        kind, block = self._resource(token)
        config = to_block(block, {name: plain(value) for name, value in inputs.items()})
        prior = before["state"] if before else None
        answer = await self._call.PlanResourceChange(
            messages.PlanResourceChange.Request(
                type_name=kind,
                prior_state=packed(prior),
                proposed_new_state=packed(proposed(block, prior, config)),
                config=packed(config),
                prior_private=bytes.fromhex(before["private"]) if before else b"",
            )
        )
        check(answer.diagnostics)
        return kind, block, config, answer

    async def _apply(self, kind: str, config: Any, plan: Any, before: Any) -> Any:
        answer = await self._call.ApplyResourceChange(
            messages.ApplyResourceChange.Request(
                type_name=kind,
                prior_state=packed(before["state"] if before else None),
                planned_state=plan.planned_state,
                config=packed(config),
                planned_private=plan.planned_private,
            ),
            timeout=DEADLINE_SECONDS,
        )
        check(answer.diagnostics)
        return answer

    def _outputs(self, block: Any, state: Any, private: bytes) -> dict[str, PropertyValue]:
        made = {name: wrapped(value) for name, value in from_block(block, state).items()}
        return made | {STATE: PropertyValue(json.dumps({"state": state, "private": private.hex()}))}

    def _before(self, properties: Any) -> Any:
        found = plain((properties or {}).get(STATE))
        return json.loads(found) if isinstance(found, str) else None

    async def diff(self, request: api.DiffRequest) -> api.DiffResponse:
        before = self._before(request.old_state)
        _, _, _, plan = await self._plan(request.type, request.new_inputs, before)
        planned, prior = unpacked(plan.planned_state), before["state"]

        def ordered(value: Any) -> Any:
            return sorted(map(repr, value)) if isinstance(value, list) else value

        changed = [name for name in planned if ordered(planned[name]) != ordered(prior.get(name))]
        fixed = {path.steps[0].attribute_name for path in plan.requires_replace if path.steps}
        replaced = [camel(name) for name in changed if name in fixed]
        return api.DiffResponse(
            changes=bool(changed),
            diffs=[camel(name) for name in changed],
            replaces=replaced,
            delete_before_replace=bool(replaced),
        )

    async def create(self, request: api.CreateRequest) -> api.CreateResponse:
        kind, block, config, plan = await self._plan(request.type, request.properties, None)
        if request.preview:
            shown = from_block(block, unpacked(plan.planned_state))
            return api.CreateResponse(
                resource_id="", properties={name: wrapped(value) for name, value in shown.items() if name != "id"}
            )
        done = await self._apply(kind, config, plan, None)
        state = unpacked(done.new_state)
        return api.CreateResponse(resource_id=state["id"], properties=self._outputs(block, state, done.private))

    async def update(self, request: api.UpdateRequest) -> api.UpdateResponse:
        before = self._before(request.olds)
        kind, block, config, plan = await self._plan(request.type, request.news, before)
        if request.preview:
            shown = from_block(block, unpacked(plan.planned_state))
            return api.UpdateResponse(properties={name: wrapped(value) for name, value in shown.items()})
        done = await self._apply(kind, config, plan, before)
        return api.UpdateResponse(properties=self._outputs(block, unpacked(done.new_state), done.private))

    async def read(self, request: api.ReadRequest) -> api.ReadResponse:
        kind, block = self._resource(request.type)
        before = self._before(request.properties)
        answer = await self._call.ReadResource(
            messages.ReadResource.Request(
                type_name=kind, current_state=packed(before["state"]), private=bytes.fromhex(before["private"])
            )
        )
        check(answer.diagnostics)
        state = unpacked(answer.new_state)
        if state is None:
            return api.ReadResponse(resource_id="", properties={}, inputs={})
        outputs = self._outputs(block, state, answer.private)
        inputs = {name: outputs.get(name, value) for name, value in (request.inputs or {}).items()}
        return api.ReadResponse(resource_id=state["id"], properties=outputs, inputs=inputs)

    async def delete(self, request: api.DeleteRequest) -> None:
        before = self._before(request.properties)
        kind, _ = self._resource(request.type)
        plan = await self._call.PlanResourceChange(
            messages.PlanResourceChange.Request(
                type_name=kind,
                prior_state=packed(before["state"]),
                proposed_new_state=packed(None),
                config=packed(None),
                prior_private=bytes.fromhex(before["private"]),
            )
        )
        check(plan.diagnostics)
        await self._apply(kind, None, plan, before)

    async def invoke(self, request: api.InvokeRequest) -> api.InvokeResponse:
        await self._ready()
        kind, block = self._type(request.tok, self._schema.data_source_schemas)
        config = to_block(block, {name: plain(value) for name, value in request.args.items()})
        answer = await self._call.ReadDataSource(
            messages.ReadDataSource.Request(type_name=kind, config=packed(config)), timeout=DEADLINE_SECONDS
        )
        check(answer.diagnostics)
        shown = from_block(block, unpacked(answer.state))
        return api.InvokeResponse(return_value={name: wrapped(value) for name, value in shown.items()})

    async def cancel(self) -> None:
        if self._started is not None:
            self._process.terminate()


if __name__ == "__main__":
    main(sys.argv[1:], VERSION, AwsProvider())
