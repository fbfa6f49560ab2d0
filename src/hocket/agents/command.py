"""Programs as agents: an argument list of the operator's file, never a line that a model wrote.

What comes from a step is data: it goes to the program's input, or is appended as arguments that
cannot pass for options.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import msgspec

from hocket.agents.base import Context, Reply, Request
from hocket.agents.child import KEEP, QUOTA, Launch
from hocket.agents.environment import child_environment, environment_problems
from hocket.agents.output import clip, fault, fit, read_json
from hocket.agents.process import Finished, decode, describe_exit, run_process
from hocket.agents.settings import override, read
from hocket.agents.terminal import plain
from hocket.core.errors import AgentError, Problem, SpecError
from hocket.core.specs import AgentSpec
from hocket.core.values import SECOND, FileRef, Json, is_file, parse_duration

PROMPT = "{prompt}"
_MOST_FILES = 1_000
_STEPS_OWN = frozenset(
    {"cwd", "env", "env_pass", "output", "keep", "files", "ok", "grace", "allow_dashes"}
)


class CommandOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a command.

    Fields:
        command: The program and its fixed arguments. The item ``{prompt}`` becomes the prompt,
            which otherwise goes to standard input. With `shell` it is one text.
        shell: Have ``/bin/sh -c`` run `command`; the step's arguments are ``"$1"`` and so on.
        cwd: The working folder; relative to Hocket's own.
        env: Variables to set; never secrets, for they stand in the journal.
        env_pass: Names of variables to hand on from Hocket's environment.
        output: ``text`` (default; the newlines at the end are dropped), ``json`` (default where the
            step has an output schema), or ``lines``.
        keep: How many bytes of output are kept.
        quota: The bytes of output and error output after which the program is killed.
        files: Relative paths and patterns of files to store once it has succeeded.
        ok: The exit statuses that mean success.
        grace: How long a cancelled program may take to end by itself, as ``"5s"``.
        allow_dashes: Let arguments from a step begin with ``-``.
    """

    command: list[str] | str
    shell: bool = False
    cwd: str | None = None
    env: dict[str, str] = {}
    env_pass: list[str] = []
    output: Literal["text", "json", "lines"] | None = None
    keep: int = KEEP
    quota: int = QUOTA
    files: list[str] = []
    ok: tuple[int, ...] = (0,)
    grace: str | int | float = "5s"
    allow_dashes: bool = False


class CommandAgent:
    """Runs a program in a process group of its own, with an allow-listed environment.

    The request's input is a text, the prompt; or ``{args: […], stdin: …}``, where each argument is
    appended to the command; or None.
    A stored file among the arguments becomes the path of a read-only copy, and as `stdin` it is
    what the program reads.
    Arguments, and a prompt put in by ``{prompt}``, must not begin with ``-`` unless ``--`` stands
    before them in the command or ``allow_dashes`` is set.

    The output is a text, lines or JSON; with ``files`` it is ``{text: …, files: {name: file}}``.

    Raises:
        SpecError: An option is unknown, or wrong.
    """

    def __init__(self, name: str, spec: AgentSpec, *, state: Path, live: dict[str, Any]) -> None:
        self._options = read(CommandOptions, name, spec.options)
        problems = _problems(("agents", name), self._options)
        if problems:
            raise SpecError(problems)

    async def call(self, request: Request, context: Context) -> Reply:
        """Run the program once.

        Raises:
            AgentError: ``failed`` for its exit status, with the end of its error output;
                ``permanent`` where it cannot be started as asked; ``unavailable`` where the system
                has no process to spare; ``invalid_output`` where JSON was wanted.
            asyncio.CancelledError: The call was cancelled, and the whole group is gone.
        """
        options = self._options
        if request.options:
            options = override(options, request.options, _STEPS_OWN)
            problems = _problems(("options",), options)
            if problems:
                raise fault("permanent", f"the step's {SpecError(problems)}")
        argv, stdin = await _arguments(request.input, options, context)
        launch = Launch(
            argv=argv,
            env=child_environment(options.env, options.env_pass),
            cwd=_folder(options.cwd),
            stdin=stdin,
            keep=options.keep,
            quota=options.quota,
            grace=parse_duration(options.grace) / SECOND,
        )
        done = await run_process(launch, context)
        if done.status not in options.ok:
            raise _failure(done)
        output, notes = _read_output(done, options, request.output is not None)
        if options.files:
            output = {"text": output, "files": await _collect(launch.cwd, options.files, context)}
        return Reply(output=fit(output, request.output), notes=done.notes + notes)

    async def close(self) -> None:
        """Nothing is held between calls."""


def _folder(cwd: str | None) -> str | None:
    return None if cwd is None else os.path.expanduser(cwd)


def _problems(where: tuple[str | int, ...], options: CommandOptions) -> list[Problem]:
    """Find what is wrong with options whose types are right."""
    problems = environment_problems(where, options.env, options.env_pass)

    def wrong(key: str, message: str, hint: str = "") -> None:
        problems.append(Problem(where=(*where, key), message=message, hint=hint))

    command = options.command
    if isinstance(command, str):
        if not options.shell:
            wrong("command", "a command is a list of texts", "or set shell: true")
        elif PROMPT in command:
            hint = 'the prompt comes by standard input, arguments as "$1"'
            wrong("command", f"{PROMPT} in a shell text would let a prompt run commands", hint)
    elif options.shell:
        wrong("command", "with shell: true the command is one text")
    if not command or not command[0]:
        wrong("command", "the command is empty")
    for pattern in options.files:
        path = PurePosixPath(pattern)
        if not pattern or path.is_absolute() or ".." in path.parts:
            wrong("files", f"{pattern!r} leaves the working folder")
    try:
        parse_duration(options.grace)
    except ValueError as error:
        wrong("grace", str(error))
    if options.keep < 0 or options.quota < options.keep:
        wrong("keep", "keep lies between 0 and quota")
    return problems


