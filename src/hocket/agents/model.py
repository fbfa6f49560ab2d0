"""The `model` agent: one request to a model's API, by any provider of pydantic-ai.

It never retries: the client packages' own retries are off, and the engine decides.
A reply that broke off is never taken for a whole one.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from hocket.agents.base import Context, Estimate, Reply, Request
from hocket.agents.clients import Clients
from hocket.agents.estimates import Learned, size_of_talk
from hocket.agents.faults import fault_of, redact
from hocket.agents.model_client import Client, ask
from hocket.agents.model_messages import text_of, turn_of
from hocket.agents.output import fault, fit, read_json
from hocket.agents.prices import Price, Tariff, stated, tariff, usage_of
from hocket.agents.settings import override, read
from hocket.agents.talk import answer_tool, is_talk, talk_of
from hocket.agents.wire import calling
from hocket.core.errors import AgentError, Problem, SpecError
from hocket.core.events import Usage
from hocket.core.specs import AgentSpec
from hocket.core.values import Json

LONGEST = 16 << 20
"""The most characters of an answer; what is longer is no answer."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_SECRET_HEADER = re.compile(r"authorization|key|token|secret|cookie", re.IGNORECASE)
_WRAPPED = "value"
_REST = {"$defs", "definitions"}


class ModelOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a `model` agent.

    Fields:
        model: ``provider:model``, as in ``openai:gpt-5.2``; with a `base_url` a bare name will do.
        base_url: The address of an endpoint that speaks OpenAI's chat API, or the named provider's.
        key_env: The name of the environment variable that holds the key; never the key.
            By default what the provider's client looks for; nothing is sent to a `base_url`.
        system: What the model is told before the prompt.
        temperature: As the provider understands it.
        max_tokens: The most tokens of an answer.
        settings: More of pydantic-ai's model settings, such as ``{seed: 7, top_p: 0.9}``.
        price: ``{in: …, out: …}`` in dollars per million tokens, where the list has no price.
        stream: Whether the text is shown while it comes.
        structured: How an output schema is held: by the provider (``native``), as the arguments
            of a tool (``tool``), or the better of those it has (``auto``),
            which beside tools of its own is a tool.
    """

    model: str
    base_url: str | None = None
    key_env: str | None = None
    system: str = ""
    temperature: Annotated[float, msgspec.Meta(ge=0)] | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    settings: dict[str, Any] = {}
    price: Price | None = None
    stream: bool = True
    structured: Literal["auto", "native", "tool"] = "auto"


# Settings that cannot make a call larger or dearer than its tokens are.
_HARMLESS = re.compile(
    r"(temperature|top_[pk]|seed|(presence|frequency)_penalty|logit_bias|stop_sequences|timeout|"
    r"max_tokens|parallel_tool_calls|tool_choice|thinking|\w+_(reasoning_effort|thinking|"
    r"thinking_config|effort|reasoning_summary|text_verbosity|user|logprobs|safety_settings)|"
    # Writing to a cache is dearer than reading, and counted in.
    r"cache|anthropic_cache\w*|openai_prompt_cache\w*)\Z"
)
# Models that look things up by themselves, and bill what they find.
_SEARCHES = re.compile(r"search|sonar|:online\Z")
_OF_A_STEP = frozenset({"system", "temperature", "max_tokens", "settings", "stream", "structured"})


class ModelAgent:
    """Asks a model's API.

    Args:
        name: The agent's name.
        spec: Its spec; the options are those of `ModelOptions`.
        state: Not used.
        live: Not used.
        clients: Where clients come from, and stay when the agent is closed; by default its own.

    Raises:
        SpecError: An option is unknown, missing, of a wrong type, or would give a key away.
    """

    announces = True

    def __init__(
        self,
        name: str,
        spec: AgentSpec,
        *,
        state: Path,
        live: dict[str, Any],
        clients: Clients | None = None,
    ) -> None:
        self._options = read(ModelOptions, name, spec.options)
        if problems := _problems(("agents", name), self._options):
            raise SpecError(problems)
        self._clients = clients or Clients()
        self._own = clients is None
        self._preparing: asyncio.Task[None] | None = None
        self._known = False
        """Whether the tariff is that of the client."""
        self._learned = Learned()
        self._tariff: Tariff | None = None
        self._priced = False

    async def call(self, request: Request, context: Context) -> Reply:
        """Send one request.

        Raises:
            AgentError: ``rate_limited`` or ``unavailable``, with the wait that the provider asks
                for; ``invalid_output``: the answer does not fit the schema or was cut;
                ``permanent``: the key, the model or the request is refused, a package is missing.
            asyncio.CancelledError: The call was cancelled and its connection closed.
        """
        options = override(self._options, request.options, _OF_A_STEP)
        if problems := _problems(("options",), options):
            raise fault("permanent", f"the step's {SpecError(problems)}")
        if request.tools and not is_talk(request.input):
            raise fault("permanent", "tools can be called in a conversation alone")
        client = await self._client()
        call = _Call(client, options, request, context)
        try:
            reply = await call.run()
        except AgentError as error:
            if error.fault.kind == "invalid_output":
                self._learned.note(call.size, error.usage)
            raise
        self._learned.note(call.size, reply.usage)
        return reply

    def estimate(self, request: Request) -> Estimate:
        """Estimate a call by what it would send, what this agent's calls took, and the prices."""
        try:
            options = override(self._options, request.options, _OF_A_STEP)
        except AgentError as error:
            return Estimate(why=error.fault.message)
        talk = talk_of(request.input, options.system)
        size = size_of_talk(talk.messages, talk.system, request.output, request.tools)
        most_out, why = _most_out(options)
        most = most_cost = None
        if most_out is not None and not why:
            most = size.most_tokens + most_out
            self._look_up()
            if self._tariff is not None:
                most_cost = self._tariff.most_cost(size.most_tokens, most_out)
            else:
                why = f"nobody has a price for {options.model}; state one with 'price'"
        return Estimate(
            tokens_in=self._learned.tokens_in(size),
            tokens_out=self._learned.tokens_out(most_out),
            most_tokens=most,
            most_cost=most_cost,
            why=why,
        )

    def prepare(self) -> None:
        """Begin to make the client and to look its price up, in threads."""
        if self._preparing is None:
            self._preparing = asyncio.create_task(self._prepare())

    async def _prepare(self) -> None:
        # What cannot be made is said by each call that needs it.
        with contextlib.suppress(AgentError):
            await self._client()

    @property
    def _place(self) -> tuple[str, str | None, str | None]:
        options = self._options
        return options.model, options.base_url, options.key_env

    async def ready(self) -> None:
        """Look the model's price up, in a thread."""
        if not self._priced:
            await asyncio.to_thread(self._look_up)

    def _look_up(self) -> None:
        """Find the price of the model as the options name it."""
        if not self._priced:
            options = self._options
            self._tariff = stated(options.model, options.base_url, options.price)
            self._priced = True

    async def close(self) -> None:
        """Close the HTTP client, if it is the agent's own."""
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.wait([self._preparing])
        if self._own:
            await self._clients.close()

    async def _client(self) -> Client:
        """Give the client; the first calls share the wait for the imports."""
        client = await self._clients.get(*self._place)
        if not self._known:
            await asyncio.to_thread(self._price, client)
        return client

    def _price(self, client: Client) -> None:
        """Find the price by where the client goes: it knows that better than the options."""
        options = self._options
        url, own_url = client.address(options.base_url)
        self._tariff = tariff(client.name, client.system, url, own_url, options.price)
        self._known = self._priced = True


