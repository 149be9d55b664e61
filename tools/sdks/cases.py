"""The cases of the SDK matrix: what is asked through a library, and what must come out (SERVE.md 14)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from seen import Sdk, Seen

TEXT = "Grüße aus Röm 🎉, with “quotes” and a \\ backslash."
THOUGHT = "Let me think about it."
SIGNATURE = "U0lHXzE="
CALLS = [{"city": "Rome"}, {"city": "Paris", "days": [1, 2]}]
RESULTS = ["18 degrees", "rain, 12 degrees"]
ERRORS = ("authentication", "rate_limit", "invalid_request", "overloaded", "not_found")


class Wrong(Exception):
    """The answer is not the one that was given."""


def same(found: Any, wanted: Any, what: str) -> None:
    if found != wanted:
        raise Wrong(f"{what}: {found!r}, not {wanted!r}")


def text(sdk: Sdk, stream: bool) -> None:
    seen = sdk.ask("text", "Hello", stream=stream)
    same(seen.text, TEXT, "text")
    same(seen.calls, [], "calls")


def usage(sdk: Sdk, stream: bool) -> None:
    same(sdk.ask("text", "Hello", stream=stream).usage, (50, 30), "usage")


def cached(sdk: Sdk, stream: bool) -> None:
    same(sdk.ask("text", "Hello", stream=stream).cached, 10, "tokens from the cache")


def finish(sdk: Sdk, stream: bool) -> None:
    same(sdk.ask("text", "Hello", stream=stream).finish, sdk.finish["stop"], "finish of `stop`")
    same(sdk.ask("length", "Hello", stream=stream).finish, sdk.finish["length"], "finish of `length`")
    same(_calling(sdk, stream).finish, sdk.finish["tool_calls"], "finish of `tool_calls`")


def thinking(sdk: Sdk, stream: bool) -> None:
    seen = sdk.ask("think", "Hello", stream=stream, thinking=True)
    same(seen.thinking, THOUGHT, "thinking")
    same(seen.text, TEXT, "text")


def signature(sdk: Sdk, stream: bool) -> None:
    same(sdk.ask("think", "Hello", stream=stream, thinking=True).signature, SIGNATURE, "signature")


def tools(sdk: Sdk, stream: bool) -> None:
    seen = _calling(sdk, stream)
    same([(name, arguments) for _, name, arguments in seen.calls], [("get_weather", a) for a in CALLS], "calls")
    ids = [id for id, _, _ in seen.calls if id]
    same(len(set(ids)), len(ids), "distinct ids")


def second(sdk: Sdk, stream: bool) -> None:
    """The library's own objects go back, with results; the model tells what it saw of them."""
    first = _calling(sdk, stream)
    told = json.loads(sdk.again("tools", "Weather?", first, RESULTS, stream=stream).text)
    same(told["results"], RESULTS, "results the model saw")
    same(told["calls"], CALLS, "calls the model saw")
    same(told["paired"], True, "results paired with their calls")
    if "signature" not in sdk.lacks and "replay" not in sdk.lacks:
        same(told["signature"], SIGNATURE, "signature the model saw")


def image(sdk: Sdk, stream: bool) -> None:
    same(sdk.ask("image", "What is this?", stream=stream, image=True).text, "1 image, image/png, 70 bytes", "image the model saw")


def schema(sdk: Sdk, stream: bool) -> None:
    same(json.loads(sdk.ask("schema", "Invent Ada.", stream=stream, schema=True).text), {"name": "Ada", "age": 36}, "JSON")


def choice(mode: str) -> Callable[[Sdk, bool], None]:
    def case(sdk: Sdk, stream: bool) -> None:
        told = sdk.ask("choice", "Weather?", stream=stream, tools=True, choice=mode).text
        wanted = {"tool": "must get_weather", "required": "must get_time get_weather"}.get(mode, mode)
        if mode == "auto" and "choice-auto" in sdk.behind:
            wanted = "None"  # where there is no word for it, nothing said is the same
        same(told, wanted, "tool choice the model saw")

    return case


def error(kind: str) -> Callable[[Sdk, bool], None]:
    return lambda sdk, stream: refused(sdk, stream, f"err-{kind}", kind, "scripted")


def wrong_key(sdk: Sdk, stream: bool) -> None:
    """A gateway refuses a key it does not know."""
    stranger = type(sdk)(sdk.url, f"{sdk.key}-wrong")
    refused(stranger, stream, "text", "authentication", "not ")


def operator(sdk: Sdk, stream: bool) -> None:
    """The provider refuses the gateway's own key: no fault of the client's key."""
    refused(sdk, stream, "err-authentication", "server", "credentials of this gateway")


def refused(sdk: Sdk, stream: bool, model: str, kind: str, words: str) -> None:
    """The library raises what it has for this kind of error, with these words in it."""
    wanted = sdk.raises[kind]
    try:
        sdk.ask(model, "Hello", stream=stream)
    except Exception as raised:
        test = wanted if callable(wanted) and not isinstance(wanted, type) else lambda e: isinstance(e, wanted)
        if not test(raised):
            raise Wrong(f"{type(raised).__name__}: {raised}") from None
        if words not in str(raised) and words not in repr(vars(raised)):
            raise Wrong(f"the message is lost: {raised!r}") from None
    else:
        raise Wrong("nothing was raised")


def midstream(sdk: Sdk, stream: bool) -> None:
    try:
        seen = sdk.ask("midstream", "Hello", stream=True)
    except sdk.midstream:
        return
    same(seen.finish, sdk.finish.get("error"), "finish of a stream that failed")
    if "error" not in sdk.finish:
        raise Wrong("nothing was raised")


def _calling(sdk: Sdk, stream: bool) -> Seen:
    return sdk.ask("tools", "Weather?", stream=stream, tools=True, thinking="thinking" not in sdk.lacks)


#: column -> (case, whether it exists for whole answers)
CASES: dict[str, tuple[Callable[[Sdk, bool], None], bool]] = {
    "text": (text, True),
    "usage": (usage, True),
    "cached": (cached, True),
    "finish": (finish, True),
    "thinking": (thinking, True),
    "signature": (signature, True),
    "tools": (tools, True),
    "second": (second, True),
    "image": (image, True),
    "schema": (schema, True),
    **{f"choice-{mode}": (choice(mode), True) for mode in ("auto", "none", "required", "tool")},
    **{kind: (error(kind), True) for kind in ERRORS},
    "midstream": (midstream, False),
}
#: what is different behind a gateway that asks for keys
BEHIND: dict[str, tuple[Callable[[Sdk, bool], None], bool]] = {"authentication": (wrong_key, True), "operator": (operator, True)}
