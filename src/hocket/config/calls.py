"""How a plan calls agents and functions: the signatures that carry types from step to step.

A type checker has no other way to tell that a handle may stand for each argument, nor that what an
``async def`` gives is what it is awaited for; hence one signature for each number of arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar, Unpack, overload

from hocket.config.agent import Agent
from hocket.config.draft import Draft, output_schema, retry_of
from hocket.config.functions import by_name
from hocket.config.handles import Arg, Handle, Ref, Step
from hocket.config.told import Call, Work

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
T = TypeVar("T")
O_ = TypeVar("O_")
P = TypeVar("P")


class Calls:
    """The part of a plan that calls agents and functions; see `hocket.config.builder.Plan`."""

    _draft: Draft

    @overload
    def step(
        self, name: str, agent: Agent[O_], prompt: Any = ..., *after: Handle, **told: Unpack[Work]
    ) -> Step[O_]: ...
    @overload
    def step(
        self,
        name: str,
        agent: Agent[Any],
        prompt: Any = ...,
        *after: Handle,
        output: type[P],
        **told: Unpack[Work],
    ) -> Step[P]: ...
    @overload
    def step(
        self,
        name: str,
        agent: Agent[O_],
        prompt: Any = ...,
        *after: Handle,
        each: str | Handle,
        **told: Unpack[Work],
    ) -> Step[list[O_]]: ...
    def step(
        self, name: str, agent: Agent[Any], prompt: Any = None, *after: Handle, **told: Any
    ) -> Step[Any]:
        """Ask an agent.

        Args:
            name: What the step is called.
            agent: Who does it.
            prompt: What the agent gets: a text, or for a command and a function what they take.
                ``{{step.field}}`` in texts becomes that value, and so do handles.
            after: Handles of steps that must have succeeded.
            told: See `Work`; besides, the type of the `output` if it is not the agent's, and
                a list `each` for whose items to do the step.

        Raises:
            SpecError: There is such a step, or something does not fit.
        """
        output = told.pop("output", None)
        schema = agent.schema if output is None else output_schema(output)
        if told.get("retry") is None:
            told["retry"] = retry_of(agent)
        who = self._draft.agent(name, agent)
        kind = agent.output if output is None else output
        return self._draft.add(name, kind, told, prompt, after, agent=who, output=schema)

    @overload
    def call(
        self,
        name: str,
        fn: Callable[[], Coroutine[Any, Any, T]],
        /,
        **told: Unpack[Call],
    ) -> Step[T]: ...
    @overload
    def call(
        self,
        name: str,
        fn: Callable[[], T],
        /,
        **told: Unpack[Call],
    ) -> Step[T]: ...
    @overload
    def call(
        self,
        name: str,
        fn: Callable[[A], Coroutine[Any, Any, T]],
        a: Arg[A],
        /,
        **told: Unpack[Call],
    ) -> Step[T]: ...
    @overload
    def call(
        self,
        name: str,
        fn: Callable[[A], T],
        a: Arg[A],
        /,
        **told: Unpack[Call],
    ) -> Step[T]: ...
    @overload
    def call(
        self,
        name: str,
        fn: Callable[[A, B], Coroutine[Any, Any, T]],
        a: Arg[A],
        b: Arg[B],
        /,
        **told: Unpack[Call],
    ) -> Step[T]: ...
    @overload
    def call(
        self,
        name: str,
        fn: Callable[[A, B], T],
        a: Arg[A],
        b: Arg[B],
        /,
        **told: Unpack[Call],
    ) -> Step[T]: ...
    @overload
    def call(
        self,
        name: str,
        fn: Callable[[A, B, C], Coroutine[Any, Any, T]],
        a: Arg[A],
        b: Arg[B],
        c: Arg[C],
        /,
        **told: Unpack[Call],
    ) -> Step[T]: ...
    @overload
    def call(
        self,
        name: str,
        fn: Callable[[A, B, C], T],
        a: Arg[A],
        b: Arg[B],
        c: Arg[C],
        /,
        **told: Unpack[Call],
    ) -> Step[T]: ...
    @overload
    def call(
        self,
        name: str,
        fn: Callable[[A, B, C, D], Coroutine[Any, Any, T]],
        a: Arg[A],
        b: Arg[B],
        c: Arg[C],
        d: Arg[D],
        /,
        **told: Unpack[Call],
    ) -> Step[T]: ...
    @overload
    def call(
        self,
        name: str,
        fn: Callable[[A, B, C, D], T],
        a: Arg[A],
        b: Arg[B],
        c: Arg[C],
        d: Arg[D],
        /,
        **told: Unpack[Call],
    ) -> Step[T]: ...
    @overload
    def call(
        self,
        name: str,
        fn: Callable[[A, B, C, D, E], Coroutine[Any, Any, T]],
        a: Arg[A],
        b: Arg[B],
        c: Arg[C],
        d: Arg[D],
        e: Arg[E],
        /,
        **told: Unpack[Call],
    ) -> Step[T]: ...
    @overload
    def call(
        self,
        name: str,
        fn: Callable[[A, B, C, D, E], T],
        a: Arg[A],
        b: Arg[B],
        c: Arg[C],
        d: Arg[D],
        e: Arg[E],
        /,
        **told: Unpack[Call],
    ) -> Step[T]: ...
    @overload
    def call(
        self,
        name: str,
        fn: Callable[[A, B, C, D, E, F], Coroutine[Any, Any, T]],
        a: Arg[A],
        b: Arg[B],
        c: Arg[C],
        d: Arg[D],
        e: Arg[E],
        f: Arg[F],
        /,
        **told: Unpack[Call],
    ) -> Step[T]: ...
    @overload
    def call(
        self,
        name: str,
        fn: Callable[[A, B, C, D, E, F], T],
        a: Arg[A],
        b: Arg[B],
        c: Arg[C],
        d: Arg[D],
        e: Arg[E],
        f: Arg[F],
        /,
        **told: Unpack[Call],
    ) -> Step[T]: ...
    def call(self, name: str, fn: Callable[..., Any], /, *args: Any, **told: Any) -> Step[Any]:
        """Call a Python function, sync or async, with values and handles as its arguments.

        Args:
            name: What the step is called.
            fn: The function, at the top of a module.
            args: Its arguments; a handle stands for its value, and is a dependency.
            told: See `Call`; arguments that are given by name stand in ``kwargs``.

        Raises:
            SpecError: There is such a step, or something does not fit.
        """
        kwargs = told.pop("kwargs", None)
        agent = self._draft.function(name, fn, told)
        given: Any = list(args) if args else None
        if kwargs:
            given = by_name(name, fn, args, dict(kwargs))
        return self._draft.add(name, fn, told, given, agent=agent)

    @overload
    def map(
        self,
        name: str,
        fn: Agent[O_],
        over: Handle | str,
        prompt: Any = ...,
        /,
        **told: Unpack[Work],
    ) -> Step[list[O_]]: ...
    @overload
    def map(
        self,
        name: str,
        fn: Callable[[A], Coroutine[Any, Any, T]],
        over: Step[Sequence[A]] | Ref[Sequence[A]] | str,
        /,
        **told: Unpack[Call],
    ) -> Step[list[T]]: ...
    @overload
    def map(
        self,
        name: str,
        fn: Callable[[A], T],
        over: Step[Sequence[A]] | Ref[Sequence[A]] | str,
        /,
        **told: Unpack[Call],
    ) -> Step[list[T]]: ...
    @overload
    def map(
        self,
        name: str,
        fn: Callable[[A, B], Coroutine[Any, Any, T]],
        over: Step[Sequence[A]] | Ref[Sequence[A]] | str,
        b: Arg[B],
        /,
        **told: Unpack[Call],
    ) -> Step[list[T]]: ...
    @overload
    def map(
        self,
        name: str,
        fn: Callable[[A, B], T],
        over: Step[Sequence[A]] | Ref[Sequence[A]] | str,
        b: Arg[B],
        /,
        **told: Unpack[Call],
    ) -> Step[list[T]]: ...
    @overload
    def map(
        self,
        name: str,
        fn: Callable[[A, B, C], Coroutine[Any, Any, T]],
        over: Step[Sequence[A]] | Ref[Sequence[A]] | str,
        b: Arg[B],
        c: Arg[C],
        /,
        **told: Unpack[Call],
    ) -> Step[list[T]]: ...
    @overload
    def map(
        self,
        name: str,
        fn: Callable[[A, B, C], T],
        over: Step[Sequence[A]] | Ref[Sequence[A]] | str,
        b: Arg[B],
        c: Arg[C],
        /,
        **told: Unpack[Call],
    ) -> Step[list[T]]: ...
    def map(
        self, name: str, fn: Any, over: Handle | str, /, *args: Any, **told: Any
    ) -> Step[list[Any]]:
        """Do a step for each item of a list, in parallel; its output is the list of outputs.

        Args:
            name: What the step is called.
            fn: A function that gets the item first, or an agent, whose prompt has it as
                ``{{item}}``.
            over: A handle of the list, or an expression.
            args: Further arguments of the function, or the agent's prompt.
            told: See `Call` and `Work`.
        """
        told["each"] = over
        item: Ref[Any] = Ref(self, "item")
        if isinstance(fn, Agent):
            return self.step(name, fn, args[0] if args else item, **told)
        return self.call(name, fn, item, *args, **told)
