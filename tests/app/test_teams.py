"""Teams and tools from the words of a file or a program to their results."""

import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import hocket
from hocket import Agent, Contributor, Learned, Plan, Review, Seat, SpecError, Tool
from hocket.app.load import load_file, load_plan
from hocket.config.outcomes import PanelReply, Reviewed
from hocket.core.specs import RunSpec

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[hocket.Engine]:
    async with hocket.Engine(tmp_path / "state") as made:
        yield made


@pytest.fixture(autouse=True)
def found_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the folders and modules of files that were loaded."""
    monkeypatch.setattr("sys.path", sys.path.copy())
    yield
    sys.modules.pop("hocket_test_teams_tools", None)


@dataclass
class Idea:
    title: str


def voter(name: str, answer: Any, **settings: Any) -> Agent[Any]:
    """Give an answer, then vote for the one that is called A."""
    vote = {"output": {"vote": "A", "confidence": 0.8, "reason": "so"}}
    script = {"replies": [{"output": answer}], "by": {"Vote for the one": [vote]}}
    return Agent(name, scripted=script, **settings)


def reviewer(name: str, rejected: str = "never") -> Agent[str]:
    """Approve of everything but of what has a text in it."""
    yes = {"verdict": "approve", "confidence": 0.9, "reason": "good", "issues": []}
    no = {"verdict": "reject", "confidence": 0.9, "reason": "bad", "issues": ["no tests"]}
    return Agent(name, scripted={"replies": [{"output": yes}], "by": {rejected: [{"output": no}]}})


async def test_a_consensus_gives_a_typed_answer(engine: hocket.Engine) -> None:
    plan = Plan("p")
    one, two = voter("one", {"title": "log"}), voter("two", {"title": "table"})
    which = plan.consensus("which", "What?", agents=[Seat(one, count=2), two], output=Idea)
    last = plan.step("last", Agent("echo", scripted={}), f"So: {which['answer']['title']}")
    result = await engine.run(plan)
    agreed = result[which]
    assert isinstance(agreed.answer, Idea)
    assert agreed.answers == {
        "one-1": Idea("log"),
        "one-2": Idea("log"),
        "two": Idea("table"),
    }
    assert agreed.answers[agreed.winner.member] == agreed.answer
    assert (agreed.winner.label, agreed.forced) == ("A", False)
    assert {vote.choice for vote in agreed.votes} == {agreed.winner.member}
    assert result[last] == f"So: {agreed.answer.title}"
    assert result.team(which).winner == agreed.winner.member


async def test_a_review_gives_its_verdicts(engine: hocket.Engine) -> None:
    plan = Plan("p")
    checks = plan.review("checks", "def f(): ...", by=[reviewer("a"), reviewer("b")], swarm=3)
    result = await engine.run(plan)
    assert isinstance(result[checks], Reviewed)
    assert result[checks].approved
    assert {verdict.verdict for verdict in result[checks].verdicts} == {"approve"}
    assert result[checks].calls == {"useful": 2}


async def test_a_step_is_mended_until_it_is_approved_of(engine: hocket.Engine) -> None:
    plan = Plan("p")
    author = Agent("author", scripted={"replies": ["bare"], "by": {"no tests": ["tested"]}})
    code = plan.step("code", author, "Write it", review=Review(reviewer("a", "bare"), max_rounds=2))
    result = await engine.run(plan)
    assert result[code] == "tested"


async def test_a_panel_gives_a_reply_of_what_is_there(engine: hocket.Engine) -> None:
    plan = Plan("p")
    goal = plan.input("goal", str)
    slow = Agent("slow", scripted={"replies": [{"output": "late", "after": "1h"}]})
    echo = Agent("echo", scripted={})
    reply = plan.panel(
        "reply",
        f"Of {goal}",
        agents={"echo": echo, "more": Contributor(echo, "more {{echo}}"), "slow": slow},
        quorum=2,
        within=Learned("10s"),
        synthesis=Contributor(echo, "{{contributions.more}}!", output=str),
    )
    result = await engine.run(plan, goal="x")
    assert result[reply] == PanelReply(
        reply="more Of x!",
        contributions={"echo": "Of x", "more": "more Of x"},
        missing={"slow": "late"},
        skipped={},
        revised=False,
    )


# -- tools ----------------------------------------------------------------------------------


def look(path: str, deep: int = 1) -> str:
    """Look into a folder."""
    return f"{path} is {deep} deep"


CALLS = [
    {"name": "look", "args": {"path": "src"}},
    {"name": "say", "args": {"word": "well"}},
]


@pytest.mark.skipif(shutil.which("printf") is None, reason="there is no printf")
async def test_functions_and_commands_are_called_as_tools(engine: hocket.Engine) -> None:
    plan = Plan("p")
    say = Tool("say", command=["printf", "%s!", "{{args.word}}"], args={"word": str})
    able = Agent("able", scripted={"replies": [{"calls": CALLS}, {}]}, tools=[look, say])
    told = plan.step("told", able, "go")
    result = await engine.run(plan)
    assert "src is 1 deep" in result[told]
    assert "well!" in result[told]


async def test_an_answer_that_is_kept_is_given_again(engine: hocket.Engine) -> None:
    plan = Plan("p", max_parallel=1)
    able = Agent("able", scripted={"replies": ["once", "twice"]}, cache="1h")
    first = plan.step("first", able, "go")
    again = plan.step("again", able, "go", first)
    result = await engine.run(plan)
    assert (result[first], result[again]) == ("once", "once")
    assert (result.tally.finished, result.tally.kept) == (2, 1)


TOOLS = '''
def look(path: str, deep: int = 1) -> str:
    """Look into a folder."""
    return f"{path} is {deep} deep"


def raw(*paths: str) -> str:
    return ""
'''
FILE = """\
version: 1
tools:
  look: {function: "hocket_test_teams_tools:look"}
  say: {command: [./say.sh, "{{args.word}}"], args: {word: str}, effects: false}
