"""The `session` agent: a coding agent whose process stays warm from call to call.

Every call has a session of its own: nothing of another call's conversation is in it.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from hocket.agents.base import Context, Reply, Request
from hocket.agents.environment import child_environment, environment_problems
from hocket.agents.faults import secrets_of
from hocket.agents.output import fault, fit, read_json
from hocket.agents.session_acp import Acp
from hocket.agents.session_claude import Claude, ClaudeOnce
from hocket.agents.session_codex import Codex, CodexOnce
from hocket.agents.session_job import Answer, Job, Made
from hocket.agents.session_options import SessionOptions, sizes
from hocket.agents.session_place import Change, Place
from hocket.agents.session_pool import Pool
from hocket.agents.session_pools import SessionPools
from hocket.agents.session_turn import run_turn
from hocket.agents.session_worker import Order, Worker
from hocket.agents.settings import override, prompt_of, read
from hocket.agents.talk import is_talk, no_tools
from hocket.core.errors import AgentError, Problem, SpecError
from hocket.core.specs import AgentSpec
from hocket.core.values import SECOND, Json, canonical, digest, parse_duration

_MADE: Final[dict[str, tuple[Made, Made | None]]] = {
    "claude": (Claude, ClaudeOnce),
    "codex": (Codex, CodexOnce),
    "acp": (Acp, None),
}
"""How each kind is talked to while it stays, and how when it is started for one call."""

_QUIET: Final = {"claude": {"DISABLE_AUTOUPDATER": "1"}}
"""What a kind is told by its environment: a program that stays must not replace itself."""

_OF_A_STEP: Final = frozenset({"system"})
_AS_JSON: Final = "Reply with JSON alone, without any prose, that fits this JSON Schema:"
_TRIES: Final = 2
"""How many processes are tried until one has a fresh session; nothing has been sent by then."""


class SessionAgent:
    """Asks Claude Code, Codex or an agent of the Agent Client Protocol.

    Args:
        name: The agent's name.
        spec: Its spec; the options are those of `SessionOptions`.
        state: The state folder; working folders are made below it.
        live: Not used.
        pools: The pools of the engine; without them the agent has its own.

    Attributes:
        pools: The pools of its processes.

    Raises:
        SpecError: An option is unknown, or wrong.
    """

    announces = True

    def __init__(
        self,
        name: str,
        spec: AgentSpec,
        *,
        state: Path,
        live: dict[str, Any],
        pools: SessionPools | None = None,
    ) -> None:
        self._name = name
        self._options = read(SessionOptions, name, spec.options)
        problems = _problems(("agents", name), self._options)
        if problems:
            raise SpecError(problems)
        self._state = state
        self.pools = SessionPools() if pools is None else pools
        self._shared = pools is not None

    async def call(self, request: Request, context: Context) -> Reply:
        """Ask once, in a session that knows nothing of others.

        Raises:
            AgentError: ``failed``: the process died or misbehaved, or the turn failed;
                ``timeout``: it said nothing for too long; ``permanent``: it cannot be started as
                asked, or is not logged in; ``unavailable``, ``rate_limited``: its provider is;
                ``invalid_output``: JSON was wanted.
            asyncio.CancelledError: The call was cancelled, and nothing works on it any more.
        """
        if is_talk(request.input):
            raise no_tools("a session")
        options = override(self._options, request.options, _OF_A_STEP)
        prompt, system = prompt_of(request.input, options.system)
        schema = _wanted(request.output, self._options.worktree)
        if schema is not None:
            prompt = f"{prompt}\n\n{_AS_JSON}\n{msgspec.json.encode(schema).decode()}"
        ask = _Ask(prompt, "" if system == self._options.system else system, schema, context)
        pool = self._pool()
        for tries_left in reversed(range(_TRIES)):
            reply = await self._try(pool, ask, request, again=tries_left > 0)
            if reply is not None:
                return reply
        raise AssertionError("the last try gives a reply or raises")

    async def _try(self, pool: Pool, ask: _Ask, request: Request, again: bool) -> Reply | None:
        """Have the call done by a process; None if that has no fresh session, if `again` is set."""
        worker = await pool.lease()
        try:
            place = worker.place or Place(self._options, self._state)
            try:
                if worker.place is None:
                    await place.make()
                permissions = self._options.permissions
                job = Job(ask.prompt, ask.system, place.path, permissions, ask.context)
                if not await _fresh(worker, job, again):
                    return None
                ask.context.sent()
                answer = await run_turn(pool, worker, job)
                name = f"{request.run}/{request.call}"
                return await _reply(answer, job, place, ask.schema, _branch(name))
            finally:
                if worker.place is None:
                    await pool.finish(place.drop())
        finally:
            pool.give_back(worker)

    def content(self) -> None:
        """Nobody can tell what a coding agent finds in its folder: no answer of it is kept."""

    async def close(self) -> None:
        """End the processes, if nobody shares them."""
        if not self._shared:
            await self.pools.close()

    def _pool(self) -> Pool:
        options = self._options
        own = {**_QUIET.get(options.session, {}), **options.env}
        env = child_environment(own, options.env_pass)
        key = digest(canonical([options, env, str(self._state)]))
        processes, turns = sizes(msgspec.structs.asdict(options))
        warm, once = _MADE[options.session]
        order = Order(
            agent=self._name,
            options=options,
            processes=processes,
            turns=turns,
            warm=warm,
            once=once,
            # Codex and ACP have a folder for each session; Claude Code has that of its process.
            place=options.session == "claude",
            env=env,
            secrets=secrets_of(*(env.get(name) for name in options.env_pass)),
            state=self._state,
            max_age=_seconds(options.max_age),
            idle=_seconds(options.idle),
            silence=_seconds(options.silence),
            grace=_seconds(options.grace),
        )
        pool: Pool = self.pools.pool(key, lambda: Pool(order))
        return pool


class _Ask(NamedTuple):
    """What is asked, whoever does it.

    Fields:
        prompt: The prompt, with what is said of the answer's shape.
        system: What this call is told before, if it is not what the agent is always told.
        schema: What the answer must fit.
        context: What the engine lends.
    """

    prompt: str
    system: str
    schema: Json
    context: Context


async def _fresh(worker: Worker, job: Job, again: bool) -> bool:
    """Have a new session; tell whether there is one, if another process may be tried instead."""
    try:
        if worker.place is not None and worker.jobs:
            await worker.place.renew()
        await worker.driver.fresh(job)
    except asyncio.CancelledError:
        # It may be anywhere between two sessions.
        worker.tired = True
        raise
    except AgentError as error:
        worker.tired = worker.broken = True
        if not again or error.fault.kind == "permanent":
            raise
        return False
    return True


async def _reply(answer: Answer, job: Job, place: Place, schema: Json, branch: str) -> Reply:
    try:
        change = await place.change(branch)
        text: Json = answer.text if schema is None else fit(read_json(answer.text), schema)
    except AgentError as error:
        error.usage = answer.usage
        raise
    if change is None:
        return Reply(output=text, usage=answer.usage, notes=tuple(job.notes))
    notes = (*job.notes, *_told(change))
    return Reply(output={"text": text, "diff": change.diff}, usage=answer.usage, notes=notes)


def _told(change: Change) -> list[str]:
    if not change.files:
        return ["nothing was changed in the worktree"]
    where = f", kept as branch {change.branch}" if change.branch else ""
    notes = [f"files changed in the worktree: {change.files}{where}"]
    if change.cut:
        notes.append("the diff is too long and was cut: it cannot be applied")
    return notes


def _branch(name: str) -> str:
    """Make of a call's name what git takes for a branch's."""
    return re.sub(r"[^A-Za-z0-9/_-]+", "-", name).strip("-/")


def _wanted(schema: Json, worktree: bool) -> Json:
    """Give what the answer itself must fit; beside it stands the diff of a worktree."""
    if schema is None or not worktree:
        return schema
    parts = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(parts, dict) or parts.keys() != {"text", "diff"}:
        raise fault("permanent", "the output of a session with a worktree is {text: …, diff: …}")
    inner = parts["text"]
    if not inner:
        return None
    return {**inner, "$defs": schema["$defs"]} if "$defs" in schema else inner


def _seconds(duration: str | int | float) -> float:
    return parse_duration(duration) / SECOND


def _problems(where: tuple[str, ...], options: SessionOptions) -> list[Problem]:
    """Find what is wrong with options whose types are right."""
    problems = environment_problems(where, options.env, options.env_pass)

    def wrong(key: str, message: str, hint: str = "") -> None:
        problems.append(Problem(where=(*where, key), message=message, hint=hint))

    if options.session == "acp" and not options.command:
        hint = 'as in command: ["opencode", "acp"]'
        wrong("command", "an ACP agent is named by its command", hint)
    if options.session == "acp" and options.model:
        wrong("model", "ACP has no way to choose a model", "say it by args or env")
    if options.session == "claude" and options.turns not in (None, 1):
        wrong("turns", "Claude Code does one turn at a time", "set pool for more processes")
    if options.session == "acp" and options.one_shot == "always":
        wrong("one_shot", "ACP has no one-shot form", "max_jobs: 1 starts a process for each call")
    if options.branch is not None and not options.worktree:
        wrong("branch", "a branch is kept of a worktree alone", "set worktree: true")
    if any(part == "" for part in options.command[:1]):
        wrong("command", "the command is empty")
    for key in ("max_age", "idle", "silence", "grace"):
        try:
            parse_duration(getattr(options, key))
        except ValueError as error:
            wrong(key, str(error))
    return problems
