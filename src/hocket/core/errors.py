"""Every error that Hocket raises on purpose, in one tree.

    HocketError
    ├── CallerError            you can mend it: the file, the command, the arguments
    │   ├── SpecError          what you wrote is not a runnable spec; carries its problems
    │   ├── ExprError          an expression cannot be read or evaluated
    │   ├── NotFound           no such run, step, file or name
    │   ├── LogError           another program's log cannot be read
    │   └── Refused            the request does not fit the run's present state
    ├── PeerError              something outside failed
    │   ├── AgentError         a call failed; carries a Fault that says whether to retry
    │   ├── WorkerLost         the process that did a call is gone; nobody knows how the call ended
    │   ├── JournalError       the journal cannot be written or read
    │   └── OwnershipLost      another process has taken this run over
    ├── RunFailed              the run ended without success; carries the result so far
    └── EngineBug              Hocket broke a promise; carries the story that led there

A message says what happened, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import msgspec

FaultKind: TypeAlias = Literal[
    "failed",
    "timeout",
    "unavailable",
    "rate_limited",
    "invalid_output",
    "permanent",
    "lost",
    "over_budget",
]
"""Why a call failed.

failed: the agent's own failure: an exception, an exit status other than 0, death by signal.
timeout: the call outlived its step's ``timeout``.
unavailable: no connection, a server error; the same call may succeed later.
rate_limited: refused for now; costs no try.
invalid_output: an answer came but does not fit the step's ``output``.
permanent: repeating cannot help: a bad key, an unknown model, a missing program.
lost: the process that ran the call died, and nobody knows how the call ended.
over_budget: the call was not made, because its budget does not hold the most that it may cost.
"""


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a call failed, as it stands in the journal.

    Fields:
        kind: One of `FaultKind`.
        message: One line for a person.
        detail: More for whoever debugs: a traceback, the end of stderr. At most 4,000 characters.
        retry_after: Nanoseconds that the peer asked us to wait, if it did.
        final: Whether fallbacks are of no use either.
    """

    kind: FaultKind
    message: str
    detail: str = ""
    retry_after: int | None = None
    final: bool = False


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with a spec, before anybody knows its line.

    Fields:
        where: The path of keys to the culprit, as in ``("steps", "api", "needs", 0)``.
        message: What is wrong, in words.
        hint: What to write instead, or "".
        offset: The character within the text at `where`, if the problem is inside a text.
    """

    where: tuple[str | int, ...]
    message: str
    hint: str = ""
    offset: int | None = None


class HocketError(Exception):
    """The base of all errors that Hocket raises on purpose; never raised itself."""


class CallerError(HocketError):
    """You can mend this: it lies in the file, the command or the arguments."""


class PeerError(HocketError):
    """Something outside Hocket failed: an agent, the disk, another process."""


class SpecError(CallerError):
    """What you wrote is not a runnable spec.

    Attributes:
        problems: Every problem found, in the order of the file.
        lines: The problems as ``file:line:column: message`` lines, ready to print.
    """

    def __init__(self, problems: Sequence[Problem], lines: Sequence[str] | None = None) -> None:
        self.problems = tuple(problems)
        self.lines = tuple(lines) if lines is not None else tuple(map(problem_line, problems))
        super().__init__("\n".join(self.lines))


class ExprError(CallerError):
    """An expression or a template cannot be read, or asks for what is not there.

    Attributes:
        offset: The character at which it fails.
    """

    def __init__(self, message: str, offset: int = 0, hint: str = "") -> None:
        self.offset = offset
        self.hint = hint
        super().__init__(message)


class NotFound(CallerError):
    """There is no run, step, file or agent of that name."""


class LogError(CallerError):
    """Another program's log cannot be read: it is broken, cut off, or no such log.

    Attributes:
        problem: What is wrong.
        hint: What to do, or "".
        file: The file, or "" if nobody knows it yet.
        line: The line of the first place that cannot be read, from 1; 0 if it is about the whole.
        column: The character in that line, from 1.
        cut: Whether the text ends too early, and all before that could be read.
    """

    def __init__(
        self,
        problem: str,
        *,
        hint: str = "",
        file: str = "",
        line: int = 0,
        column: int = 0,
        cut: bool = False,
    ) -> None:
        self.problem = problem
        self.hint = hint
        self.file = file
        self.line = line
        self.column = column
        self.cut = cut
        place = ([file] if file else []) + ([f"{line}:{column}"] if line else [])
        said = [":".join(place)] if place else []
        super().__init__(": ".join([*said, problem]) + (f"; {hint}" if hint else ""))

    def within(self, file: str) -> LogError:
        """Give the same error with the name of its file, unless it has one."""
        return LogError(
            self.problem,
            hint=self.hint,
            file=self.file or file,
            line=self.line,
            column=self.column,
            cut=self.cut,
        )


class Refused(CallerError):
    """The request does not fit the run's present state, or would lose something."""


class AgentError(PeerError):
    """Raised by an agent whose call failed.

    Attributes:
        fault: Why, and whether to retry.
        usage: What the failed call spent all the same, or None.
    """

    def __init__(self, fault: Fault, usage: object = None) -> None:
        self.fault = fault
        self.usage = usage
        super().__init__(f"{fault.kind}: {fault.message}")


class WorkerLost(PeerError):
    """The process that did a call died, or its machine did: nobody knows how the call ended."""


class JournalError(PeerError):
    """The journal cannot be written or read; nothing acknowledged was lost."""


class OwnershipLost(PeerError):
    """Another process has taken this run over; this one must stop and append nothing."""


class RunFailed(HocketError):
    """The run ended without success.

    Attributes:
        result: What the run has so far; its finished steps are there.
    """

    def __init__(self, message: str, result: object) -> None:
        self.result = result
        super().__init__(message)


class EngineBug(HocketError):
    """Hocket broke one of its own promises: please report it with the story.

    Attributes:
        story: The last events that concern the path in question, oldest first.
    """

    def __init__(self, message: str, story: Sequence[object] = ()) -> None:
        self.story = tuple(story)
        told = "".join(f"\n  {event!r}" for event in self.story)
        super().__init__(f"{message}; this is a bug in Hocket{told}")


def suggest(word: str, known: Iterable[str]) -> str:
    """Say which known word may have been meant, as ``did you mean 'spec'?``, or ""."""
    # Most programs never need it, and it takes a while to come.
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""


def problem_line(problem: Problem) -> str:
    """Write a problem on one line: ``steps.api.needs.0: unknown step 'spce'; did you …``."""
    where = ".".join(map(str, problem.where)) or "spec"
    hint = f"; {problem.hint}" if problem.hint else ""
    return f"{where}: {problem.message}{hint}"
