"""Python functions as agents: ``async def`` on the loop, others in a thread or in a process.

The way of a plain ``async def`` is kept to a few microseconds: all that depends on the function
alone is found out once.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from hocket.agents.arguments import Signature, find_function, read_signature
from hocket.agents.base import Context, Reply, Request
from hocket.agents.output import File, fault, fit, to_json
from hocket.agents.settings import override, read
from hocket.agents.talk import is_talk, no_tools
from hocket.agents.workers import Threads, Workers, failure, invoke
from hocket.core.errors import AgentError, Problem, SpecError
from hocket.core.events import Usage
from hocket.core.people import Consent
from hocket.core.specs import AgentSpec
from hocket.core.values import FileRef, Json, digest
from hocket.limits.claim import Quota

__all__ = ["File", "FunctionAgent", "FunctionOptions"]

Mode = Literal["auto", "thread", "process"]


class FunctionOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a function.

    Fields:
        ref: ``module:qualname``, imported at the first call unless the program handed it over.
        mode: ``auto`` awaits an ``async def`` on the loop and runs others in a thread;
            ``process`` is for CPU work, and what it does can be killed.
    """

    ref: str
    mode: Mode = "auto"


class _Prepared(msgspec.Struct, frozen=True, gc=False):
    """What is known of a function: itself, where it runs, what it takes."""

    function: Callable[..., Any]
    on_loop: bool
    in_process: bool
    signature: Signature
    direct: bool


class FunctionAgent:
    """Calls a Python function.

    The request's input is a dict of keyword arguments, a list of positional ones, None for none,
    or else the only argument.
    Arguments whose annotation is not plain JSON, as a pydantic model, a dataclass or a date, are
    converted; a parameter annotated `Context` gets the context; for a `Path` a stored file is
    fetched.
    What it returns becomes JSON; a `File` in it is stored.

    A function in a thread cannot be killed: when such a call is cancelled the thread goes on to its
    end, and what it gives is dropped. Use ``mode: process`` where that matters.
    A function in a process, its arguments and its result must be picklable, and it gets no context.

    Raises:
        SpecError: An option is wrong, or the function that was handed over cannot be an agent.
    """

    def __init__(self, name: str, spec: AgentSpec, *, state: Path, live: dict[str, Any]) -> None:
        self._name = name
        self._live = live
        self._options = read(FunctionOptions, name, spec.options)
        ref = self._options.ref
        module, _, qualname = ref.partition(":")
        if ref not in live and not (module and qualname):
            hint = "write it as 'module:name', as in 'tools.git:scan'"
            where = ("agents", name, "ref")
            raise SpecError([Problem(where=where, message=f"{ref!r} names no function", hint=hint)])
        self._threads = Threads(name)
        self._workers = Workers(name, os.cpu_count() or 1)
        self._prepared: _Prepared | None = None
        self._others: dict[FunctionOptions, _Prepared] = {}
        if ref in live:
            try:
                self._prepared = _prepare(ref, live[ref], self._options.mode)
            except AgentError as error:
                problem = Problem(where=("agents", name, "ref"), message=error.fault.message)
                raise SpecError([problem]) from None

    async def call(self, request: Request, context: Context) -> Reply:
        """Call the function.

        Raises:
            AgentError: ``failed`` for what it raised, with the traceback; ``permanent`` for
                arguments that do not fit, and for a result that is not JSON; ``invalid_output``
                for a result that does not fit the step's schema.
        """
        prepared = self._prepared
        if prepared is None or request.options:
            prepared = await self._prepare(request.options)
        given = request.input
        if type(given) is dict:
            if is_talk(given):
                raise no_tools("a function")
            args: tuple[Json, ...] = ()
            kwargs = _own(given)
        else:
            args = () if given is None else tuple(_own(given if type(given) is list else [given]))
            kwargs = {}
        try:
            if prepared.direct:
                value = await prepared.function(*args, **kwargs)
            else:
                value = await self._indirect(prepared, args, kwargs, context)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancelled this call: the function awaited something that was.
            raise failure(error) from None
        except AgentError:
            raise
        except (Exception, SystemExit) as error:
            raise failure(error) from error
        files: list[File] = []
        output = to_json(value, files.append)
        if files:
            output = await _with_files(value, files, context)
        if request.output is not None:
            fit(output, request.output)
        return Reply(output=output)

    def content(self) -> str | None:
        """Name a function that the program handed over by its source.

        None if it may give something else for other reasons: a closure, or an object's method.
        One that is imported is named by its reference alone.
        """
        if self._options.ref not in self._live:
            return ""
        function = self._live[self._options.ref]
        if inspect.ismethod(function) or getattr(function, "__closure__", None):
            return None
        try:
            return digest(inspect.getsource(function).encode())
        except (OSError, TypeError):
            return None

    async def close(self) -> None:
        """End the processes, and let the threads go."""
        await self._workers.close()
        self._threads.close()

    async def _prepare(self, changes: dict[str, Json]) -> _Prepared:
        options = override(self._options, changes, frozenset({"mode"}))
        known = self._others.get(options)
        if known is not None:
            return known
        ref = options.ref
        if ref in self._live:
            found = self._live[ref]
        else:
            # An import may take seconds, which the loop does not have.
            found = await self._threads.run(functools.partial(find_function, ref))
        prepared = _prepare(ref, found, options.mode)
        self._others[options] = prepared
        if options == self._options:
            self._prepared = prepared
        return prepared

    async def _indirect(
        self,
        prepared: _Prepared,
        args: tuple[Json, ...],
        kwargs: dict[str, Json],
        context: Context,
    ) -> Any:
        given: Context = context
        if not prepared.on_loop and prepared.signature.context:
            given = _ThreadContext(context, asyncio.get_running_loop())
        if not prepared.signature.plain:
            args, kwargs = await prepared.signature.bind(args, kwargs, given)
        if prepared.on_loop:
            return await prepared.function(*args, **kwargs)
        if prepared.in_process:
            ok, value = await self._workers.run(_job(prepared.function, args, kwargs))
        else:
            work = functools.partial(invoke, prepared.function, args, kwargs)
            ok, value = await self._threads.run(work)
        if not ok:
            raise value
        # A plain function may hand out a coroutine of another: it is awaited where such belong.
        return await value if inspect.isawaitable(value) else value


