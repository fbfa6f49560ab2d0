"""Planning runs: what the planner is shown, what comes of it, and what a draft may state."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.app.planning import GOOD, changed, file_with

from hocket.agents.terminal import visible
from hocket.app.drafts import harms, mistakes, spec_of, staff
from hocket.app.engine import Engine
from hocket.app.gathering import MOST_FILES, inventory, read_files
from hocket.app.host import Host
from hocket.app.load import load_file
from hocket.app.planner import UNKNOWN, draft, drafted, ready_spec, start_draft, with_text
from hocket.app.written import draft_text
from hocket.config.drafts import (
    Bar,
    Drafted,
    plan_name,
    read_draft,
    reasons,
)
from hocket.core.errors import NotFound, Refused, SpecError
from hocket.report.draft import draft_document, draft_lines

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "notes.txt").write_text("the parser is slow")
    (folder / ".env").write_text("KEY=secret")
    (tmp_path / "x").write_text("outside")
    return folder


def write(folder: Path, *drafts: object) -> Path:
    path = folder / "hocket.yaml"
    path.write_text(file_with(*drafts))  # type: ignore[arg-type]
    return path


async def planned(host: Host, **options: str) -> str:
    """Let a planning run come to its end."""
    run = await draft(host, "mend the parser", **options)
    driven = host.driven(run)
    if driven is not None:
        await driven.result()
    return run


async def test_a_draft_is_made_checked_and_predicted(folder: Path, tmp_path: Path) -> None:
    async with Engine(tmp_path / "state") as engine:
        host = Host(engine, [write(folder, GOOD)])
        found = await look(engine, await planned(host))
        await host.close()
        assert (found.status, found.problems, found.why) == ("succeeded", (), ())
        assert len(found.digest) == 64
        assert found.agents == ("coder answers from a script",)
        assert found.prediction is not None
        assert found.prediction.calls == 2
        assert mistakes(found.text, load_file(folder / "hocket.yaml")) == []
        # What the planner was shown: files of the folder, and nothing that is hidden or outside.
        machine = engine.fold(found.run)
        shown = machine.workflow.result("read")
        assert shown["notes.txt"] == "the parser is slow"
        assert all(shown[name].startswith("[not shown") for name in ("../x", ".env"))
        assert "secret" not in str([e.event for e in engine.journal.read(found.run)])
        document = draft_document(found, 0)
        assert document["ready"]
        assert not document["needs_approval"]
        assert "mend by {{look}}" in str(document["text"])
        lines = "\n".join(draft_lines(found, 0))
        assert "task clarity ██████████████████·· 90%" in lines
        assert "medium: it may break" in lines


async def test_mistakes_are_told_to_the_planner_who_mends_them(
    folder: Path, tmp_path: Path
) -> None:
    wrong = changed(steps=[{"name": "look", "agent": "codr", "prompt": "look"}])
    async with Engine(tmp_path / "state") as engine:
        host = Host(engine, [write(folder, wrong, GOOD)])
        run = await planned(host)
        await host.close()
        told = engine.fold(run).workflow.result("check")["problems"]
        assert told == ["(draft):10:16: unknown agent 'codr'; did you mean 'coder'?"]
        assert (await look(engine, run)).problems == ()


async def test_what_stays_wrong_is_shown_and_can_be_edited(folder: Path, tmp_path: Path) -> None:
    wrong = changed(steps=[{"name": "look", "agent": "codr", "prompt": "look"}])
    async with Engine(tmp_path / "state") as engine:
        host = Host(engine, [write(folder, wrong)])
        found = await look(engine, await planned(host))
        assert found.problems == ("(draft):11:16: unknown agent 'codr'; did you mean 'coder'?",)
        assert found.prediction is None
        with pytest.raises(SpecError, match="unknown agent 'codr'"):
            await start_draft(host, found, found.text)
        text = found.text.replace("codr", "coder")
        edited = await asyncio.to_thread(with_text, engine.journal, found, text)
        assert edited.problems == ()
        assert edited.why == ("its text asks for an approval",)
        run = await start_draft(host, edited, edited.text, shown=edited.digest, approved=True)
        driven = host.driven(run)
        assert driven is not None
        assert (await driven.result()).output == "look"
        await host.close()


AGENTS = """
version: 1
tools:
  touch: {command: [touch, "{{args.name}}"], about: Makes a file., args: {name: str}}
  count: {function: "builtins:len", about: Counts., args: {obj: str}}