# ---- what goes in ----


async def _arguments(
    given: Json, options: CommandOptions, context: Context
) -> tuple[tuple[str, ...], bytes | Path | None]:
    """Make the argument list, and what the program reads."""
    args, prompt = _parts(given)
    fixed = (
        ["/bin/sh", "-c", options.command, "sh"]
        if isinstance(options.command, str)
        else list(options.command)
    )
    free = options.allow_dashes
    texts = [await _argument(index, item, context) for index, item in enumerate(args)]
    if not (free or "--" in fixed):
        for index, text in enumerate(texts):
            if not is_file(args[index]):
                _refuse_dash(text, f"argument {index + 1}")
    if PROMPT in fixed and not options.shell:
        at = fixed.index(PROMPT)
        text = await _argument(None, "" if prompt is None else prompt, context)
        if not (free or "--" in fixed[:at] or is_file(prompt)):
            _refuse_dash(text, "the prompt")
        fixed = [text if item == PROMPT else item for item in fixed]
        return (*fixed, *texts), None
    if is_file(prompt):
        return (*fixed, *texts), await context.fetch(msgspec.convert(prompt, FileRef))
    stdin = None if prompt is None else _text(prompt).encode("utf-8", "replace")
    return (*fixed, *texts), stdin


def _parts(given: Json) -> tuple[list[Json], Json]:
    if given is None or isinstance(given, str) or is_file(given):
        return [], given
    if isinstance(given, dict) and given.keys() <= {"args", "stdin"}:
        args = given.get("args")
        if args is None or isinstance(args, list):
            return args or [], given.get("stdin")
    raise fault(
        "permanent", "the input of a command is a text, or a dict of args (a list) and stdin"
    )


async def _argument(index: int | None, item: Json, context: Context) -> str:
    if item is None:
        raise fault("permanent", f"argument {(index or 0) + 1} is null")
    if is_file(item):
        return str(await context.fetch(msgspec.convert(item, FileRef)))
    return _text(item)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _refuse_dash(text: str, what: str) -> None:
    if text.startswith("-"):
        raise fault(
            "permanent",
            f"{what} begins with '-' and would be an option: {clip(text, 60)!r}; put '--' at the "
            "end of the command, or set allow_dashes: true",
        )


# ---- what comes out ----


def _failure(done: Finished) -> AgentError:
    error = plain(done.err.decode("utf-8", "replace")).strip()
    text = error or plain(done.out[-4_000:].decode("utf-8", "replace")).strip()
    last = text.rpartition("\n")[2].strip()
    message = describe_exit(done.status)
    return fault("failed", f"{message}: {clip(last)}" if last else message, text)


def _read_output(
    done: Finished, options: CommandOptions, has_schema: bool
) -> tuple[Json, tuple[str, ...]]:
    text, notes = decode(done.out, done.cut)
    match options.output or ("json" if has_schema else "text"):
        case "json":
            if done.cut:
                message = f"the output is longer than keep ({options.keep:,} bytes)"
                raise fault("invalid_output", f"{message}, so it cannot be read as JSON")
            return read_json(text), notes
        case "lines":
            # Not splitlines(): it ends lines also at form feeds and others that a name may hold.
            lines = text.replace("\r\n", "\n").split("\n")
            return lines if lines[-1] else lines[:-1], notes
        case _:
            return text.rstrip("\r\n"), notes


async def _collect(
    cwd: str | None, patterns: Sequence[str], context: Context
) -> dict[str, dict[str, Json]]:
    """Store the files that the program made; nothing outside its folder, and no links."""
    root = Path(cwd or ".")
    found: dict[str, Path] = {}
    for pattern in patterns:
        for path in _matches(root, pattern):
            found[path.relative_to(root).as_posix()] = path
            if len(found) > _MOST_FILES:
                raise fault("failed", f"more than {_MOST_FILES:,} files match {pattern!r}")
    made: dict[str, dict[str, Json]] = {}
    for name in sorted(found):
        made[name] = msgspec.to_builtins(await context.store(found[name], name))
    return made


def _matches(root: Path, pattern: str) -> list[Path]:
    if not any(letter in pattern for letter in "*?["):
        path = root / pattern
        if not os.path.lexists(path):
            raise fault("failed", f"it did not make the file {pattern!r}")
        _refuse_link(root, path)
        if not stat.S_ISREG(path.lstat().st_mode):
            raise fault("failed", f"{pattern!r} is not a file")
        return [path]
    found: list[Path] = []
    for path in root.glob(pattern):
        _refuse_link(root, path)
        # Folders match too; a pipe or a device would never end.
        if stat.S_ISREG(path.lstat().st_mode):
            found.append(path)
    return found


def _refuse_link(root: Path, path: Path) -> None:
    """A link may point anywhere, also where only Hocket may read."""
    step = root
    for part in path.relative_to(root).parts:
        step = step / part
        if step.is_symlink():
            shown = step.relative_to(root).as_posix()
            raise fault("failed", f"{shown!r} is a symbolic link, which is not followed")
