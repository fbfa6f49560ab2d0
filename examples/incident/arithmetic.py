"""What the numbers of the incident's report can be, and what they cannot be.

It reads the facts beside it and prints what follows from them by arithmetic alone.
"""

from __future__ import annotations

import json
from datetime import datetime
from math import ceil
from pathlib import Path
from typing import Any

FACTS = Path(__file__).with_name("facts.json")


def main() -> None:
    """Print what follows from the facts."""
    facts: dict[str, Any] = json.loads(FACTS.read_text(encoding="utf-8"))
    count = len(facts["agents"])
    restarts = sum(facts["restarts"].values())
    rounds = count + restarts
    needed = count + facts["votes"]
    answers = sorted(facts["answers"].values())
    lasted = _instant(facts["end"]) - _instant(facts["start"])

    print(f"duration: stated {facts['seconds_stated']:,} s; from start to end it is {lasted:.0f} s")
    print(f"restarts: {restarts} is the sum over all {count} agents already")
    print(
        f"  times {count} again it would be {facts['extra_calls_stated']}, which counts each twice"
    )
    print(f"model rounds: {count} first ones + {restarts} = {rounds}; {needed} were needed")
    print(f"  so {rounds - needed} were in vain: {rounds / needed:.2f} times what was needed")
    late = [at for at in answers if at > 60]
    early = count - len(late)
    print(f"answers: {early} by {answers[early - 1]} s, then none for most of a minute,")
    print(f"  then {len(late)} within {late[-1] - late[0]:.2f} s of each other")
    least = 0
    for model, about in facts["models"].items():
        amount, agents = about["requests_per_minute"], about["agents"]
        calls = sum(1 + facts["restarts"][agent] for agent in agents)
        windows = (ceil(calls / amount) - 1) * 60
        least = max(least, windows)
        print(f"{model}: {len(agents)} first calls fit its {amount} a minute at once;")
        print(f"  all its {calls} calls need {windows} s and one answer's time at least")
    stated = facts["seconds_stated"]
    print(f"limits: they explain {least} s of {lasted:.0f} s, and of the stated {stated:,} s")


def _instant(clock: str) -> float:
    return datetime.strptime(clock, "%H:%M:%S").timestamp()


if __name__ == "__main__":
    main()