agents:
  ada: {tools: [look, say], scripted: {replies: [{calls: [CALLS]}, {}]}}
plans:
  p: {steps: {a: {agent: ada, prompt: go}}}
"""
SCRIPT = '#!/bin/sh\nprintf "%s!" "$1"\n'


def written(folder: Path, text: str = FILE) -> Path:
    (folder / "hocket_test_teams_tools.py").write_text(TOOLS)
    (folder / "say.sh").write_text(SCRIPT)
    (folder / "say.sh").chmod(0o755)
    calls = "{name: look, args: {path: src}}, {name: say, args: {word: well}}"
    (folder / "f.yaml").write_text(text.replace("CALLS", calls))
    return folder / "f.yaml"


async def test_tools_of_a_file_are_found_beside_it(engine: hocket.Engine, tmp_path: Path) -> None:
    path = written(tmp_path)
    spec = load_plan(path)
    tool = spec.agents["ada"].tools["look"]
    assert tool.about == "Look into a folder."
    assert tool.schema["required"] == ["path"]
    result = await engine.run(spec)
    assert "src is 1 deep" in result["a"]
    assert "well!" in result["a"]


def test_a_file_that_is_only_checked_imports_nothing(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "hocket_test_teams_tools.py").write_text("raise SystemExit('imported')")
    spec: RunSpec = load_file(path).spec()
    assert spec.agents["ada"].tools["look"].schema is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("tools:look", "tools:lok", "f.yaml:3:20: there is no 'lok' in hocket_test_teams_tools; "),
        ("teams_tools:look", "nothing:look", "f.yaml:3:20: 'hocket_test_nothing:look' cannot be"),
        ("tools:look", "tools:raw", "cannot be given by name; say what it takes by args"),
    ],
)
def test_a_function_that_cannot_be_a_tool_is_told_where_it_is_named(
    old: str, new: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, FILE.replace(old, new))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError) as caught:
        load_plan(path.name)
    assert said in str(caught.value)