class _Call:
    """One request under way."""

    def __init__(
        self, client: Client, options: ModelOptions, request: Request, context: Context
    ) -> None:
        self._client = client
        self._options = options
        self._context = context
        self._schema = request.output
        self._tools = request.tools
        self._talk = talk_of(request.input, options.system)
        self._answer_tool = answer_tool(request.tools)
        self.size = size_of_talk(
            self._talk.messages, self._talk.system, request.output, request.tools
        )
        # Not every provider that holds answers to a schema does so beside tools.
        native = client.enforces_schemas and not request.tools
        self._by_tool = options.structured == "tool" or (
            options.structured == "auto" and not native
        )
        self._usage: Usage | None = None

    async def run(self) -> Reply:
        failed: Exception
        calling.set(self._context)
        try:
            return self._read(await self._send())
        except asyncio.CancelledError:
            # What was read until now is not known before the end: unpriced, not free.
            self._context.spend(self._usage or Usage())
            raise
        except Exception as error:
            failed = error
        # Raised outside, so that the client's error, which holds headers, is not tied to ours.
        made = fault_of(failed, self._options.model, self._client.secrets)
        made.usage = self._usage
        raise made

    async def _send(self) -> Any:
        options = self._options
        settings = dict(options.settings)
        if options.temperature is not None:
            settings["temperature"] = options.temperature
        if options.max_tokens is not None:
            settings["max_tokens"] = options.max_tokens
        if not self._client.watched:
            self._context.sent()
        sent = ask(
            self._client,
            self._talk,
            None if self._schema is None else wrapped(self._schema),
            self._by_tool,
            self._tools,
            settings | self._client.settings,
            options.stream,
        )
        if not options.stream:
            response = await sent
            self._count(response)
            return response
        async with sent as stream:
            try:
                await self._show(stream)
            finally:
                self._count(stream)
        return stream.get()

    async def _show(self, stream: Any) -> None:
        size = 0
        silent: set[int] = set()
        async for event in stream:
            text = _text_of(event)
            if event.event_kind == "part_start" and self._calls_a_tool(event.part):
                silent.add(event.index)
            size += len(text)
            if size > LONGEST:
                raise fault("invalid_output", f"the answer is longer than {LONGEST >> 20} MB")
            if text and event.index not in silent:
                self._context.emit(text)

    def _calls_a_tool(self, part: Any) -> bool:
        """Tell whether a part calls one of the agent's tools; other calls hold an answer."""
        called = self._talk.turns and part.part_kind == "tool-call"
        return bool(called and part.tool_name != self._answer_tool)

    def _count(self, answer: Any) -> None:
        """Price what was used; a stream tells its usage as far as it has come."""
        url, own_url = self._client.address(self._options.base_url)
        self._usage = usage_of(
            answer.usage,
            model=answer.model_name or self._client.name,
            provider=answer.provider_name or "",
            url=url,
            own_url=own_url,
            price=self._options.price,
        )

    def _read(self, response: Any) -> Reply:
        finish = response.finish_reason
        if finish == "error" or (self._options.stream and self._broken(response)):
            raise self._fault(
                "unavailable",
                "the answer broke off before its end; set 'stream: false' if it is always so",
            )
        if finish == "content_filter":
            raise self._fault("permanent", "the provider's content filter withheld the answer")
        turn = turn_of(response, self._answer_tool) if self._talk.turns else None
        if turn is not None and not (self._talk.last and self._holds_an_answer(response)):
            if finish == "length":
                raise self._fault("invalid_output", "a tool's call was cut at the token limit")
            return Reply(output=turn, usage=self._usage)
        answer, notes = self._answer(response)
        output = {"$": "turn", "answer": answer} if self._talk.turns else answer
        return Reply(output=output, usage=self._usage, notes=notes)

    def _answer(self, response: Any) -> tuple[Json, tuple[str, ...]]:
        """Read an answer, and what is to be said of it."""
        finish, text = response.finish_reason, text_of(response)
        if self._schema is None:
            if not text.strip():
                raise self._fault("invalid_output", f"the answer is empty (finish: {finish})")
            return text, ("answer cut at the token limit",) if finish == "length" else ()
        if finish == "length":
            raise self._fault("invalid_output", "the answer was cut at the token limit", text)
        return fit(self._structured(response, text), self._schema), ()

    def _holds_an_answer(self, response: Any) -> bool:
        parts = [part for part in response.parts if not self._calls_a_tool(part)]
        return any(part.part_kind == "tool-call" for part in parts)

    def _broken(self, response: Any) -> bool:
        """Tell whether a stream ended without saying why: not every transport shows a cut."""
        stated = (response.provider_details or {}).get("finish_reason")
        if response.finish_reason is None or response.state != "complete":
            return not stated
        return response.finish_reason == "stop" and not stated and self._client.invents_an_end

    def _structured(self, response: Any, text: str) -> Json:
        for part in response.parts:
            if part.part_kind == "tool-call" and not self._calls_a_tool(part):
                given = part.args
                return unwrapped(
                    read_json(given) if isinstance(given, str) else given, self._schema
                )
        return unwrapped(read_json(text), self._schema)

    def _fault(self, kind: Any, what: str, detail: str = "") -> AgentError:
        secrets = self._client.secrets
        return fault(kind, f"{self._options.model}: {what}", detail=redact(detail, secrets))


