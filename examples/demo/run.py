"""Runs the plan beside this file over a git repository, and says what was made and what it took.

    python examples/demo/run.py [REPO]

It does what `hocket run` does, and three things that need a program: it finds the repository, it
answers the plan's question by itself (without --ask), and it adds up times from the run's journal.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from hocket import Engine, HocketError, Result, Run
from hocket.app.load import find_functions_beside, load_plan
from hocket.app.needs import missing
from hocket.cli.drive import Display, choose, exit_status, make_display
from hocket.cli.weights import fetch_weights
from hocket.core.errors import AgentError, CallerError, Refused
from hocket.core.events import (
    ApprovalAsked,
    ApprovalGiven,
    CallCancelled,
    CallFailed,
    CallFinished,
    CallStarted,
    Recorded,
)
from hocket.core.specs import AgentSpec, RunSpec
from hocket.core.values import SECOND
from hocket.report.text import clean, table

HERE = Path(__file__).resolve().parent
BY = "the demo itself"

EXIT_USAGE = 2
EXIT_UNREACHABLE = 5
EXIT_INTERRUPTED = 130


class Unusable(Exception):
    """What was asked for cannot be done; the message says why."""


def main() -> int:
    options = read_options()
    try:
        return demo(options)
    except (Unusable, CallerError) as error:
        return said(error, EXIT_USAGE)
    except AgentError as error:
        said(error, EXIT_UNREACHABLE)
        if error.fault.kind == "unavailable":
            print("Without a model: run.py --agent scripted", file=sys.stderr)
        return EXIT_UNREACHABLE
    except HocketError as error:
        return said(error, EXIT_UNREACHABLE)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Runs a plan of twelve steps over the history of a git repository."
    )
    parser.add_argument(
        "repo", nargs="?", default=HERE, type=Path, help="the repository; by default Hocket's own"
    )
    parser.add_argument(
        "--commits", type=positive, default=12, metavar="N", help="how many to read one by one"
    )
    parser.add_argument(
        "--window", type=positive, default=200, metavar="N", help="how many to count over"
    )
    parser.add_argument(
        "--agent",
        choices=["local", "scripted"],
        default="local",
        help="who labels commits: the local model, or for tests a script without any model",
    )
    parser.add_argument("--ask", action="store_true", help="leave the plan's question to you")
    parser.add_argument("--out", type=Path, default=HERE / "out", help="folder of the report")
    return parser.parse_args()


def positive(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError("a number from 1 to 1000")
    return int(text)


def said(error: Exception, status: int) -> int:
    print(f"demo: {clean(str(error))}", file=sys.stderr)
    return status


def demo(options: argparse.Namespace) -> int:
    state = Path(os.environ.get("HOCKET_HOME") or HERE / ".hocket").expanduser().absolute()
    spec = load_plan(HERE / "hocket.yaml")
    inputs: dict[str, Any] = {
        "commits": options.commits,
        "window": options.window,
        "folder": folder(options.out),
    }
    if options.agent == "scripted":
        spec = scripted(spec)
        inputs["reader"] = "a script (no model)"
    if lacks := missing(spec):
        raise Unusable("\n".join(lacks))
    inputs |= repository(options.repo)
    print(f"repository  {inputs['git_dir']}")
    print(f"plan        {shown(HERE / 'hocket.yaml')}, {len(spec.workflow.steps)} steps")
    print(f"state       {shown(state)}")
    began = time.monotonic()
    fetch_weights(spec)
    find_functions_beside(spec.source)
    if (took := time.monotonic() - began) > 1:
        print(f"The model was fetched in {took:.0f} s; the next time it is there.")
    sys.stdout.flush()
    return asyncio.run(run(spec, inputs, state, ask=options.ask))


def scripted(spec: RunSpec) -> RunSpec:
    """Put a script in the model's place: what it says depends on nothing."""
    note = {"kind": "other", "headline": "scripted: nobody has read this commit"}
    reader = AgentSpec(kind="scripted", options={"replies": [{"output": note}]})
    return msgspec.structs.replace(spec, agents={**spec.agents, "reader": reader})


# ---- what goes in ----


