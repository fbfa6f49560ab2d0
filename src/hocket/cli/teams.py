"""Commands that let a team do one thing: ``ask``, ``panel``, ``review``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from hocket.app.load import load_file
from hocket.app.needs import KEYS, has_extra, missing
from hocket.app.spot import load_spot
from hocket.cli.drive import Ending
from hocket.cli.main import EXIT_FAILED
from hocket.cli.options import BEGIN, FILE, Begin, Beginning
from hocket.cli.output import print_output
from hocket.cli.start import MAX_INPUT, launch
from hocket.cli.team_options import (
    DECIDING,
    JUDGING,
    SPEAKING,
    Agents,
    Deciding,
    File,
    Judging,
    Speaking,
)
from hocket.config.file import Loaded
from hocket.config.models import LocalAgent, ModelAgent, ScriptedAgent
from hocket.config.spot import Seat, Seats, one_step, read_seats
from hocket.core.errors import Refused
from hocket.core.run import RunMachine
from hocket.core.values import Json
from hocket.report.team import member_lines, said_words
from hocket.report.text import clean, one_line, table

Given = Annotated[str, Parameter(allow_leading_hyphen=True)]

_SAID: Final = 100
_QUESTION: Final = "{{inputs.question}}"
_MODELS: Final = {
    "openai": "openai:gpt-5.2",
    "anthropic": "anthropic:claude-sonnet-4-5",
    "google": "google:gemini-2.5-flash",
    "groq": "groq:llama-3.3-70b-versatile",
    "mistral": "mistral:mistral-large-latest",
    "deepseek": "deepseek:deepseek-chat",
}
"""A model of each provider, to show how one is written."""


def ask(
    question: Given,
    /,
    *,
    agents: Agents | None = None,
    file: File | None = None,
    deciding: Annotated[Deciding, Parameter(name="*")] = DECIDING,
    begin: Beginning = BEGIN,
) -> int:
    """Ask several agents one question; they answer, vote, and one answer stands.

    The answer goes to standard output, and who voted for whom to standard error.

    Args:
        question: The question; "-" reads it from standard input.
    """
    _refuse_option(question)
    loaded = _file(file)
    seats = _seats(agents, loaded)
    _refuse_one(seats)
    if deciding.presenter is not None:
        seats, presenter = _also(deciding.presenter, seats, loaded)
        about = {**deciding.data(), "presenter": presenter}
    else:
        about = deciding.data()
    team = {"question": _QUESTION, "agents": _members(seats), **about}
    tree = one_step("ask", {"consensus": team}, ["question"], "ask.answer", seats)
    inputs = {"question": _text(question, "the question")}
    return _launch(tree, "ask", loaded, inputs, begin, Ending(table=_members_table, aloud=True))


def panel(
    question: Given,
    /,
    *,
    synthesis: Annotated[str, Parameter(help="Who makes one reply of what the others say.")],
    agents: Agents | None = None,
    file: File | None = None,
    speaking: Annotated[Speaking, Parameter(name="*")] = SPEAKING,
    begin: Beginning = BEGIN,
) -> int:
    """Ask specialists side by side; one agent makes a reply of what has come in time.

    Args:
        question: The question; "-" reads it from standard input.
    """
    _refuse_option(question)
    loaded = _file(file)
    seats = _seats(agents, loaded, but=synthesis)
    speakers = {name: {"agent": seat.agent} for seat in seats.seats for name in _numbered(seat)}
    seats, reporter = _also(synthesis, seats, loaded)
    about = {
        "question": _QUESTION,
        "agents": speakers,
        "synthesis": {"agent": reporter},
        **speaking.data(),
    }
    tree = one_step("panel", {"panel": about}, ["question"], "panel.reply", seats)
    inputs = {"question": _text(question, "the question")}
    return _launch(tree, "panel", loaded, inputs, begin, Ending(table=_speakers_table, aloud=True))


def review(
    artefact: Given,
    /,
    *,
    by: Annotated[
        str | None,
        Parameter(help="Who reviews, as flash,pro; in turn, if the swarm is larger. See ask."),
    ] = None,
    file: File | None = None,
    judging: Annotated[Judging, Parameter(name="*")] = JUDGING,
    begin: Beginning = BEGIN,
) -> int:
    """Let a swarm of reviewers judge a file; exit status 0 if it is approved, 1 if not.

    What was found goes to standard output, and who judged how to standard error.
    A change is reviewed by: git diff | hocket review -

    Args:
        artefact: The file; "-" reads it from standard input.
    """
    _refuse_option(artefact)
    loaded = _file(file)
    seats = _seats(by, loaded, "--by")
    team = {"of": "{{inputs.artefact}}", "by": _members(seats), **judging.data()}
    tree = one_step("review", {"review": team}, ["artefact"], "review", seats)
    if artefact == "-":
        text = _text(artefact, "what is to be reviewed")
    else:
        text = _content(Path(artefact))
    ending = Ending(_print_verdict, _verdict_status, _members_table)
    return _launch(tree, "review", loaded, {"artefact": text}, begin, ending)


# ---- who ----


def _file(given: Path | None) -> Loaded | None:
    """Read the file with agents, if there is one."""
    if given is not None:
        return load_file(given)
    return load_file(FILE) if Path(FILE).exists() else None


def _seats(
    given: str | None, loaded: Loaded | None, option: str = "--agents", *, but: str = ""
) -> Seats:
    """Give who takes part; where nobody is named, all agents of the file that can speak.

    Args:
        given: What was written.
        loaded: The file.
        option: Where it was written.
        but: Who has something else to do.

    Raises:
        Refused: Nobody was named, and no file has models.
        NotFound: There is no such agent.
    """
    if given is not None:
        return _read(given, loaded)
    if loaded is None:
        raise Refused(_nobody(option))
    kinds = (ModelAgent, LocalAgent, ScriptedAgent)
    about = loaded.file.agents
    names = [name for name in about if name != but and isinstance(about[name], kinds)]
    if not names:
        other = f" but {but}" if but in about else ""
        raise Refused(f"{loaded.source} has no agent that can speak{other}: say who, by {option}")
    print(f"{option} {','.join(names)} (who can speak in {loaded.source})", file=sys.stderr)
    return Seats([Seat(name, 1) for name in names], {})


def _read(line: str, loaded: Loaded | None) -> Seats:
    if loaded is None:
        return read_seats(line, (), ())
    return read_seats(line, loaded.file.agents, loaded.file.models, loaded.source)


def _also(who: str, seats: Seats, loaded: Loaded | None) -> tuple[Seats, str]:
    """Add an agent who has no seat; gives its name."""
    found = _read(who, loaded)
    if len(found.seats) != 1 or found.seats[0].number != 1:
        raise Refused(f"{who!r} is more than one agent")
    known = {str(about): name for name, about in seats.agents.items()}
    name = found.seats[0].agent
    if name in found.agents:
        name = known.get(str(found.agents[name]), name)
    return Seats(seats.seats, {**found.agents, **seats.agents}), name


def _refuse_one(seats: Seats) -> None:
    """Refuse to let one agent alone agree.

    Raises:
        Refused: It is one.
    """
    if sum(seat.number for seat in seats.seats) < 2:
        name = seats.seats[0].agent
        who = seats.agents.get(name, {}).get("model", name)
        raise Refused(
            f"{who} alone has nobody to agree with: name others, or several of it, "
            f"as --agents '{who}*3'"
        )


def _members(seats: Seats) -> list[Json]:
    return [
        {"agent": seat.agent, "count": seat.number} if seat.number > 1 else seat.agent
        for seat in seats.seats
    ]


def _numbered(seat: Seat) -> list[str]:
    if seat.number == 1:
        return [seat.agent]
    return [f"{seat.agent}-{number}" for number in range(1, seat.number + 1)]


def _nobody(option: str) -> str:
    """Say what to write where nobody was named."""
    there = [name for name in _MODELS if KEYS[name] in os.environ]
    shown = ",".join(_MODELS[name] for name in there) or "openai:gpt-5.2,anthropic:…"
    keys = f"the environment has a key for {', '.join(there)}" if there else "no key is set here"
    extra = "" if has_extra("xllamacpp") else "; it needs: pip install 'hocket[local]'"
    return (
        f"who is to be asked? There is no {FILE} here, and no {option}\n"
        f"  {option} {shown}   models ({keys})\n"
        f"  {option} 'local*3'   the embedded demo model, without a key{extra}"
    )


# ---- what ----


def _text(given: str, what: str) -> str:
    """Give a text, from standard input where it is "-".

    Raises:
        Refused: It is empty, too long, or no text.
    """
    if given == "-":
        if sys.stdin.isatty():
            print(f"type {what}, and Ctrl-D on a line of its own at its end", file=sys.stderr)
        return _decoded(sys.stdin.buffer.read(MAX_INPUT + 1), what, "standard input")
    if not given.strip():
        raise Refused(f"{what} is empty")
    return given


def _refuse_option(given: str) -> None:
    if given.startswith("-") and given != "-":
        raise Refused(f"unknown option {given}; a text that begins so is read from stdin with -")


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_INPUT + 1)
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror or error}") from error
    return _decoded(data, "what is to be reviewed", str(path))


def _decoded(data: bytes, what: str, where: str) -> str:
    if len(data) > MAX_INPUT:
        raise Refused(f"{where} is larger than {MAX_INPUT >> 20} MB")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Refused(f"{where} is not UTF-8 text") from error
    if not text.strip():
        raise Refused(f"{what} is empty: {where} has nothing in it")
    return text


def _launch(
    tree: Mapping[str, Json],
    name: str,
    loaded: Loaded | None,
    inputs: Mapping[str, Json],
    how: Begin,
    ending: Ending,
) -> int:
    spec = load_spot(tree, name, loaded, how.overrides)
    lacks = missing(spec)
    if len(lacks) == len(spec.agents) and lacks:
        raise Refused("\n".join(lacks))
    for line in lacks:
        print(f"missing: {line}", file=sys.stderr)
    return launch(spec, inputs, how, ending)


def _members_table(machine: RunMachine) -> Iterator[str]:
    for report in machine.workflow.reports().values():
        yield from member_lines(report)


def _speakers_table(machine: RunMachine) -> list[str]:
    """Say who has contributed what, and who is missing, once there is a reply."""
    output = machine.workflow.result("panel")
    if not isinstance(output, dict):
        return []
    told: dict[str, Json] = output.get("contributions", {})
    rows = [[name, "", one_line(said_words(said), _SAID)] for name, said in told.items()]
    missing: dict[str, Json] = output.get("missing", {})
    rows += [[name, "missing", one_line(str(why))] for name, why in missing.items()]
    skipped: dict[str, Json] = output.get("skipped", {})
    rows += [[name, "not asked", one_line(str(why))] for name, why in skipped.items()]
    return table(["WHO", "", "SAYS"], rows)


def _verdict(output: Json) -> tuple[bool, float, Sequence[Json]]:
    found = output if isinstance(output, dict) else {}
    return found.get("approved") is True, found.get("score", 0.0), found.get("issues", ())


def _print_verdict(output: Json) -> None:
    approved, score, issues = _verdict(output)
    print(f"{'approved' if approved else 'rejected'} (score {score:.2f})")
    verdicts: Sequence[Json] = output.get("verdicts", ()) if isinstance(output, dict) else ()
    if verdicts and all(one["failed"] for one in verdicts):
        why = dict.fromkeys(" ".join(clean(one["reason"]).split()) for one in verdicts)
        print_output(f"nobody was heard: {', '.join(why)}")
    for issue in issues:
        print_output("- " + " ".join(clean(str(issue)).split()))


def _verdict_status(output: Json) -> int:
    return 0 if _verdict(output)[0] else EXIT_FAILED