agents:
  coder: {scripted: {}}
  quiet: {command: ["true"], effects: false}
  warm: {session: claude}
  armed: {tools: [touch], scripted: {}}
  pure: {tools: [count], scripted: {}}
plans: {hello: {steps: {a: {agent: coder, prompt: hi}}}}
"""


async def look(engine: Engine, run: str) -> Drafted:
    """Give a draft; predicting it needs a thread without a loop."""
    return await asyncio.to_thread(drafted, engine, run)


@pytest.mark.parametrize(
    ("changes", "bar", "why"),
    [
        ({}, Bar(), []),
        ({}, Bar(below=0.85), ["confidence in context is 80%, below 85%"]),
        ({}, Bar(severity="medium"), ["medium risk: it may break"]),
        ({}, Bar(always=True), ["every drafted plan is to be approved"]),
        (
            {"risks": [{"what": "all is lost", "severity": "critical"}]},
            Bar(),
            ["critical risk: all is lost"],
        ),
    ],
)
def test_when_a_draft_needs_approval(changes: dict[str, object], bar: Bar, why: list[str]) -> None:
    assert reasons(read_draft(changed(**changes)), bar) == why


async def test_a_plan_that_needs_approval_waits_unless_its_bytes_were_approved(
    folder: Path, tmp_path: Path
) -> None:
    risky = changed(risks=[{"what": "all is lost", "severity": "critical"}])
    async with Engine(tmp_path / "state") as engine:
        host = Host(engine, [write(folder, risky)])
        found = await look(engine, await planned(host))
        assert found.why == ("critical risk: all is lost",)
        ungated = found.text.replace("    approve: true\n", "")
        assert ungated != found.text
        asked = ready_spec(found, ungated)
        assert asked.workflow.approval is not None
        # Nor does a gate count that opens by itself.
        opens = "{timeout: 1s, on_timeout: approve, confirm_effects: true}"
        text = found.text.replace("approve: true", f"approve: {opens}")
        assert ready_spec(found, text).workflow.approval == asked.workflow.approval
        edited = await asyncio.to_thread(with_text, engine.journal, found, ungated)
        assert edited.why == found.why
        free = ready_spec(found, ungated, shown=edited.digest, approved=True)
        assert free.workflow.approval is None
        with pytest.raises(Refused, match="not as it was shown; look at it again"):
            ready_spec(found, ungated + "\n", shown=edited.digest, approved=True)
        with pytest.raises(Refused, match="give its digest"):
            ready_spec(found, ungated, approved=True)
        await host.close()


async def test_what_is_approved_is_the_agents_too(folder: Path, tmp_path: Path) -> None:
    acts = changed(steps=[{"name": "make", "agent": "build", "prompt": "x"}])
    path = write(folder, acts)
    async with Engine(tmp_path / "state") as engine:
        host = Host(engine, [path])
        found = await look(engine, await planned(host))
        assert found.agents == (f'build runs ["cat"] in {folder}',)
        spec = ready_spec(found, found.text, shown=found.digest, approved=True)
        assert spec.agents["build"].options["command"] == ["cat"]
        evil = ["touch", str(tmp_path / "evil")]
        path.write_text(
            path.read_text()
            .replace('["cat"]', "x")
            .replace('"cat"', ", ".join(f'"{word}"' for word in evil))
        )
        for approved in (True, False):
            with pytest.raises(Refused, match="an agent of it, is not as it was shown"):
                await start_draft(host, found, found.text, shown=found.digest, approved=approved)
        # Looked at again it has another name, and shows what would run now.
        again = await look(engine, found.run)
        assert again.text == found.text
        assert again.digest != found.digest
        assert again.agents == (f'build runs ["touch","{evil[1]}"] in {folder}',)
        await host.close()
    assert not (tmp_path / "evil").exists()


async def test_what_may_change_things_needs_approval_in_any_case(
    folder: Path, tmp_path: Path
) -> None:
    acts = changed(steps=[{"name": "make", "agent": "build", "prompt": "rm -rf /"}])
    why = ("step make runs cat, which may change things",)
    async with Engine(tmp_path / "state") as engine:
        host = Host(engine, [write(folder, acts)])
        found = await look(engine, await planned(host))
        assert found.why == why
        assert "    approve: true\n" in found.text
        assert ready_spec(found, found.text).workflow.approval is not None
        await host.close()
    async with Engine(tmp_path / "state") as engine:
        path = write(folder, GOOD)
        host = Host(engine, [path])
        found = await look(engine, await planned(host))
        assert found.why == ()
        # What was edited is judged as it is, and so is a file that has changed since.
        text = found.text.replace("agent: coder", "agent: build", 1)
        edited = await asyncio.to_thread(with_text, engine.journal, found, text)
        assert edited.why == ("step look runs cat, which may change things",)
        assert ready_spec(found, text).workflow.approval is not None
        coder = '"coder": {\n   "scripted": {}'
        assert coder in path.read_text()
        path.write_text(path.read_text().replace(coder, '"coder": {\n   "command": ["sh"]'))
        assert ready_spec(found, found.text).workflow.approval is not None
        await host.close()


def test_who_may_change_things(folder: Path) -> None:
    (folder / "hocket.yaml").write_text(AGENTS)
    base = load_file(folder / "hocket.yaml")

    def told(steps: str) -> list[str]:
        text = f"version: 1\nextends: hocket.yaml\nplans:\n  p:\n    steps:\n{steps}"
        return harms(spec_of(text, base))

    acts = ", which may change things"
    for step, said in {
        "{agent: coder, prompt: x}": [],
        "{agent: warm, prompt: x}": [f"step a lets claude work{acts}"],
        "{agent: quiet, prompt: x}": [f"step a runs true{acts}"],
        "{agent: armed, prompt: x}": [f"step a may use tool touch of armed{acts}"],
        "{agent: pure, prompt: x}": [],
        "{agent: coder, prompt: x, fallback: [quiet]}": [f"step a runs true{acts}"],
        "{agent: coder, prompt: x, effects: true}": [f"step a calls coder{acts}"],
        "{agent: coder, prompt: x, review: {by: [warm]}}": [f"step a lets claude work{acts}"],
        "{consensus: {question: x, agents: [coder, warm]}}": [f"step a lets claude work{acts}"],
    }.items():
        assert told(f"      a: {step}\n") == said, step
    inner = "      a: {run: q}\n  q:\n    steps:\n      b: {agent: quiet, prompt: x}\n"
    text = f"version: 1\nplans:\n  p:\n    steps:\n{inner}"
    assert harms(spec_of(text, base)) == [f"step a/b runs true{acts}"]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("{command: [rm, -rf, /]}", "(draft):6:7: a drafted step names an agent"),
        ("{shell: echo hi}", "(draft):6:7: a drafted step names an agent"),
        ("{call: 'os:system', with: {a: b}}", "(draft):6:7: a drafted step names an agent"),
        ("{agent: build, prompt: x, env_pass: [KEY]}", "env_pass stands in the operator's file"),
        ("{agent: build, prompt: x, cwd: /}", "cwd stands in the operator's file"),
    ],
)
def test_programs_stand_in_the_operators_file_alone(folder: Path, step: str, said: str) -> None:
    base = load_file(write(folder, GOOD))
    text = f"version: 1\nextends: hocket.yaml\nplans:\n  p:\n    steps:\n      x: {step}\n"
    (line,) = mistakes(text, base)
    assert said in line
    with pytest.raises(SpecError):
        spec_of(text, base)


def test_agents_and_models_of_a_draft_are_refused(folder: Path) -> None:
    base = load_file(write(folder, GOOD))
    text = "version: 1\nagents: {x: {command: [sh]}}\nplans: {p: {steps: {x: {agent: x}}}}\n"
    assert mistakes(text, base) == ["(draft):2:1: agents stand in the file that this one extends"]


def test_a_draft_extends_the_file_of_its_agents(folder: Path) -> None:
    base = load_file(write(folder, GOOD))
    steps = "plans: {p: {steps: {x: {agent: coder, prompt: x}}}}\n"
    assert mistakes(f"version: 1\nextends: hocket.yaml\n{steps}", base) == []
    for other in ("../../etc/passwd", "other.yaml"):
        (line,) = mistakes(f"version: 1\nextends: {other}\n{steps}", base)
        assert line.startswith("(draft):2:10: a draft extends hocket.yaml")


async def test_two_steps_of_one_name_are_a_mistake(folder: Path, tmp_path: Path) -> None:
    twice = changed(
        steps=[{"name": "look", "agent": "coder", "prompt": word} for word in ("one", "two")]
    )
    async with Engine(tmp_path / "state") as engine:
        host = Host(engine, [write(folder, twice, GOOD)])
        run = await planned(host)
        (told,) = engine.fold(run).workflow.result("check")["problems"]
        assert "the key 'look' is there twice" in told
        assert (await look(engine, run)).problems == ()
        await host.close()
    async with Engine(tmp_path / "other") as engine:
        host = Host(engine, [write(folder, twice)])
        found = await look(engine, await planned(host))
        assert "prompt: one" in found.text
        assert "prompt: two" in found.text
        assert len(found.problems) == 1
        assert found.why == (UNKNOWN,)
        await host.close()


def test_what_cannot_be_seen_is_written_as_an_escape(folder: Path) -> None:
    odd = "a\x1b[2J\u202eb\nplans: {}"
    step = {"name": "look", "agent": "coder", "prompt": odd}
    text = draft_text(
        read_draft(changed(title=odd, summary=f"{odd}\x85c", steps=[step])),
        "hocket.yaml",
        approve=False,
    )
    assert text.startswith(
        "# a\\u001b[2J\\u202eb\n# plans: {}\n#\n# a\\u001b[2J\\u202eb\n# plans: {}\n# c\n"
        "version: 1\n"
    )
    assert visible(text) == text
    spec = spec_of(text, load_file(write(folder, GOOD)))
    assert spec.workflow.steps[0].input == odd


def test_who_may_be_named(folder: Path) -> None:
    assert staff(load_file(write(folder, GOOD))) == {
        "planner": "answers from a script",
        "coder": "answers from a script",
        "build": "runs cat with the prompt on its standard input",
    }


async def test_what_cannot_be_planned_is_refused(folder: Path, tmp_path: Path) -> None:
    async with Engine(tmp_path / "state") as engine:
        host = Host(engine, [write(folder, GOOD)])
        with pytest.raises(Refused, match="there is no task to plan"):
            await draft(host, " ")
        with pytest.raises(NotFound, match="did you mean 'planner'"):
            await draft(host, "x", agent="planer")
        with pytest.raises(Refused, match="'build' runs a program, which cannot plan"):
            await draft(host, "x", agent="build")
        with pytest.raises(NotFound, match="no file 'other\\.yaml' is offered"):
            await draft(host, "x", file="other.yaml")
        with pytest.raises(NotFound, match="no file is offered here"):
            await draft(Host(engine), "x")
        run = await host.start("hocket.yaml", "hello", {})
        with pytest.raises(Refused, match="is no planning run"):
            await look(engine, run)
        await host.close()


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Mend the parser!", "mend-the-parser"),
        ("2 fast", "plan-2-fast"),
        ("ÄÖÜ", "plan"),
        ("x" * 80, "x" * 40),
    ],
)
def test_plans_get_names_that_can_be_typed(title: str, name: str) -> None:
    read = read_draft(changed(title=title))
    assert plan_name(read) == name
    assert f"  {name}:\n" in draft_text(read, "hocket.yaml", approve=False)


def test_what_is_no_draft_is_refused() -> None:
    with pytest.raises(Refused, match="what the planner gave is no plan"):
        read_draft({"title": "x"})


# ---- what is shown of a folder ----


def test_the_inventory_leaves_out_what_is_hidden_or_built(folder: Path) -> None:
    for name in ("src/deep/a.py", "node_modules/x/y.js", ".git/config"):
        path = folder / name
        path.parent.mkdir(parents=True)
        path.write_text("x")
    listed = inventory(folder)
    assert [line.split()[1] for line in listed.splitlines()] == ["notes.txt", "src/deep/a.py"]


def test_a_large_folder_is_cut_and_said(folder: Path) -> None:
    for number in range(MOST_FILES + 5):
        (folder / f"f{number}").touch()
    assert inventory(folder).endswith("and 6 more files")


def test_links_texts_and_sizes(folder: Path, tmp_path: Path) -> None:
    (folder / "link").symlink_to(tmp_path / "x")
    (folder / "sub").symlink_to(tmp_path)
    (folder / "binary").write_bytes(b"a\0b")
    (folder / "large").write_text("y" * 20_000)
    shown = read_files(str(folder), ["link", "sub/x", "binary", "large", "a\0b", "/etc/passwd"])
    assert shown["large"] == "y" * 16_000 + "\n[cut here]"
    assert all(text.startswith("[not shown") for name, text in shown.items() if name != "large")
