"""The `local` agent: a small model inside the installation, so that everything works without a key.

It shows the machinery; its answers are not to be relied on, and every reply says so.
The model runs in a child process with as many threads as there are cores to spare.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import threading
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from hocket.agents import weights
from hocket.agents.base import Context, Estimate, Reply, Request
from hocket.agents.estimates import Learned, size_of
from hocket.agents.local_child import Child
from hocket.agents.local_schema import bounded, most_tokens
from hocket.agents.output import fault, fit, read_json
from hocket.agents.settings import override, prompt_of, read
from hocket.agents.talk import is_talk, no_tools
from hocket.core.errors import AgentError
from hocket.core.events import Usage
from hocket.core.specs import AgentSpec
from hocket.core.values import Json

NOTE = "demo model (SmolLM2-135M): shows the machinery, not quality"
"""What every reply of this agent says about itself."""

CONTEXT = 2048
"""The tokens that a call may use, prompt and answer together."""

PARALLEL = 4
"""The calls that are worked on at once; more wait within the server."""

_ANSWER = 512
_LONGEST_ANSWER = 1024
# The chat template's own tokens, and those that joining a cut prompt may add.
_AROUND = 64
_JSON_BEGINS = tuple('{["-0123456789tfn')
_GAP = "\n[...]\n"

Tokens = Annotated[int, msgspec.Meta(ge=1, le=_LONGEST_ANSWER)]


class LocalOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a `local` agent.

    Fields:
        model: Which model; there is one.
        system: What the model is told before the prompt.
        temperature: 0 for the likeliest answer, up to 2 for wilder ones.
        max_tokens: The most tokens of an answer, at most 1,024. By default 512, or with an output
            schema as many as its longest answer needs.
        seed: Where chance comes from at a temperature above 0.
        threads: How many threads compute; by default one less than there are cores.
    """

    model: Literal["smollm2-135m"] = "smollm2-135m"
    system: str = ""
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] = 0.0
    max_tokens: Tokens | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] | None = None
    threads: Annotated[int, msgspec.Meta(ge=1, le=256)] | None = None


_OF_A_STEP = frozenset({"system", "temperature", "max_tokens", "seed"})


class LocalAgent:
    """Asks the embedded model.

    The weights are downloaded at the first call unless `hocket.agents.weights.fetch` was there
    before, and the child process starts then too.

    Args:
        name: The agent's name.
        spec: Its spec; the options are those of `LocalOptions`.
        state: The state folder; the child's log is kept in it.
        live: Not used.

    Raises:
        SpecError: An option is unknown or of a wrong type.
    """

    announces = True

    def __init__(self, name: str, spec: AgentSpec, *, state: Path, live: dict[str, Any]) -> None:
        self._options = read(LocalOptions, name, spec.options)
        self._log = state / "logs" / f"local-{re.sub(r'[^A-Za-z0-9_-]', '_', name)}.log"
        self._starting: asyncio.Task[Child] | None = None
        self._stop = threading.Event()
        self._learned = Learned()

    async def call(self, request: Request, context: Context) -> Reply:
        """Ask the model once.

        A prompt that is too long is cut in its middle, and the reply's notes say so.

        Raises:
            AgentError: ``permanent``: the extra is not installed, the weights' hash is wrong, the
                schema cannot be enforced, or there are tools to call; ``unavailable``: the process
                died, or the weights cannot be downloaded now; ``invalid_output``: the answer was
                cut.
            asyncio.CancelledError: The call was cancelled; the model works on it no more.
        """
        if is_talk(request.input):
            raise no_tools("the local model")
        options = override(self._options, request.options, _OF_A_STEP)
        prompt, system = prompt_of(request.input, options.system)
        size = size_of(prompt, system, request.output)
        child = await self._child(context)
        body, room = await _body(child, options, request.output)
        prompt, notes = await _squeeze(child, prompt, system, room)
        roles = (("system", system), ("user", prompt))
        body["messages"] = [{"role": role, "content": text} for role, text in roles if text]
        context.sent()
        text, finish, usage = await _answer(child, body, context)
        self._learned.note(size, usage)
        if request.output is None:
            cut = (f"answer cut at {body['max_tokens']} tokens",) if finish == "length" else ()
            return Reply(output=text, usage=usage, notes=(NOTE, *notes, *cut))
        try:
            output = _output(text, finish, request.output, body["max_tokens"])
        except AgentError as error:
            error.usage = usage
            raise
        return Reply(output=output, usage=usage, notes=(NOTE, *notes))

    def estimate(self, request: Request) -> Estimate:
        """Estimate a call; it is free, and its prompt is cut where the context ends."""
        try:
            options = override(self._options, request.options, _OF_A_STEP)
        except AgentError as error:
            return Estimate(why=error.fault.message)
        size = size_of(*prompt_of(request.input, options.system), request.output)
        most_out = options.max_tokens or (_ANSWER if request.output is None else _LONGEST_ANSWER)
        return Estimate(
            tokens_in=min(self._learned.tokens_in(size), CONTEXT - most_out),
            tokens_out=self._learned.tokens_out(most_out),
            most_tokens=CONTEXT,
            most_cost=0,
        )

    async def close(self) -> None:
        """End the child process, or the download that would come before it."""
        self._stop.set()
        starting, self._starting = self._starting, None
        if starting is None:
            return
        if not starting.done():
            starting.cancel()
        await asyncio.wait([starting])
        if not starting.cancelled() and starting.exception() is None:
            await starting.result().close()

    async def _child(self, context: Context) -> Child:
        """Give the running child; calls that come while it starts share the wait."""
        if importlib.util.find_spec("xllamacpp") is None:
            raise fault("permanent", "the local model needs an extra: pip install 'hocket[local]'")
        starting = self._starting
        if starting is None or (starting.done() and not _usable(starting)):
            starting = self._starting = asyncio.create_task(self._start(context))
        # Shielded: a call that is cancelled while it waits must not take the others along.
        return await asyncio.shield(starting)

    async def _start(self, context: Context) -> Child:
        loop = asyncio.get_running_loop()
        tenth = -1

        def progress(done: int, total: int) -> None:
            nonlocal tenth
            if done * 10 // total > tenth:
                tenth = done * 10 // total
                size = f"{done / 1e6:.0f} of {total / 1e6:.0f} MB"
                told = f"downloading {weights.SMOLLM2.title}: {size}\n"
                loop.call_soon_threadsafe(context.emit, told, "err")

        stop = self._stop = threading.Event()
        try:
            path = await asyncio.to_thread(weights.fetch, progress, stop=stop)
        except asyncio.CancelledError:
            stop.set()
            raise
        order = {
            "model": str(path),
            "parallel": PARALLEL,
            "context": CONTEXT,
            "threads": self._options.threads or max(1, (os.cpu_count() or 2) - 1),
        }
        return await Child.start(order, log=self._log)