def _most_out(options: ModelOptions) -> tuple[int | None, str]:
    """Give the most tokens of an answer, if it is stated, and why the call has no bound, or ""."""
    most = options.settings.get("max_tokens") if options.max_tokens is None else options.max_tokens
    most = most if isinstance(most, int) and most > 0 else None
    for name in options.settings:
        if not _HARMLESS.match(name):
            return most, f"nobody can say what the setting {name!r} adds to a call"
    if _SEARCHES.search(options.model):
        return most, f"{options.model} reads what it finds, however much that is"
    return most, "" if most is not None else "set max_tokens: nothing bounds the answer's length"


def _text_of(event: Any) -> str:
    """Give the text of a stream's event: of an answer, or of a tool's arguments."""
    piece = getattr(event, "part", None) if event.event_kind == "part_start" else None
    piece = getattr(event, "delta", None) if event.event_kind == "part_delta" else piece
    match getattr(piece, "part_kind", None) or getattr(piece, "part_delta_kind", None):
        case "text":
            text = getattr(piece, "content_delta", None) or getattr(piece, "content", None)
        case "tool-call":
            text = getattr(piece, "args", None)
        case "tool_call":
            text = getattr(piece, "args_delta", None)
        case _:
            text = None
    return text if isinstance(text, str) else ""


