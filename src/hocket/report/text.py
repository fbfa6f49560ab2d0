"""Small texts that several views share: counts, costs, causes, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from hocket.agents.terminal import plain
from hocket.core.machine import StepStatus, StepView
from hocket.core.values import format_duration
from hocket.insight.tally import Tally
from hocket.limits.words import limit_label

_SHOWN_FIRST: Final[tuple[StepStatus, ...]] = (
    "failed",
    "held",
    "waiting",
    "running",
    "stopped",
    "pending",
    "skipped",
)
_MARKS: Final[dict[StepStatus, str]] = {
    "pending": "·",
    "running": "●",
    "waiting": "◌",
    "succeeded": "✓",
    "failed": "✗",
    "skipped": "-",
    "held": "?",
    "stopped": "■",
}


def clean(text: str) -> str:
    """Take out of a text what would steer a terminal, or turn the direction of reading.

    What somebody is to decide about is shown by `hocket.agents.terminal.visible`, which leaves
    nothing out.
    """
    return plain(text)


def one_line(text: str, most: int = 200) -> str:
    """Make one line of a text, cut at a length."""
    line = " ".join(plain(text[: 4 * most]).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def clip(line: str, width: int) -> str:
    """Cut a line to a width."""
    return line if len(line) <= width else f"{line[: width - 1]}…"


def dollars(cost: int | None) -> str:
    """Write pico-dollars; an unknown price is said and never counts as 0."""
    if cost is None:
        return "unpriced"
    if not cost:
        return "$0.00"
    amount = cost / 1e12
    if amount >= 1:
        return f"${amount:.2f}"
    whole, _, rest = f"{amount:.6f}".rstrip("0").partition(".")
    return f"${whole}.{rest:0<2}"


def counts_words(counts: Mapping[StepStatus, int]) -> str:
    """Write how far a plan is: ``12/40 done · 1 failed · 3 running``."""
    total = sum(counts.values())
    words = [f"{counts.get('succeeded', 0)}/{total} done"]
    words += [f"{counts[name]} {name}" for name in _SHOWN_FIRST if counts.get(name)]
    return " · ".join(words)


def spent_words(tally: Tally) -> str:
    """Write calls, tokens and cost: ``9 calls · 1,204 + 310 tokens · $0.0042``."""
    words = ["1 call" if tally.made == 1 else f"{tally.made:,} calls"]
    if tally.tokens_in or tally.tokens_out:
        cached = f" ({tally.tokens_cached:,} cached)" if tally.tokens_cached else ""
        words.append(f"{tally.tokens_in:,}{cached} + {tally.tokens_out:,} tokens")
        words.append(dollars(tally.cost))
    if tally.unpriced:
        words.append(f"{tally.unpriced} unpriced")
    return " · ".join(words)


def kept_words(tally: Tally) -> str:
    """Write what kept answers have saved: ``3 answers kept from earlier, $0.0123 saved``."""
    if not tally.kept:
        return ""
    words = ["1 answer" if tally.kept == 1 else f"{tally.kept:,} answers"]
    words[0] += " kept from earlier"
    if tally.saved:
        words.append(f"{dollars(tally.saved)} saved")
    elif tally.saved_tokens:
        words.append(f"{tally.saved_tokens:,} tokens saved")
    return ", ".join(words)


_CAUSES: Final = {
    "backoff": "its back-off",
    "pause": "the run to go on",
    "commit": "the disk",
    "cache": "the answer to the same question",
    "share": "its turn beside other runs",
    "claim": "the journal's word on a shared limit",
}
_CAUSES_OF_A_LIMIT: Final = {
    "rate": "room in the rate of {}",
    "spacing": "the spacing of {}",
    "closed": "{}, which has refused calls,",
    "breaker": "{}, which is down,",
    "budget": "the budget {}",
    "reserved": "{}, kept for a larger call,",
}


def cause_words(cause: str) -> str:
    """Write the cause of a wait for a person: ``slot:agent:coder`` is "a slot of coder"."""
    kind, _, rest = cause.partition(":")
    if kind == "slot":
        return "a slot of the run" if rest == "run" else f"a slot of {rest.removeprefix('agent:')}"
    if kind in _CAUSES_OF_A_LIMIT:
        return _CAUSES_OF_A_LIMIT[kind].format(limit_label(rest))
    return _CAUSES.get(cause, cause)


def queue_words(cause: str, until: int | None, count: int, now: int) -> str:
    """Write what calls wait for and until when: "3 calls wait for …, 12 s to go"."""
    calls = "1 call waits" if count == 1 else f"{count:,} calls wait"
    words = f"{calls} for {cause_words(cause).rstrip(',')}"
    if until is None or until <= now:
        return words
    return f"{words}: the next may go in {format_duration(until - now)}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out cells in columns as wide as their widest cell."""
    cells = [list(head), *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def step_rows(views: Sequence[StepView]) -> list[list[str]]:
    """Give a table's row for each step: mark, path, state, who does it, detail."""
    rows = []
    for view in views:
        state = view.status
        if view.total is not None:
            state_text = f"{state} {view.done}/{view.total}"
        else:
            state_text = state
        who = view.agent or {"approve": "a person", "input": "a person", "plan": "a plan"}.get(
            view.kind, ""
        )
        rows.append([f"{_MARKS[state]} {view.path}", state_text, who, one_line(view.detail, 120)])
    return rows
