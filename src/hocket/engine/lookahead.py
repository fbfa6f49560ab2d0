"""Look-ahead in a process of its own, beside the loop: the run goes on while an order is sought.

The process is started at the first question and kept for the next ones.
Over its standard input and output go MessagePack messages, each behind its length.
It ends when the parent does, whatever it is doing then.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import sys
import threading
from collections.abc import Mapping
from typing import BinaryIO, Final

import msgspec

from hocket.agents.environment import child_environment
from hocket.core.errors import HocketError
from hocket.core.events import AnyEvent, CallStarted
from hocket.core.run import RunMachine
from hocket.core.specs import AgentSpec
from hocket.core.values import SECOND
from hocket.engine.claims import Claims
from hocket.forecast.ahead import look_ahead
from hocket.forecast.durations import Durations
from hocket.forecast.paths import ranks
from hocket.forecast.predict import predict
from hocket.forecast.search import BUDGET
from hocket.forecast.terms import Terms
from hocket.limits.claim import Claim, Entry
from hocket.workflows.plan import PlanMachine, make_plan

WORTH_IT: Final = 3 * SECOND
"""A run that is expected to end sooner than this isn't looked ahead for."""
PATIENCE: Final = 30.0
"""How long an answer is waited for, in seconds."""
_HEAD: Final = 8
_LARGEST: Final = 256 << 20
_log = logging.getLogger(__name__)


class Question(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a look-ahead is asked.

    Fields:
        events: All events of the run until now.
        at: The present instant.
        past: How long earlier calls took in nanoseconds: (plan, step, agent, samples).
        slots: How many calls of an agent may be in flight, for those agents that have a bound.
        tokens: How many tokens a call of an agent is expected to read and to write.
        held: What the limits hold, but for the run's own calls in flight.
        ranks: The present ranks of steps by path; None for longest path first.
        budget: How many events may be simulated.
        seed: Where chance comes from.
    """

    events: list[AnyEvent]
    at: int
    past: list[tuple[str, str, str, list[int]]] = []
    slots: dict[str, int] = {}
    tokens: dict[str, tuple[int, int]] = {}
    held: list[Entry] = []
    ranks: dict[str, int] | None = None
    budget: int = BUDGET
    seed: int = 0


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a look-ahead has found.

    Fields:
        finish: When the run is expected to end, by the order that is given; None if nobody knows.
        low: An instant before which it ends in one of twenty forecasts.
        high: An instant after which it ends in one of twenty forecasts.
        binds: The limit that the run waits for most, or "" for its own longest path.
        tried: How many orders were tried.
        order: The rank of steps by path, higher ones first; None to keep the present one.
        problem: Why there is no answer, if there is none.
    """

    finish: int | None = None
    low: int | None = None
    high: int | None = None
    binds: str = ""
    tried: int = 0
    order: dict[str, int] | None = None
    problem: str = ""


class LookAhead:
    """The asking side. One question is answered after the other."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def ask(self, question: Question, patience: float = PATIENCE) -> Answer | None:
        """Look ahead; None if that went wrong, which is logged: a run goes on without.

        Args:
            question: What to look at.
            patience: How long to wait for the answer, in seconds.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(patience):
                    answer = await self._ask(_encode(question))
            except TimeoutError:
                await self._end()
                _log.warning("the look-ahead took longer than %g s and was given up", patience)
                return None
            except (OSError, EOFError, msgspec.MsgspecError) as error:
                await self._end()
                _log.warning("the look-ahead failed: %s: %s", type(error).__name__, error)
                return None
            except BaseException:
                # Whoever has left early would find the wrong answer next time.
                await self._end()
                raise
        if answer.problem:
            _log.warning("the look-ahead failed: %s", answer.problem)
            return None
        return answer

    async def close(self) -> None:
        """End the process, whatever it is doing."""
        await self._end()

    async def _ask(self, message: bytes) -> Answer:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "hocket.engine.lookahead"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=child_environment(),
                # A Ctrl-C at the terminal is for the run.
                start_new_session=True,
            )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(len(message).to_bytes(_HEAD, "big") + message)
        await stdin.drain()
        length = int.from_bytes(await stdout.readexactly(_HEAD), "big")
        return msgspec.msgpack.decode(await stdout.readexactly(length), type=Answer)

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


def answer(question: Question) -> Answer:
    """Look ahead in this very process."""
    machine = RunMachine({"plan": make_plan})
    begun: dict[str, int] = {}
    for event in question.events:
        machine.apply(event)
        if isinstance(event, CallStarted):
            begun[event.call.path] = event.at
    if machine.phase not in ("running", "pausing"):
        return Answer(problem=f"the run is {machine.said}")
    workflow = machine.workflow
    if not isinstance(workflow, PlanMachine):
        return Answer(problem="only plans are looked ahead for")
    terms = _terms(machine, question)
    order: Mapping[str, int] | None = question.ranks
    if order is None:
        name, known = machine.spec.name, terms.durations
        order = ranks(
            workflow.shape, lambda path, step, agent: known.expected(name, path, step, agent)
        )
    said = predict(machine, begun, question.at, terms, order, seed=question.seed)
    if (
        said.finish is None
        or said.finish - question.at < WORTH_IT
        or 2 * said.calls > question.budget
    ):
        # So little is to be gained, or not one order could be tried.
        return Answer(finish=said.finish, low=said.low, high=said.high, binds=said.binds)
    ahead = look_ahead(
        machine,
        begun,
        question.at,
        terms,
        order,
        budget=question.budget,
        seed=question.seed,
    )
    if ahead.order is not None:
        said = predict(machine, begun, question.at, terms, ahead.order, seed=question.seed)
    return Answer(
        finish=said.finish,
        low=said.low,
        high=said.high,
        binds=said.binds,
        tried=ahead.tried,
        order=ahead.order,
    )


def _terms(machine: RunMachine, question: Question) -> Terms:
    def slots(name: str, agent: AgentSpec) -> int | None:
        return question.slots.get(name)

    claims = Claims(machine.run, machine.spec, slots)

    def claim(agent: str, uses: tuple[tuple[str, int], ...]) -> Claim:
        plain = claims.of(agent, uses)
        if agent not in question.tokens or not claims.weighs(plain):
            return plain
        read, written = question.tokens[agent]
        weighed: Claim = msgspec.structs.replace(plain, tokens_in=read, tokens_out=written)
        return weighed

    past = {(plan, step, agent): samples for plan, step, agent, samples in question.past}
    return Terms(limits=claims.limits, claim=claim, durations=Durations(past), held=question.held)


def _encode(message: Question | Answer) -> bytes:
    return msgspec.msgpack.encode(message)


# ---- in the child ----


def main() -> None:
    """Answer one question after the other until the parent is gone."""
    questions: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, questions), daemon=True).start()
    # The run and its agents come first.
    os.nice(10)
    while True:
        try:
            found = answer(msgspec.msgpack.decode(questions.get(), type=Question))
        except (HocketError, msgspec.MsgspecError, TypeError, ValueError) as error:
            found = Answer(problem=f"{type(error).__name__}: {error}")
        message = _encode(found)
        sys.stdout.buffer.write(len(message).to_bytes(_HEAD, "big") + message)
        sys.stdout.buffer.flush()


def _listen(stream: BinaryIO, questions: queue.SimpleQueue[bytes]) -> None:
    """Take questions in; with their end this process ends at once, whatever it is doing."""
    while len(head := stream.read(_HEAD)) == _HEAD:
        length = int.from_bytes(head, "big")
        if length > _LARGEST:
            break
        questions.put(stream.read(length))
    os._exit(0)


if __name__ == "__main__":
    main()
