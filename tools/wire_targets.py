"""Who the wire judge renders, by which types each is judged, and what documentation adds to those types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: what is rendered (several models where a provider's patches differ by model) -> the validator's dialect
TARGETS: dict[str, str] = {
    "openai/gpt-4.1-mini": "openai.chat",
    "openai/o3": "openai.chat",
    "openai/gpt-5-mini": "openai.chat",
    "openai:responses/gpt-5-mini": "openai.responses",
    "azure-openai/gpt-4.1-mini": "openai.chat",
    "anthropic/claude-3-5-haiku-20241022": "anthropic",
    "anthropic/claude-sonnet-4-5": "anthropic",
    "anthropic/claude-opus-4-6": "anthropic",
    "anthropic/claude-opus-4-7": "anthropic",
    "google-gemini/gemini-2.5-flash": "gemini",
    "google-gemini/gemini-3-pro-preview": "gemini",
    "google-vertex/gemini-2.5-pro": "vertex.gemini",
    "google-vertex/claude-sonnet-4-5@20250929": "anthropic.hosted",
    "google-vertex:anthropic/claude-opus-4-6": "anthropic.hosted",
    "amazon-bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0": "bedrock",
    "amazon-bedrock/us.anthropic.claude-opus-4-6-v1": "bedrock",
    "amazon-bedrock/us.amazon.nova-pro-v1:0": "bedrock",
    "amazon-bedrock/us.meta.llama3-3-70b-instruct-v1:0": "bedrock",
    "amazon-bedrock/openai.gpt-oss-120b-1:0": "bedrock",
    "cohere/command-a-03-2025": "cohere.chat",
    "cohere/command-a-reasoning-08-2025": "cohere.chat",
    "mistral/mistral-large-latest": "mistral.chat",
    "mistral/magistral-medium-latest": "mistral.chat",
    "groq/llama-3.3-70b-versatile": "groq.chat",
    "groq/openai/gpt-oss-120b": "groq.chat",
    "deepseek/deepseek-chat": "openai.chat",
    "xai/grok-4": "openai.chat",
    "perplexity/sonar-pro": "perplexity.chat",
    "openrouter/openai/gpt-5-mini": "openrouter.chat",
    "together/meta-llama/Llama-3.3-70B-Instruct-Turbo": "together.chat",
    "fireworks/accounts/fireworks/models/llama-v3p3-70b-instruct": "fireworks.chat",
    "cerebras/gpt-oss-120b": "cerebras.chat",
    "sambanova/Meta-Llama-3.3-70B-Instruct": "sambanova.chat",
    "ollama/llama3.2": "ollama.chat",
    "openai-compatible/local-model": "openai.chat",
    "vllm/Qwen/Qwen3-8B": "openai.chat",
}
#: dialects that other providers speak too -> the validator's dialect
JUDGES = {
    **dict.fromkeys(("openai-chat", "openai-chat-thinking", "openai-chat-open"), "openai.chat"),
    "anthropic-messages": "anthropic",
    "openai-responses": "openai.responses",
    "mistral": "mistral.chat",
}
#: what a provider documents although the types it is judged by lack it: words of the violations that are none
DOCUMENTED: dict[str, tuple[str, ...]] = {
    # api-docs.deepseek.com/guides/thinking_mode; there are only OpenAI's types
    "deepseek": ("'thinking'", "'reasoning_content'"),
    # openrouter.ai/docs/guides/best-practices/reasoning-tokens
    "openrouter": ("/reasoning/max_tokens",),
    # docs.together.ai/docs/function-calling; the type is that of a call in an answer
    "together": ("/tool_choice",),
    # docs.vllm.ai/en/latest/serving/openai_compatible_server.html; there are only OpenAI's types
    "vllm": ("'top_k'", "'min_p'", "'repetition_penalty'", "'reasoning'"),
}
#: providers without types of their own are judged by those they imitate; what their documentation adds is no violation
ADDITIONS = {
    "deepseek": ("/thinking", "/reasoning_content"),  # https://api-docs.deepseek.com/guides/thinking_mode (2026-11)
    "vllm": (
        "/top_k",
        "/min_p",
        "/repetition_penalty",
        "/reasoning",
    ),  # https://docs.vllm.ai/en/latest/serving/openai_compatible_server
    "openai-compatible": ("/top_k", "/min_p", "/repetition_penalty", "/reasoning_content"),
}


#: an envelope that holds nothing but the body
WHOLE = "{{ body }}"


def targets(catalog: Any, patched: bool = False) -> dict[str, tuple[str, frozenset[str], Any]]:
    """Target -> the validator's dialect, the keys its file adds to the wire (each with its documentation), and what
    stands around its body (`wrap`)."""
    from engine.spec.extend import matching_patches, operation_tree
    from engine.spec.node import Node
    from engine.spec.problem import Problems

    shipped = catalog.provider_ids()
    out: dict[str, tuple[str, frozenset[str], Any]] = {
        t: (d, frozenset[str](), WHOLE) for t, d in TARGETS.items() if t.split("/")[0].split(":")[0] in shipped
    }
    named = {t.split("/")[0] for t in out}
    for id in shipped:
        base = catalog.tree(id)
        default = base.get("models", "default")
        for variant in [None, *(name for name, _ in (base.get("variants") or Node({})).items())]:
            target = f"{id}:{variant}" if variant else id
            if target in named or (variant and patched):
                continue
            tree, chain = operation_tree(catalog, base, "chat", matching_patches(base, "", variant), Problems())
            if tree is None or not chain or chain[0] not in JUDGES or (patched and not base.get("chat").is_map):
                continue
            added = frozenset(_keys(tree)) - frozenset(_keys(catalog.dialect(chain[-1])))
            judge_by = JUDGES[chain[0]]
            if judge_by == "anthropic" and tree.get("body", "model") is None:
                judge_by = "anthropic.hosted"
            envelope = WHOLE if tree.get("wrap") is None else tree.get("wrap").plain()
            out[f"{target}/{default.value if default is not None else 'm'}"] = (judge_by, added, envelope)
    return out


def inside(envelope: Any, sent: Any) -> Any:
    """What stands in an envelope in the place of `{{ body }}`; None if there is no such place."""
    if envelope == WHOLE:
        return sent
    inner = envelope.items() if isinstance(envelope, dict) else enumerate(envelope) if isinstance(envelope, list) else ()
    found = (inside(value, sent[key]) for key, value in inner)
    return next((body for body in found if body is not None), None)


def _keys(tree: Any) -> Iterator[str]:
    """Every key that a chat's body, parts and parameters can write."""

    def inner(node: Any) -> Iterator[str]:
        for key, value in node.items() if node is not None and node.is_map else ():
            yield str(key)
            yield from inner(value)
        for item in node.value if node is not None and node.is_list else ():
            yield from inner(item)

    yield from inner(tree.get("body"))
    yield from inner(tree.get("parts"))
    for name, how in tree.get("params").items() if tree.get("params") is not None else ():
        to = how.get("to") if how.is_map else how
        yield from str(to.value if to is not None and to.value else name).split(".")
