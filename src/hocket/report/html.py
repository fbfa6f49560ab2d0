"""An explanation as one page for a browser: a single file that loads nothing from anywhere.

What is read first is written as HTML here; the table of calls and the timeline are drawn by the
script beside it, `page/explain.js`, from `hocket.report.html_data`.
The page's own policy lets nothing else run: scripts and styles are allowed by their hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final
from urllib.parse import quote

import msgspec

from hocket.core.reports import FATES
from hocket.insight.account import Spent, work_of
from hocket.insight.causes import KINDS, Cause
from hocket.insight.explain import Explanation
from hocket.insight.findings import Finding
from hocket.insight.load import RUN
from hocket.report.gains import LABELS, Told, gain_told
from hocket.report.html_data import VIEWS, page_data
from hocket.report.html_parts import h, link, row_of, section, share_text, swatch, table, took_text
from hocket.report.html_teams import teams
from hocket.report.palette import LOOKS, cause_name, fate_name
from hocket.report.picture_use import NARROW, WIDE, costs, loads, windows
from hocket.report.svg import STYLE, escape, hatches, inline, rect, tag
from hocket.report.text import dollars
from hocket.simulator.outcome import Gain

_MOST_SPENT: Final = 60
_MOST_CHAIN: Final = 25
_PARTS: Final = (
    ("shares", "time"),
    ("findings", "findings"),
    ("chain", "chain"),
    ("timeline", "timeline"),
    ("calls", "calls"),
    ("teams", "teams"),
    ("spending", "money"),
    ("pictures", "use"),
)
_COLUMNS: Final = (
    ("call", ""),
    ("agent", ""),
    ("model", ""),
    ("began", "n"),
    ("waited", "n"),
    ("for", ""),
    ("took", "n"),
    ("fate", ""),
    ("tokens", "n"),
    ("cost", "n"),
    ("on the chain", ""),
)


def explain_html(explanation: Explanation, gains: Sequence[Gain] = ()) -> str:
    """Write an explanation as one page.

    Args:
        explanation: It.
        gains: What was simulated of the changes that its findings propose.
    """
    data = page_data(explanation)
    style, script = STYLE + _file("explain.css"), _file("explain.js")
    # Within an element for data nothing but its end tag is markup.
    packed = msgspec.json.encode(data).decode().replace("<", "\\u003c")
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    trace = explanation.trace
    head = (
        h("meta", charset="utf-8")
        + h("meta", http_equiv="Content-Security-Policy", content=policy)
        + h("meta", name="viewport", content="width=device-width, initial-scale=1")
        + h("meta", name="color-scheme", content="light dark")
        + h("title", escape(f"{trace.name or trace.run}: why it took {took_text(trace.took)}"))
        + f"<style>{style}</style>"
    )
    sections = (
        _header(explanation),
        _shares(explanation),
        _findings(explanation, {gain.finding: gain_told(gain) for gain in gains}),
        _chain(explanation),
        _timeline(sorted({row[0] for row in data["causes"]})),
        _calls(explanation, data["notes"]),
        teams(explanation),
        _spending(explanation),
        _pictures(explanation),
        _unknown(explanation),
    )
    body = (
        h("a", "Skip to the table of calls", class_="skip", href="#calls")
        + tag("svg", hatches(), width=0, height=0, aria_hidden="true", class_="skip")
        + h("main", "".join(sections))
        + h("script", packed, id="data", type="application/json")
        + f"<script>{script}</script>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'


# ---- files beside this one ----


@cache
def _file(name: str) -> str:
    return (files("hocket.report") / "page" / name).read_text("utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


# ---- sections ----


def _header(told: Explanation) -> str:
    trace = told.trace
    status = trace.status or "ended"
    words = [trace.name or trace.run, f"run {trace.run}", status]
    if trace.source != "hocket":
        words.append(f"read from a log of {trace.source}")
    took = "took " + link("#chain-0", took_text(trace.took))
    bounds = told.bounds
    name, href = _bound(bounds.binds)
    best = (
        "No schedule of the calls that counted could have taken less than "
        f"{link(href, took_text(bounds.best))} ({escape(name)}): "
        f"the run's efficiency is {link(href, f'{100 * bounds.efficiency:.0f} %')}."
    )
    parts = [link(f"#{id_}", name) for id_, name in _PARTS if id_ != "teams" or told.chains.teams]
    return h(
        "header",
        h("p", escape(" · ".join(words)) + " · " + took, class_="soft")
        + h("h1", escape(told.headline))
        + h("p", best)
        + h("nav", " · ".join(parts), aria_label="parts"),
    )


def _bound(binds: str) -> tuple[str, str]:
    """Give the words for what bounds a run, and what is chosen by them."""
    kind, _, name = binds.partition(":")
    if kind == "path":
        return "the longest path of work", "#path-0"
    words = cause_name(Cause("slot" if kind == "slot" else "rate", name))
    if name == RUN:
        return words, "#counted-0"
    agent = name.removeprefix("agent:")
    return words, f"#{'limit' if agent == name else 'agent'}-{quote(agent, safe='')}"


def _shares(told: Explanation) -> str:
    took, shares = told.trace.took, told.account.shares
    numbers = {cause: number for number, cause in enumerate(shares)}
    stretches = Counter(segment.cause for segment in told.account.segments)
    at, boxes = 0.0, []
    ordered = sorted(shares.items(), key=lambda item: (-item[1], numbers[item[0]]))
    for cause, amount in ordered:
        part = 100 * amount / took if took else 0.0
        title = h("title", escape(f"{cause_name(cause)}: {share_text(amount, took)}"))
        place = {"x": f"{at:.4f}%", "width": f"{part:.4f}%", "height": "100%"}
        boxes.append(tag("rect", title, class_=f"k-{cause.kind}", **place))
        at += part
    label = "shares of the wall time, as in the table below"
    bar = tag("svg", "".join(boxes), class_="bar", role="img", aria_label=label)
    rows = []
    for cause, amount in ordered:
        href = f"#cause-{numbers[cause]}"
        rows.append(
            row_of(
                [
                    (swatch(cause.kind) + escape(cause_name(cause)), ""),
                    (link(href, took_text(amount)), "n"),
                    (link(href, share_text(amount, took)), "n"),
                    (link(href, f"{stretches[cause]:,}"), "n"),
                ]
            )
        )
    foot = row_of(
        [
            ("wall time", ""),
            (link("#chain-0", took_text(took)), "n"),
            (link("#chain-0", share_text(took, took)), "n"),
            (link("#chain-0", f"{len(told.account.segments):,}"), "n"),
        ]
    )
    head = [("the finish waited for", ""), ("time", "n"), ("share", "n"), ("stretches", "n")]
    return section("shares", "Where the time went", bar + table(head, rows, foot))


def _findings(told: Explanation, gains: dict[int, Told]) -> str:
    if not told.findings:
        text = "Nothing stands out: there is no cause that a change would be worth."
        return section("findings", "Findings", h("p", text))
    items = [
        _finding(told, place, finding, gains.get(place))
        for place, finding in enumerate(told.findings)
    ]
    return section("findings", "Findings", h("ol", "".join(items), class_="findings"))


def _finding(told: Explanation, place: int, finding: Finding, gain: Told | None) -> str:
    href = f"#finding-{place}"
    cost = []
    if finding.cost:
        cost.append(f"{took_text(finding.cost)}, {100 * finding.share:.0f} % of the run")
    if finding.money:
        cost.append(dollars(finding.money))
    if finding.tokens:
        cost.append(f"{finding.tokens:,} tokens")
    parts = [h("strong", escape(finding.title))]
    if cost:
        parts.append(h("div", "It cost " + link(href, ", ".join(cost)) + "."))
    if finding.detail:
        parts.append(h("div", escape(finding.detail)))
    if finding.advice:
        label = "try" if gain is None else LABELS[gain.worth]
        parts.append(h("div", f"{label.capitalize()}: {escape(finding.advice)}"))
    if finding.change:
        settings = " ".join(f"--set {change}" for change in finding.change)
        parts.append(h("div", h("code", escape(settings))))
    if gain is not None:
        parts.append(h("div", "Simulated: " + h("span", escape(gain.words), class_="gain")))
    count, kind = len(finding.evidence), told.trace.evidence
    if count:
        shown = f"{count:,} {kind}{'' if count == 1 else 's'}"
        parts.append(h("div", "Evidence: " + link(href, shown), class_="soft"))
    return h("li", "".join(parts))


def _chain(told: Explanation) -> str:
    """Sum up the chain by what it went through; the stretches themselves are a selection."""
    account, path = told.account, told.critical
    sums: dict[int, int] = {}
    for segment in account.segments:
        if segment.activity >= 0:
            long = segment.until - segment.since
            sums[segment.activity] = sums.get(segment.activity, 0) + long
    began, took = told.trace.began, told.trace.took
    shown = [index for index in account.chain if sums.get(index)]
    if len(shown) > _MOST_CHAIN:
        most = sorted(shown, key=lambda index: (-sums[index], index))[:_MOST_CHAIN]
        shown = sorted(most, key=lambda index: (told.trace.activities[index].asked, index))
    rows = []
    for index in shown:
        activity = told.trace.activities[index]
        href = f"#call-{index}"
        cause = work_of(activity)
        rows.append(
            row_of(
                [
                    (link(href, took_text(activity.asked - began)), "n"),
                    (swatch(cause.kind) + link(href, activity.name), "call"),
                    (escape(activity.agent), ""),
                    (link(href, took_text(max(0, activity.began - activity.asked))), "n"),
                    (link(href, took_text(sums[index])), "n"),
                    (link(href, share_text(sums[index], took)), "n"),
                ]
            )
        )
    steps = link("#chain-0", f"{len(account.chain):,} calls in {len(account.segments):,} stretches")
    text = f"The run could end because of {steps}, each of which made the next one possible. "
    works = link("#path-0", f"{len(path.chain):,} calls, {took_text(path.length)}")
    text += f"The longest path of work alone, waits left out: {works}."
    if len(shown) < len(account.chain):
        text += f" Below are the {len(shown):,} that took most of the time."
    head = [("asked", "n"), ("call", ""), ("agent", ""), ("waited", "n")]
    head += [("of the wall time", "n"), ("share", "n")]
    return section("chain", "The critical chain", h("p", text) + table(head, rows))


def _spending(told: Explanation) -> str:
    total = told.spending.total
    rows = [(f"#spent-{place}", row) for place, row in enumerate(told.spending.rows)]
    by_cost = sorted(
        rows, key=lambda item: (-item[1].cost, -item[1].tokens_in - item[1].tokens_out)
    )
    lines = []
    for href, row in by_cost[:_MOST_SPENT]:
        said = fate_name(row.fate, row.calls, row.lost)
        names = [(escape(name), "") for name in (said, row.agent, row.step)]
        lines.append(row_of(names + _spent(href, row)))
    text = ""
    if len(rows) > _MOST_SPENT:
        text = h("p", f"{_MOST_SPENT} of {len(rows):,} rows, the dearest; the sums are of all.")
    fates = []
    for fate in (*FATES, ""):
        some = [row for row in told.spending.rows if row.fate == fate]
        if some:
            whole = _sum(some)
            said = fate_name(fate, whole.calls, whole.lost)
            fates.append(row_of([(said, ""), *_spent(f"#fate-{fate}", whole)]))
    foot = row_of([("all", ""), *_spent("#counted-0", total)])
    numbers = [("calls", "n"), ("read", "n"), ("written", "n"), ("cost", "n")]
    by_fate = table([("fate", ""), *numbers], fates, foot)
    head = [("fate", ""), ("agent", ""), ("step", ""), *numbers]
    more = h("details", h("summary", "By fate, agent and step") + text + table(head, lines))
    return section("spending", "Where money and tokens went", by_fate + more)


def _sum(rows: Sequence[Spent]) -> Spent:
    return Spent(
        calls=sum(row.calls for row in rows),
        lost=sum(row.lost for row in rows),
        cached=sum(row.cached for row in rows),
        tokens_in=sum(row.tokens_in for row in rows),
        tokens_out=sum(row.tokens_out for row in rows),
        cost=sum(row.cost for row in rows),
        unpriced=sum(row.unpriced for row in rows),
    )


def _spent(href: str, row: Spent) -> list[tuple[str, str]]:
    calls = f"{row.calls:,}" + (f" and {row.cached:,} kept" if row.cached else "")
    cost = dollars(row.cost) if row.cost or not row.unpriced else ""
    if row.unpriced:
        cost = f"{cost}, {row.unpriced:,} unpriced".removeprefix(", ")
    texts = (calls, f"{row.tokens_in:,}", f"{row.tokens_out:,}", cost)
    return [(link(href, text), "n") for text in texts]


def _calls(told: Explanation, notes: Sequence[str]) -> str:
    heads = "".join(
        h(
            "th",
            h("button", escape(name), type="button"),
            class_=look or None,
            scope="col",
            aria_sort="none",
        )
        for name, look in _COLUMNS
    )
    heads += h("th", f"{told.trace.evidence}s", class_="n", scope="col")
    listing = h("table", h("thead", h("tr", heads)) + h("tbody", id="rows"))
    tools = (
        h("label", "Find " + h("input", id="find", type="search", size="18"))
        + h("label", "Fate " + h("select", h("option", "any", value=""), id="fate"))
        + h("button", "Previous", id="previous", type="button")
        + h("button", "Next", id="next", type="button")
        + h("span", id="shown", class_="soft", role="status")
        + h("button", "Show all calls", id="all", type="button", hidden="")
    )
    panel = h(
        "div",
        h("div", id="details"),
        id="selection",
        tabindex="-1",
        hidden="",
        role="region",
        aria_live="polite",
        aria_label="What is chosen",
    )
    inner = (
        "".join(h("p", escape(note), class_="soft") for note in notes)
        + panel
        + h("div", tools, class_="tools")
        + h("div", listing, class_="wide tall", tabindex="0", role="group", aria_label="All calls")
        + h("noscript", h("p", "The table and the timeline need scripts to be on."))
    )
    return section("calls", "All calls", inner)


def _timeline(kinds: Sequence[int]) -> str:
    views = "".join(
        h("button", f"by {by}", type="button", data_by=by, aria_pressed="false") for by in VIEWS
    )
    zooms = "".join(
        h("button", text, id=id_, type="button", aria_label=label)
        for id_, text, label in (
            ("closer", "+", "zoom in"),
            ("further", "−", "zoom out"),
            ("whole", "whole run", "show the whole run"),
        )
    )
    keys = (
        "Drag to move; click a bar to choose its call. After a click the wheel zooms. Keys: "
        + ", ".join(
            "".join(h("kbd", key) for key in held) + f" {does}"
            for held, does in (
                ("←→", "move"),
                ("↑↓", "rows"),
                ("+−", "zoom"),
                ("0", "whole run"),
                ("WASD", "zoom and move"),
                ("NP", "next and previous call"),
            )
        )
        + f", {h('kbd', 'Esc')} choose nothing."
    )
    canvas = h(
        "canvas",
        id="canvas",
        tabindex="0",
        role="application",
        aria_label="Timeline of the run; the table of all calls has the same facts",
        aria_describedby="keys status",
    )
    tools = h("div", views, class_="tools", id="views", role="group", aria_label="rows by")
    inner = (
        tools
        + h("div", zooms, class_="tools")
        + _legend(kinds)
        + h("div", h("div", canvas, id="spacer"), id="scroll")
        + h("p", id="status", class_="soft")
        + h("p", keys, id="keys", class_="soft")
        + h("div", id="tip", hidden="", role="tooltip")
    )
    return section("timeline", "Timeline", inner)


def _legend(kinds: Sequence[int]) -> str:
    shown = [KINDS[number] for number in kinds]
    items = [h("li", swatch(kind) + escape(LOOKS[kind].name)) for kind in shown]
    bold = tag("svg", rect(0, 5, 22, 3, "dot"), class_="swatch", width=22, height=14)
    items.append(h("li", bold + "the finish waited for this call"))
    return h("ul", "".join(items), class_="legend", aria_label="legend")


def _pictures(told: Explanation) -> str:
    # Each is there twice, since text that is made smaller with its picture cannot be read.
    figures = [
        h("figure", "".join(h("div", inline(drawing), class_=look) for drawing in drawings))
        for look, shape in (("picture", WIDE), ("picture phone", NARROW))
        if (drawings := [one for draw in (loads, windows, costs) if (one := draw(told, shape))])
    ]
    return section("pictures", "Use of slots, limits and money", "".join(figures))


def _unknown(told: Explanation) -> str:
    trace = told.trace
    parts = []
    if trace.inferred:
        parts.append(
            h(
                "p",
                "What came after what is not recorded: it was worked out from instants.",
            )
        )
    if trace.missing:
        items = "".join(h("li", escape(text)) for text in trace.missing)
        parts.append(h("p", "The source does not tell:") + h("ul", items))
    if trace.disagreements:
        rows = [
            row_of([(escape(text), "") for text in (one.what, one.log, one.truth)])
            for one in trace.disagreements
        ]
        head = [("what", ""), ("the log says", ""), ("the other record says", "")]
        parts.append(table(head, rows))
    return section("unknown", "What is not known", "".join(parts)) if parts else ""
