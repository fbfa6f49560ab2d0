"""What a type checker sees of the builder: outputs flow from step to step with their types."""

from dataclasses import dataclass
from typing import Any, TypedDict, assert_type

from hocket.app.result import Result
from hocket.config.agent import Agent
from hocket.config.builder import Plan
from hocket.config.handles import Approval, Ref, Step
from hocket.config.limit import Budget, Limit
from hocket.config.outcomes import Consensus, Decided
from hocket.config.panel import Contributor, Learned
from hocket.config.team import Review, Seat
from hocket.config.tool import Cache, Tool


@dataclass
class Patch:
    files: dict[str, str]


class Note(TypedDict):
    text: str


class Talk:
    def __init__(self, text: str) -> None:
        self.text = text


async def run_tests(api: Patch, worker: Patch) -> int:
    return len(api.files) + len(worker.files)


def count(text: str) -> int:
    return len(text)


def nothing() -> None: ...


async def names() -> list[str]:
    return ["a"]


def scale(text: str, by: float) -> float:
    return len(text) * by


def six(a: int, b: str, c: float, d: bool, e: Patch, f: list[int]) -> Note:
    return {"text": f"{a}{b}{c}{d}{e}{f}"}


coder = Agent("coder", model="openai:gpt-5.2", output=Patch)
critic = Agent("critic", model="openai:gpt-5.2")
noter = Agent("noter", local="smollm2-135m", output=Note)
lister = Agent("lister", command=["ls"], output=list[str])
assert_type(coder, Agent[Patch])
assert_type(critic, Agent[str])
assert_type(noter, Agent[Note])
assert_type(lister, Agent[list[str]])

plan = Plan("release", max_parallel=6, timeout="2h", inputs=["goal"])
schema = plan.step("schema", coder, "Write the schema for {{inputs.goal}}", needs=[])
api = plan.step("api", coder, f"Implement the API over {schema}", schema)
worker = plan.step("worker", coder, f"Implement the worker over {schema}", timeout="10m", retry=1)
assert_type(schema, Step[Patch])
assert_type(plan.step("words", critic, "Say something"), Step[str])
assert_type(plan.step("other", critic, "Give a note", output=Note), Step[Note])
assert_type(plan.step("many", critic, "{{item}}", each=api["files"]), Step[list[str]])

tests = plan.call("tests", run_tests, api, worker)
assert_type(tests, Step[int])
assert_type(plan.call("names", names), Step[list[str]])
assert_type(plan.call("count", count, plan.input("goal", str)), Step[int])
assert_type(plan.call("plain", count, "a plain value"), Step[int])
assert_type(plan.call("scale", scale, "x", 2, retry=2, mode="process"), Step[float])
assert_type(plan.call("nothing", nothing), Step[None])
assert_type(plan.call("six", six, tests, "b", 1.5, True, api, [1]), Step[Note])

found = plan.call("found", names)
assert_type(plan.map("counts", count, found), Step[list[int]])
assert_type(plan.map("scaled", scale, found, 2.0), Step[list[float]])
assert_type(plan.map("patches", coder, found, "Mend {{item}}"), Step[list[Patch]])
assert_type(plan.map("texts", count, "inputs.texts"), Step[list[int]])

assert_type(plan.command("log", ["git", "log"]), Step[str])
assert_type(plan.command("files", ["git", "ls-files"], lines=True), Step[list[str]])
assert_type(plan.command("json", ["x", "--json"], output=Note), Step[Note])
assert_type(plan.command("kept", ["make"], files=["*.txt"]), Step[dict[str, Any]])
assert_type(
    plan.approval("ship", "Ship it?", tests, timeout="4h", on_timeout="pause"), Step[Approval]
)
gpu = Limit("gpu", concurrency=1)
bound = Agent("bound", model="openai:gpt-5.2", limits=[gpu], budget=Budget(2, per="day"))
bounded = Plan("bounded", limits=gpu, budget=1.00, priority=5, weight=3, deadline="10m")
asked = bounded.step("a", bound, "x", uses={gpu: 1}, takes="3m", hedge="p95")
assert_type(asked, Step[str])
assert_type(bounded.call("b", count, asked, limits=gpu, uses={gpu: 1}), Step[int])
assert_type(plan.ask("word", "Which word?"), Step[str])
assert_type(plan.nest("inner", Plan("inner"), {"a": tests}), Step[Any])
assert_type(plan.input("goal", str), Ref[str])
assert_type(api["files"], Ref[Any])


def look(path: str) -> str:
    return path


def patch_of(patch: Patch) -> int:
    return len(patch.files)


grep = Tool("grep", command=["grep", "{{args.pattern}}"], args={"pattern": str}, env={"A": "b"})
able = Agent("able", model="openai:x", tools=[look, grep], max_turns=8, cache=Cache(ttl="1h"))
kept = Agent("kept", model="openai:x", output=Patch, cache="exact")
asked_all = plan.consensus(
    "all", "Which?", agents=[Seat(able, count=5, weight=2), kept], policy="rounds", decide=0.6
)
assert_type(asked_all, Decided[str])
assert_type(asked_all.answer, Ref[str])
agreed = plan.consensus("agreed", "Which?", api, agents=[able, able], output=Patch)
assert_type(agreed, Decided[Patch])
assert_type(agreed.answer, Ref[Patch])
assert_type(plan.call("agreed size", patch_of, agreed.answer), Step[int])
judged = plan.review("judged", agreed.answer, by=[able, Seat(kept)], swarm=6, threshold=0.6)
assert_type(judged.approved, Ref[bool])
assert_type(judged.issues, Ref[list[str]])
reviewed = plan.step("reviewed", coder, "x", review=Review(by=able, max_rounds=3, fixer=critic))
assert_type(reviewed, Step[Patch])
replied = plan.panel(
    "replied",
    "What now?",
    agents={"memory": Contributor(able, "Of {{question}}", fallback=critic), "count": count},
    synthesis=coder,
    within=Learned("10s", floor="1s"),
    revise=True,
)
assert_type(replied.reply, Ref[Patch])
assert_type(plan.call("replied size", patch_of, replied.reply), Step[int])


def outcome(result: Result) -> None:
    assert_type(result[agreed], Consensus[Patch])
    assert_type(result[agreed].answer, Patch)
    assert_type(result[judged].approved, bool)
    assert_type(result[replied].reply, Patch)
