"""Connects a `model` agent to its provider: here the client packages are imported.

They take seconds of processor time to import, so it happens at the first call, in a thread.
"""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Sequence
from typing import Any

import msgspec

from hocket.agents.faults import fault_of, secrets_of
from hocket.agents.model_messages import messages_of, tools_of
from hocket.agents.output import fault
from hocket.agents.talk import Talk, answer_tool
from hocket.agents.wire import watch
from hocket.core.errors import AgentError
from hocket.core.teams import Tool
from hocket.core.values import Json

_OPENAI = {"openai", "openai-chat"}
# The client wants some key, and would otherwise take OPENAI_API_KEY and hand it to a stranger.
_NO_KEY = "none-needed"


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """A connected model.

    Fields:
        model: pydantic-ai's model.
        provider: pydantic-ai's provider, which owns the HTTP client.
        name: The model's name at the provider.
        secrets: What no fault may show.
        settings: What every request carries.
        watched: Whether the HTTP client itself tells each call when its request leaves.
    """

    model: Any
    provider: Any
    name: str
    secrets: tuple[str, ...]
    settings: dict[str, Json]
    watched: bool

    @property
    def system(self) -> str:
        """What pydantic-ai calls the provider, in answers too."""
        return str(self.model.system)

    def address(self, base_url: str | None) -> tuple[str, bool]:
        """Give where requests go, and whether the user has named that address."""
        return base_url or str(getattr(self.provider, "base_url", "")), base_url is not None

    @property
    def enforces_schemas(self) -> bool:
        """Whether the provider itself holds an answer to a JSON Schema."""
        return bool(self.model.profile.get("supports_json_schema_output"))

    @property
    def invents_an_end(self) -> bool:
        """Whether a stream that ends without its last words is passed off as a whole one.

        pydantic-ai does so for OpenAI's chat API, because some servers never say why they stop.
        """
        return any(kind.__name__ == "OpenAIChatModel" for kind in type(self.model).__mro__)


def connect(model: str, base_url: str | None, key_env: str | None) -> Client:
    """Make the client of a model; nothing is sent yet.

    Args:
        model: ``provider:model``, or a bare name if there is a `base_url`.
        base_url: An endpoint that speaks as the provider does; OpenAI's way unless one is named.
        key_env: The environment variable that holds the key.

    Raises:
        AgentError: ``permanent``: a package, a key or a provider is missing.
    """
    key = _key(key_env)
    try:
        import pydantic_ai  # noqa: F401
    except ImportError:
        raise fault("permanent", "model agents need an extra: pip install 'hocket[models]'") from (
            None
        )
    try:
        made, provider, name = (
            _at_own_url(model, base_url, key) if base_url else _at_home(model, key)
        )
    except ImportError as error:
        # pydantic-ai says itself which package the provider wants.
        raise fault("permanent", f"{model}: {error}") from None
    except AgentError:
        raise
    except Exception as error:
        failed = fault_of(error, model, secrets_of(key))
        # Nothing was sent, so there is nothing that could be otherwise the next time.
        raise fault("permanent", failed.fault.message, failed.fault.detail) from None
    # A usage that cannot be read is unknown here; that is no reason to write over the terminal.
    warnings.filterwarnings("ignore", message="Failed to extract usage")
    # Retries belong to the engine; a client that has none cannot be told so.
    unsupported = getattr(made, "unsupported_settings", ())
    settings = {} if "max_retries" in unsupported else {"max_retries": 0}
    own = getattr(getattr(provider, "client", None), "api_key", None)
    secrets = secrets_of(key, own if isinstance(own, str) and own != _NO_KEY else None)
    return Client(
        model=made,
        provider=provider,
        name=name,
        secrets=secrets,
        settings=settings,
        watched=watch(provider),
    )


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise fault(
            "permanent", f"the environment variable {variable} is not set; it is to hold the key"
        )
    return key


def _at_home(model: str, key: str | None) -> tuple[Any, Any, str]:
    """Make a model at its provider's own address."""
    from pydantic_ai.models import infer_model
    from pydantic_ai.providers import infer_provider, infer_provider_class

    made: list[Any] = []

    def factory(name: str) -> Any:
        provider = infer_provider(name) if key is None else infer_provider_class(name)(api_key=key)  # type: ignore[call-arg]
        made.append(provider)
        return provider

    return infer_model(model, provider_factory=factory), made[-1], model.partition(":")[2]


def _at_own_url(model: str, base_url: str, key: str | None) -> tuple[Any, Any, str]:
    """Make a model at an address of the user's."""
    from pydantic_ai.models import infer_model
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers import infer_provider_class
    from pydantic_ai.providers.openai import OpenAIProvider

    kind, _, name = model.partition(":")
    try:
        provider_class: Any = infer_provider_class(kind) if name else OpenAIProvider
    except ValueError:
        # A colon inside a bare name, as in qwen3:0.6b.
        kind, name, provider_class = "openai", model, OpenAIProvider
    takes = inspect.signature(provider_class.__init__).parameters
    if "base_url" not in takes:
        raise fault("permanent", f"the provider {kind!r} has one address; leave base_url out")
    given: dict[str, Any] = {"base_url": base_url}
    if "api_key" in takes:
        given["api_key"] = key or _NO_KEY
    provider = provider_class(**given)
    if not name or kind in _OPENAI:
        name = name or model
        return OpenAIChatModel(name, provider=provider), provider, name
    return infer_model(model, provider_factory=lambda _: provider), provider, name


def ask(
    client: Client,
    talk: Talk,
    schema: Json,
    by_tool: bool,
    tools: Sequence[Tool],
    settings: dict[str, Json],
    stream: bool,
) -> Any:
    """Make the request: an awaitable reply, or a context manager of a stream of it.

    What is sent begins as the last request of the same conversation did.

    Args:
        client: Whom to ask.
        talk: What was said.
        schema: An object's JSON Schema, or None for text.
        by_tool: Whether the answer is to come as the arguments of a tool.
        tools: What may be called instead of giving an answer.
        settings: More of pydantic-ai's model settings.
        stream: Which of the two.
    """
    from pydantic_ai import direct
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.output import OutputObjectDefinition
    from pydantic_ai.tools import ToolDefinition

    functions = tools_of(tools)
    if schema is None:
        parameters = ModelRequestParameters(function_tools=functions)
    elif by_tool:
        tool = ToolDefinition(
            name=answer_tool(tools),
            description="Give the answer.",
            parameters_json_schema=schema,
            kind="output",
        )
        parameters = ModelRequestParameters(
            function_tools=functions,
            output_mode="tool",
            output_tools=[tool],
            allow_text_output=False,
        )
    else:
        held = OutputObjectDefinition(json_schema=schema, name="answer")
        parameters = ModelRequestParameters(
            function_tools=functions, output_mode="native", output_object=held
        )
    if talk.last and tools:
        # The tools stay: what was said refers to them, and the prompt's beginning stays the same.
        settings = settings | {"tool_choice": "none"}
    send: Any = direct.model_request_stream if stream else direct.model_request
    return send(
        client.model,
        messages_of(talk.messages, talk.system, client.system),
        model_settings=settings,
        model_request_parameters=parameters,
        instrument=False,
    )
