"""Writes `reference/cli.md`: every command with its arguments and options."""

from __future__ import annotations

import inspect
from typing import Literal, get_args, get_origin

from cyclopts import App

from hocket.cli.main import COMMANDS, STATUSES, app
from writers.docstrings import NOTE, markdown, section, summary, table


def cli_page() -> str:
    """Write every command with its arguments and options."""
    lines = [
        "# The command line",
        "",
        NOTE,
        "",
        "`hocket COMMAND --help` says the same in a terminal.",
        "A run is named by its id, by the beginning of its id, or as `last`.",
        "",
        "| Exit status | Meaning |",
        "|---|---|",
        *(f"| {one} | {said[:1].upper()}{said[1:]}. |" for one, said in STATUSES.items()),
        "",
        "After status 4 `hocket resume RUN --budget DOLLARS` goes on.",
        "`hocket --install-completion` lets bash, zsh or fish complete commands, options and "
        "choices.",
        "Progress goes to standard error, results go to standard output.",
        "",
    ]
    for name in COMMANDS:
        group = app[name].default_command is None
        lines += [line for inner in app[name] for line in _inner(name, inner)] if group else []
        lines += [] if group else _command(name, app[name])
    return "\n".join(lines).rstrip() + "\n"


def _inner(group: str, name: str) -> list[str]:
    return [] if name.startswith("-") else _command(f"{group} {name}", app[group][name])


def _command(name: str, command: App) -> list[str]:
    function = command.default_command
    assert function is not None
    arguments = command.assemble_argument_collection()
    said = section(function, "Args")
    placed, named = [], []
    usage = f"hocket {name}"
    for argument in arguments:
        info = argument.field_info
        if argument.names == ("*",):
            # What several commands share comes as options of its own.
            continue
        silent = info.default in (None, False, "", (), inspect.Parameter.empty)
        default = "" if silent else f" Default: `{info.default}`."
        choices = _choices(argument.hint)
        chosen = f" One of {', '.join(f'`{one}`' for one in choices)}." if choices else ""
        meaning = (argument.parameter.help or said.get(info.name, "")).strip() + chosen + default
        if info.kind is info.POSITIONAL_ONLY or info.kind is info.VAR_POSITIONAL:
            shown = argument.names[0] if argument.names else info.name.upper()
            shown = shown.lstrip("-").upper()
            usage += f" {shown}" if argument.required else f" [{shown}]"
            usage += "..." if info.kind is info.VAR_POSITIONAL else ""
            placed.append([f"`{shown}`", markdown(meaning)])
        else:
            shown = ", ".join(f"`{one}`" for one in argument.names)
            if argument.hint is not bool:
                shown += " VALUE"
            named.append([shown, markdown(meaning)])
    return [
        f"## hocket {name}",
        "",
        summary(function),
        "",
        "```text",
        f"{usage}{' [OPTIONS]' if named else ''}",
        "```",
        "",
        *table(["Argument", "Meaning"], placed),
        *table(["Option", "Meaning"], named),
    ]


def _choices(hint: object) -> tuple[object, ...]:
    """Give the values among which an option chooses."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    return tuple(one for part in get_args(hint) for one in _choices(part))
