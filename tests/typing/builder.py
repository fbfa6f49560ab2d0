"""What a type checker sees of the builder: outputs flow from step to step with their types."""

from dataclasses import dataclass
from typing import Any, TypedDict, assert_type

from hocket.config.agent import Agent
from hocket.config.builder import Plan
from hocket.config.handles import Approval, Ref, Step
from hocket.config.limit import Budget, Limit


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