def _prepare(ref: str, function: Any, mode: Mode) -> _Prepared:
    if not callable(function):
        raise fault("permanent", f"{ref!r} is a {type(function).__name__}, which cannot be called")
    called = function if inspect.isroutine(function) else type(function).__call__
    if any(
        test(one)
        for test in (inspect.isgeneratorfunction, inspect.isasyncgenfunction)
        for one in (function, called)
    ):
        raise fault("permanent", f"{ref!r} is a generator; return a list instead")
    on_loop = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)
    if on_loop and mode != "auto":
        raise fault("permanent", f"{ref!r} is async, and mode {mode!r} is for plain functions")
    signature = read_signature(function)
    if mode == "process" and signature.context:
        raise fault("permanent", f"{ref!r} takes a Context, which cannot enter another process")
    return _Prepared(function, on_loop, mode == "process", signature, on_loop and signature.plain)


def _own(given: Any) -> Any:
    """Copy what a function might change: what it gets is also what other steps see."""
    for value in given.values() if type(given) is dict else given:
        kind = type(value)
        if kind is dict or kind is list:
            return msgspec.to_builtins(given)
    return given


def _job(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    try:
        return pickle.dumps((function, args, kwargs))
    except Exception as error:
        raise fault(
            "permanent", f"the function or its arguments cannot enter another process: {error}"
        ) from None


async def _with_files(value: Any, files: list[File], context: Context) -> Json:
    """Store each file, and write the value again with the references in place."""
    stored: dict[int, Json] = {}
    for file in files:
        if id(file) not in stored:
            ref = await context.store(file.path, file.name)
            stored[id(file)] = msgspec.to_builtins(ref)
    return to_json(value, lambda file: stored[id(file)])


class _ThreadContext:
    """The context as another thread may use it: everything happens on the loop."""

    def __init__(self, context: Context, loop: asyncio.AbstractEventLoop) -> None:
        self._context = context
        self._loop = loop

    @property
    def hard(self) -> bool:
        return self._context.hard

    def emit(self, text: str, stream: str = "out") -> None:
        self._soon(self._context.emit, text, stream)

    def spend(self, usage: Usage) -> None:
        self._soon(self._context.spend, usage)

    def sent(self, ago: int = 0) -> None:
        self._soon(self._context.sent, ago)

    def told(self, quotas: Sequence[Quota]) -> None:
        self._soon(self._context.told, quotas)

    def _soon(self, report: Callable[..., None], *what: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(report, *what)
        except RuntimeError:
            # The loop is closed: a thread that outlived its call tells nobody.
            return

    async def store(self, path: Path, name: str) -> FileRef:
        there = asyncio.run_coroutine_threadsafe(self._context.store(path, name), self._loop)
        return await asyncio.wrap_future(there)

    async def fetch(self, ref: FileRef) -> Path:
        there = asyncio.run_coroutine_threadsafe(self._context.fetch(ref), self._loop)
        return await asyncio.wrap_future(there)

    async def ask(self, shown: str) -> Consent:
        there = asyncio.run_coroutine_threadsafe(self._context.ask(shown), self._loop)
        return await asyncio.wrap_future(there)
