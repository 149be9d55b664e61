"""AWS's library: `converse` and `converse_stream` of the Bedrock runtime."""

from __future__ import annotations

import json
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError
from seen import PERSON, PNG, TOOLS, WEATHER, Sdk, Seen, parsed

OFFERED = {
    "tools": [
        {"toolSpec": {"name": t["name"], "description": t["description"], "inputSchema": {"json": t["parameters"]}}} for t in TOOLS
    ]
}


def _code(*codes: str) -> Any:
    return lambda error: isinstance(error, ClientError) and error.response["Error"]["Code"] in codes


class Adapter(Sdk):
    dialect = "bedrock-converse"
    package = "boto3"
    lacks = {"choice-none": "toolChoice has no such mode"}
    finish = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
    raises = {
        "authentication": _code("UnrecognizedClientException", "AccessDeniedException", "ExpiredTokenException"),
        "rate_limit": _code("ThrottlingException"),
        "invalid_request": _code("ValidationException"),
        "overloaded": _code("ServiceUnavailableException"),
        "not_found": _code("ResourceNotFoundException"),
        "server": _code("InternalServerException"),
    }
    midstream = EventStreamError

    def __init__(self, url: str, key: str = "") -> None:
        super().__init__(url, key)
        config = Config(retries={"total_max_attempts": 1}, signature_version="v4")
        id, _, secret = self.key.partition(":")  # the library signs with a pair of keys
        session = boto3.Session(aws_access_key_id=id, aws_secret_access_key=secret or "secret", region_name="us-east-1")
        self.client = session.client("bedrock-runtime", endpoint_url=url, config=config)

    def ask(
        self,
        model: str,
        prompt: str,
        *,
        stream: bool = False,
        tools: bool = False,
        choice: str | None = None,
        schema: bool = False,
        image: bool = False,
        thinking: bool = False,
    ) -> Seen:
        content: list[Any] = [{"text": prompt}]
        if image:
            content.append({"image": {"format": "png", "source": {"bytes": PNG}}})
        more: dict[str, Any] = {}
        if tools:
            chosen = {"auto": {"auto": {}}, "required": {"any": {}}, "tool": {"tool": {"name": WEATHER["name"]}}}
            more["toolConfig"] = {**OFFERED, **({"toolChoice": chosen[choice]} if choice else {})}
        if schema:
            structure = {"jsonSchema": {"name": "person", "schema": json.dumps(PERSON)}}
            more["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": structure}}
        if thinking:
            more["additionalModelRequestFields"] = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
        return self._send(model, [{"role": "user", "content": content}], stream, more)

    def again(self, model: str, prompt: str, seen: Seen, results: list[str], *, stream: bool = False) -> Seen:
        answers = [
            {"toolResult": {"toolUseId": id, "content": [{"text": result}]}} for (id, _, _), result in zip(seen.calls, results)
        ]
        messages = [{"role": "user", "content": [{"text": prompt}]}, seen.native, {"role": "user", "content": answers}]
        return self._send(model, messages, stream, {"toolConfig": OFFERED})

    def _send(self, model: str, messages: list[Any], stream: bool, more: dict[str, Any]) -> Seen:
        if stream:
            content, finish, usage = _gathered(self.client.converse_stream(modelId=model, messages=messages, **more)["stream"])
        else:
            made = self.client.converse(modelId=model, messages=messages, **more)
            content, finish, usage = made["output"]["message"]["content"], made["stopReason"], made["usage"]
        thoughts = [b["reasoningContent"]["reasoningText"] for b in content if "reasoningText" in b.get("reasoningContent", {})]
        return Seen(
            text="".join(b["text"] for b in content if "text" in b),
            thinking="".join(t["text"] for t in thoughts),
            signature="".join(t.get("signature", "") for t in thoughts),
            calls=[(b["toolUse"]["toolUseId"], b["toolUse"]["name"], b["toolUse"]["input"]) for b in content if "toolUse" in b],
            usage=(usage["inputTokens"] + usage.get("cacheReadInputTokens", 0), usage["outputTokens"]),
            cached=usage.get("cacheReadInputTokens"),
            finish=finish,
            native={"role": "assistant", "content": content},
        )


def _gathered(stream: Any) -> tuple[list[Any], Any, Any]:
    """Content blocks from a stream's events; the library hands out events only."""
    blocks: dict[int, dict[str, Any]] = {}
    finish = usage = None
    for event in stream:
        if "contentBlockStart" in event:
            start = event["contentBlockStart"]
            blocks[start["contentBlockIndex"]] = {"toolUse": {**start["start"]["toolUse"], "input": ""}}
        elif "contentBlockDelta" in event:
            delta, index = event["contentBlockDelta"]["delta"], event["contentBlockDelta"]["contentBlockIndex"]
            if "text" in delta:
                blocks.setdefault(index, {"text": ""})["text"] += delta["text"]
            elif "toolUse" in delta:
                blocks[index]["toolUse"]["input"] += delta["toolUse"]["input"]
            elif "reasoningContent" in delta:
                inner = blocks.setdefault(index, {"reasoningContent": {"reasoningText": {"text": ""}}})["reasoningContent"][
                    "reasoningText"
                ]
                for key in ("text", "signature"):
                    if key in delta["reasoningContent"]:
                        inner[key] = inner.get(key, "") + delta["reasoningContent"][key]
        elif "messageStop" in event:
            finish = event["messageStop"]["stopReason"]
        elif "metadata" in event:
            usage = event["metadata"]["usage"]
    content = [blocks[index] for index in sorted(blocks)]
    for block in content:
        if "toolUse" in block:
            block["toolUse"]["input"] = parsed(block["toolUse"]["input"])
    return content, finish, usage
