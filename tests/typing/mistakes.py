"""Mistakes in a plan that a type checker must find.

Each is excused by the code of its error, so that `mypy --strict` complains where one is no longer
found; the comment behind it is a part of the message, which `test_mistakes.py` looks for.
"""

from dataclasses import dataclass

from hocket.config.agent import Agent
from hocket.config.builder import Plan
from hocket.config.limit import Budget, Limit
from hocket.config.team import Review, Seat
from hocket.config.tool import Tool


@dataclass
class Patch:
    text: str


def weigh(patch: Patch) -> int:
    return len(patch.text)


async def join(left: str, right: str) -> str:
    return left + right


plan = Plan("p")
coder = Agent("coder", model="openai:x", output=Patch)
patch = plan.step("patch", coder, "Write it")
weight = plan.call("weight", weigh, patch)
words = plan.command("words", ["ls"], lines=True)

plan.call("a", weigh, weight)  # type: ignore[arg-type]  # incompatible type "Step[int]"
plan.call("b", weigh, "a text")  # type: ignore[arg-type]  # incompatible type "Callable[[Patch], int]"
plan.call("c", weigh)  # type: ignore[arg-type]  # incompatible type "Callable[[Patch], int]"
plan.call("d", join, words, "x")  # type: ignore[arg-type]  # incompatible type "Step[list[str]]"
plan.call("e", weigh, patch, timeuot=3)  # type: ignore[call-overload]  # No overload variant
plan.map("f", weigh, words)  # type: ignore[arg-type]  # incompatible type "Callable[[Patch], int]"
plan.step("g", "coder", "Write it")  # type: ignore[call-overload]  # No overload variant of "step"
plan.step("h", coder, "x", on_failure="ignore")  # type: ignore[call-overload]  # No overload variant
plan.approval("i", "Well?", on_timeout="wait")  # type: ignore[arg-type]  # incompatible type "Literal['wait']"
Agent("x", modle="openai:x")  # type: ignore[call-overload]  # No overload variant of "Agent"
plan.step("j", coder, "x", uses={"gpu": 1})  # type: ignore[dict-item]  # expected "Limit": "int"
Limit("api", request="9/min")  # type: ignore[call-arg]  # Unexpected keyword argument "request"
Budget(1.00, per="week")  # type: ignore[arg-type]  # incompatible type "Literal['week']"
step: Plan = weight  # type: ignore[assignment]  # Incompatible types in assignment
agreed = plan.consensus("k", "Which?", agents=[coder, coder])
plan.call("l", weigh, agreed.answer)  # type: ignore[arg-type]  # incompatible type "Ref[str]"
plan.consensus("m", "Which?", agents=[coder], policy="twice")  # type: ignore[call-overload]  # No overload variant of "consensus"
plan.consensus("n", "Which?", agents=["coder"])  # type: ignore[list-item]  # expected "Agent[Any] | Seat"
plan.review("o", agreed, by=coder, swram=3)  # type: ignore[call-arg]  # Unexpected keyword argument "swram"
plan.panel("p", "Which?", agents={"a": coder})  # type: ignore[call-arg]  # Missing named argument "synthesis"
Review(by=coder, protocol="twice")  # type: ignore[arg-type]  # incompatible type "Literal['twice']"
Seat("coder")  # type: ignore[arg-type]  # expected "Agent[Any]"
Tool("grep", command=["grep"], cdw="/")  # type: ignore[call-arg]  # Unexpected keyword argument "cdw"