def wrapped(schema: Json) -> Json:
    """Give an object's schema: providers want an object at the root of an answer."""
    if _is_object(schema):
        return schema
    inner = {key: value for key, value in schema.items() if key not in _REST}
    return {
        "type": "object",
        "properties": {_WRAPPED: inner},
        "required": [_WRAPPED],
        "additionalProperties": False,
        # References are written from the root, so what they mean must stay there.
        **{key: schema[key] for key in _REST if key in schema},
    }


def unwrapped(value: Json, schema: Json) -> Json:
    """Undo `wrapped`; an answer without the wrapping is taken as it is."""
    if not _is_object(schema) and isinstance(value, dict) and value.keys() == {_WRAPPED}:
        return value[_WRAPPED]
    return value


def _is_object(schema: Json) -> bool:
    return not isinstance(schema, dict) or schema.get("type") == "object"


def _wrong_address(address: str) -> str:
    """Say what is wrong with an address, or ""."""
    try:
        url = urlsplit(address)
        if url.scheme in {"http", "https"} and url.hostname and url.port != 0:
            return "an address must not hold a key; use key_env" if "@" in url.netloc else ""
    except ValueError as error:
        return f"this is no address: {error}"
    return "this is no http or https address"


def _problems(where: tuple[str | int, ...], options: ModelOptions) -> list[Problem]:
    """Find what the types cannot say; no value is shown, since it may be a key."""
    problems: list[Problem] = []

    def problem(key: str, message: str, hint: str = "") -> None:
        problems.append(Problem(where=(*where, key), message=message, hint=hint))

    if ":" not in options.model and options.base_url is None:
        problem("model", f"{options.model!r} names no provider", "write it like 'openai:gpt-5.2'")
    if options.key_env is not None and not _VARIABLE.match(options.key_env):
        problem(
            "key_env",
            "this is no name of an environment variable",
            "write the variable's name, as in OPENAI_API_KEY, never the key itself",
        )
    if options.base_url is not None and (wrong := _wrong_address(options.base_url)):
        problem("base_url", wrong, "write it like 'https://example.com/v1'")
    if "max_retries" in options.settings:
        problem("settings", "max_retries cannot be set here", "a step's retry says when to repeat")
    headers = options.settings.get("extra_headers")
    if isinstance(headers, dict) and any(map(_SECRET_HEADER.search, headers)):
        problem("settings", "extra_headers must not hold a secret", "use key_env")
    return problems