def _usable(starting: asyncio.Task[Child]) -> bool:
    return not starting.cancelled() and starting.exception() is None and starting.result().alive


async def _body(child: Child, options: LocalOptions, schema: Json) -> tuple[dict[str, Json], int]:
    """Give the request's body without its messages, and the tokens that are left for the prompt."""
    body: dict[str, Json] = {
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": options.temperature,
        "cache_prompt": True,
    }
    if options.seed is not None:
        body["seed"] = options.seed
    most = options.max_tokens or _ANSWER
    if schema is not None:
        try:
            held = bounded(schema)
            most = min(options.max_tokens or _LONGEST_ANSWER, most_tokens(held))
        except (RecursionError, TypeError, ValueError, AttributeError) as error:
            # A schema with a text for a maxLength, say.
            _check(schema)
            raise fault("permanent", f"the output schema cannot be used: {error}") from None
        body["grammar"] = await child.grammar(held)
    most = min(most, _LONGEST_ANSWER)
    body["max_tokens"] = most
    return body, CONTEXT - most - _AROUND


def _output(text: str, finish: str, schema: Json, most: int) -> Json:
    """Read the answer that a grammar has held."""
    if finish == "length" and text[:1] in _JSON_BEGINS:
        raise fault(
            "invalid_output",
            f"the answer was cut at {most} tokens before its JSON ended;"
            " give the schema's texts a maxLength and its lists a maxItems",
            detail=text,
        )
    try:
        value = read_json(text)
    except AgentError:
        # A grammar that the server cannot compile is dropped without a word, and prose comes.
        _check(schema)
        raise fault(
            "permanent",
            "the local model cannot hold to this output schema; write it with types, properties,"
            " items, enum and bounds alone",
            detail=text,
        ) from None
    return fit(value, schema)


def _check(schema: Json) -> None:
    """Raise if a schema is wrong in itself."""
    try:
        fit(None, schema)
    except AgentError as error:
        if error.fault.kind == "permanent":
            raise


async def _squeeze(
    child: Child, prompt: str, system: str, room: int
) -> tuple[str, tuple[str, ...]]:
    """Cut the middle out of a prompt that does not fit; a token is never less than a byte."""
    size = len(system.encode())
    if size + len(prompt.encode("utf-8", "replace")) <= room:
        return prompt, ()
    room -= len(await _tokens(child, system))
    if room < 128:
        raise fault("permanent", f"the system text leaves no room in {CONTEXT} tokens for a prompt")
    # No token of this vocabulary comes near 64 characters: what lies between is cut for certain.
    side = room * 64
    head, tail = (prompt[:side], prompt[-side:]) if len(prompt) > 2 * side else (prompt, "")
    tokens = await _tokens(child, head) + await _tokens(child, tail)
    if not tail and len(tokens) <= room:
        return prompt, ()
    half = (room - 16) // 2
    kept = [await _text(child, part) for part in (tokens[:half], tokens[-half:])]
    share = 100 * (len(kept[0]) + len(kept[1])) // len(prompt)
    note = f"prompt cut in its middle to fit {CONTEXT} tokens: {share} % of it was read"
    return _GAP.join(part.strip("\ufffd") for part in kept), (note,)


async def _tokens(child: Child, text: str) -> list[int]:
    tokens: list[int] = (await child.post("/tokenize", {"content": text}))["tokens"]
    return tokens


async def _text(child: Child, tokens: list[int]) -> str:
    text: str = (await child.post("/detokenize", {"tokens": tokens}))["content"]
    return text


async def _answer(child: Child, body: dict[str, Json], context: Context) -> tuple[str, str, Usage]:
    """Read the answer while it is written; what was spent counts also when it breaks off."""
    parts: list[str] = []
    finish, usage = "", None
    try:
        async with aclosing(child.events("/v1/chat/completions", body)) as events:
            async for event in events:
                for choice in event.get("choices", ()):
                    finish = choice.get("finish_reason") or finish
                    if text := choice.get("delta", {}).get("content"):
                        parts.append(text)
                        context.emit(text)
                if counted := event.get("usage"):
                    usage = Usage(
                        tokens_in=counted["prompt_tokens"],
                        tokens_out=counted["completion_tokens"],
                        cost=0,
                    )
    finally:
        if usage is None:
            # The server sends a token an event; the prompt's were not counted yet.
            context.spend(Usage(tokens_out=len(parts), cost=0))
    return "".join(parts), finish, usage or Usage(cost=0)
