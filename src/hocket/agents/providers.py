"""Which providers of models there are, by the names that pydantic-ai knows them by."""

from __future__ import annotations

import importlib.util
from typing import Final

from hocket.core.errors import suggest

KNOWN: Final = (
    *("openai", "openai-chat", "openai-responses", "anthropic", "google", "google-cloud"),
    *("groq", "mistral", "deepseek", "openrouter", "ollama", "azure", "bedrock", "cerebras"),
    *("cohere", "fireworks", "github", "huggingface", "litellm", "moonshotai", "nebius"),
    *("ovhcloud", "sambanova", "together", "vercel", "vllm", "xai", "zai", "alibaba", "heroku"),
)
"""Those that are known without asking pydantic-ai, which takes a second to import."""


def unknown_provider(model: str) -> str:
    """Say that nobody provides a model, or "".

    Args:
        model: It, as ``provider:model``; without a provider it is somebody else's affair.
    """
    provider, colon, _ = model.partition(":")
    if not colon or provider in KNOWN or importlib.util.find_spec("pydantic_ai") is None:
        return ""
    from pydantic_ai.providers import infer_provider_class

    try:
        infer_provider_class(provider)
    except ValueError:
        hint = suggest(provider, KNOWN) or "write provider:model, as openai:gpt-5.2"
        return f"there is no provider {provider!r}; {hint}"
    except ImportError:
        # It is known, and what it needs is not installed: whoever calls it says what to install.
        return ""
    return ""
