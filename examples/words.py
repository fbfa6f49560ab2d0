"""A plan built in Python: typed handles, a fan-out, a resume by run id."""

import sys

from hocket import Plan, run_sync


def words(text: str) -> list[str]:
    return text.split()


async def length(word: str) -> int:
    return len(word)


def longest(found: list[str], lengths: list[int]) -> str:
    return found[lengths.index(max(lengths))]


plan = Plan("words")
text = plan.input("text", str, default="many voices share one melody")
found = plan.call("words", words, text)
lengths = plan.map("lengths", length, found)
winner = plan.call("longest", longest, found, lengths)

if __name__ == "__main__":
    # With the id of a run that was cut off, that run goes on.
    result = run_sync(plan, run_id=sys.argv[1] if len(sys.argv) > 1 else None)
    print(f"{result[winner]!r} is the longest of {len(result[found])} words")