def folder(path: Path) -> str:
    """Make the report's folder now, and not find out at the end that it cannot be.

    Raises:
        Unusable: It cannot be made, or not be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unusable(f"cannot make the folder {str(path)!r}: {error.strerror}") from None
    if not os.access(path, os.W_OK):
        raise Unusable(f"cannot write into the folder {str(path)!r}")
    return utf8(str(path.absolute()))


def utf8(path: str) -> str:
    """Refuse a path that JSON, and so a plan's input, cannot hold."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise Unusable(f"the path {path!r} is not UTF-8, which a plan's inputs are") from None
    return path


def repository(path: Path) -> dict[str, Any]:
    """Find the repository that `path` lies in.

    Raises:
        Unusable: There is none, or it has no commit.
    """
    if not path.is_dir():
        raise Unusable(f"there is no folder {str(path)!r}")
    try:
        git_dir = git(path, "rev-parse", "--absolute-git-dir")
    except Unusable as error:
        if "not a git repository" in str(error):
            error = Unusable(f"{str(path)!r} is not in a git repository; name one: REPO=path")
        raise error from None
    try:
        git(path, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    except Unusable:
        raise Unusable(f"{git_dir} has no commit at HEAD yet") from None
    bare = git(path, "rev-parse", "--is-bare-repository") == "true"
    inside = git(path, "rev-parse", "--is-inside-work-tree") == "true"
    top = Path(git(path, "rev-parse", "--show-toplevel") if inside else git_dir)
    name = top.parent.name if top.name == ".git" else top.name
    return {
        "git_dir": utf8(git_dir),
        "name": utf8(name.removesuffix(".git") if bare else name),
        "shallow": git(path, "rev-parse", "--is-shallow-repository") == "true",
    }


def git(path: Path, *arguments: str) -> str:
    # Within a git hook, say, the environment names a repository of its own.
    # The plan's commands get none of these variables either.
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", str(path), *arguments],
        env={**env, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        error = done.stderr.decode("utf-8", "replace").strip()
        raise Unusable(error or f"git {arguments[0]} failed with {done.returncode}")
    return os.fsdecode(done.stdout).removesuffix("\n")


# ---- the run ----


async def run(spec: RunSpec, inputs: dict[str, Any], state: Path, *, ask: bool) -> int:
    async with Engine(state) as engine:
        display = make_display(choose(plain=False, quiet=False, json_=False, jsonl=False))
        # A paused run ends here: whoever wants to go on resumes it.
        under_way = await engine.begin(spec, inputs, observers=[display], stay=False)
        interrupts = 0

        def interrupted() -> None:
            nonlocal interrupts
            interrupts += 1
            interrupt(under_way, display, interrupts)

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupted)
        display.begin(under_way)
        answering = asyncio.create_task(answer(under_way, display, state, ask=ask))
        try:
            async with under_way:
                result = await under_way.result()
        finally:
            display.end()
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
        sys.stderr.flush()
        if result.status == "succeeded":
            tell(result, spec, engine.journal.read(result.id), state)
        else:
            print(f"\nRun {result.id} {result.status}: {clean(result.reason)}")
            commands(result, state)
        return exit_status(result, interrupted=interrupts > 0)


async def answer(under_way: Run, display: Display, state: Path, *, ask: bool) -> None:
    """Approve of the report as a person would, and say so; with `ask` say how a person does."""
    async for event in under_way.events():
        if isinstance(event, ApprovalAsked) and ask:
            display.say(f"Yours to decide: {hocket(state)} approve {under_way.id} {event.path}")
        elif isinstance(event, ApprovalAsked):
            display.say(f"{event.path}: the demo approves by itself; to be asked, add --ask")
            under_way.approve(event.path, by=BY)


def interrupt(under_way: Run, display: Display, times: int) -> None:
    """Ctrl-C once pauses, twice cancels, three times kills what is in flight."""
    try:
        if times == 1:
            display.say("pausing: calls in flight may finish; Ctrl-C again cancels")
            under_way.pause("ctrl-c")
        else:
            under_way.cancel("ctrl-c", hard=times > 2)
    except Refused as error:
        display.say(str(error))


# ---- what came of it ----


def tell(result: Result, spec: RunSpec, events: Iterable[Recorded], state: Path) -> None:
    report = result["report"]
    print(f"\nMade: {shown(Path(report['path']))} ({report['file']['size']:,} bytes)")
    print("Its figures are git's.", told_of_notes(result, spec))
    rows, seconds = parts(events)
    print()
    for line in table(["STEP", "SECONDS", "CALLS", "TOKENS IN + OUT", ""], rows):
        print(line)
    tally = result.tally
    tokens = f"{tally.tokens_in:,} + {tally.tokens_out:,} tokens"
    print(f"\n{len(result.steps)} steps, {tally.started} calls, {tokens}, {seconds:.1f} s in all")
    commands(result, state)


def told_of_notes(result: Result, spec: RunSpec) -> str:
    if spec.agents["reader"].kind == "scripted":
        return "Its labels and headlines are a script's: no model was asked."
    succeeded = any(v.path == "notes" and v.status == "succeeded" for v in result.steps)
    notes = result["notes"] if succeeded else []
    labelled = sum(note is not None for note in notes)
    some = f" {labelled} of {len(notes)} commits have them." if labelled < len(notes) else ""
    if not labelled:
        return "The demo model gave no labels."
    return (
        f"Its labels and headlines are the demo model's,{some and ' where there are any,'}\n"
        f"made up and checked by nobody: they show the machinery, not quality.{some}"
    )


class Part:
    """What one step took, by the journal."""

    def __init__(self) -> None:
        self.begun = self.over = self.calls = self.read = self.written = 0
        self.remark = ""

    def at(self, instant: int) -> None:
        self.begun, self.over = self.begun or instant, instant


def parts(events: Iterable[Recorded]) -> tuple[list[list[str]], float]:
    """Give a row for each step in the order of their beginnings, and the run's seconds."""
    steps: dict[str, Part] = {}
    instants: list[int] = []
    for recorded in events:
        event = recorded.event
        instants.append(event.at)
        if isinstance(event, CallStarted):
            part = steps.setdefault(event.call.path.partition("/")[0], Part())
            part.at(event.at)
            part.calls += 1
        elif isinstance(event, CallFinished | CallFailed | CallCancelled):
            part = steps[event.call.path.partition("/")[0]]
            part.at(event.at)
            if event.usage is not None:
                part.read += event.usage.tokens_in or 0
                part.written += event.usage.tokens_out or 0
        elif isinstance(event, ApprovalAsked | ApprovalGiven):
            part = steps.setdefault(event.path, Part())
            part.at(event.at)
            if isinstance(event, ApprovalGiven):
                part.remark = f"approved by {event.by}"
    rows = [
        [
            name,
            f"{(part.over - part.begun) / SECOND:7.2f}",
            f"{part.calls:5}",
            f"{part.read:,} + {part.written:,}" if part.read or part.written else "",
            part.remark,
        ]
        for name, part in steps.items()
    ]
    return rows, (instants[-1] - instants[0]) / SECOND


def commands(result: Result, state: Path) -> None:
    """Print what to type next; each line works as it stands."""
    run_id = result.id
    if result.status == "succeeded":
        head, told = "To look at the run:", [f"show {run_id}", f"show {run_id} figures"]
        told += [f"logs {run_id}", f"logs {run_id} notes/0"]
    elif result.status == "paused":
        head, told = "To go on where it was:", [f"resume {run_id}"]
    else:
        head, told = "To look at the run:", [f"show {run_id}", f"logs {run_id}"]
    print(f"\n{head}")
    for command in told:
        print(f"  {hocket(state)} {command}")


def hocket(state: Path) -> str:
    """Give what a command begins with, here and now: the state folder, then the program."""
    beside = Path(sys.executable).parent / "hocket"
    program = beside if beside.exists() else Path(shutil.which("hocket") or "hocket")
    return f"HOCKET_HOME={shlex.quote(shown(state))} {shlex.quote(shown(program))}"


def shown(path: Path) -> str:
    """Write a path as short as it can be typed here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


if __name__ == "__main__":
    sys.exit(main())
