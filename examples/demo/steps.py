"""The functions of the plan beside this file: plain Python that knows nothing of Hocket but File.

Arguments and results are JSON, so that a run can be taken up by another process.
What git says comes from strangers: it is never more than text here.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, TypedDict

from hocket import File

TOP_AUTHORS = 5
TOP_FILES = 10
READ_BY_MODEL = 700


class Commit(TypedDict):
    hash: str
    date: str
    author: str
    subject: str
    merge: bool
    text: str


class Note(TypedDict):
    kind: str
    headline: str


class Named(TypedDict):
    name: str
    commits: int


class Figures(TypedDict):
    authors: list[Named]
    all_authors: int
    files: list[Named]
    all_files: int
    cut: bool


def read_messages(messages: list[str]) -> dict[str, list[Commit]]:
    """Take apart what `git log` wrote about each commit."""
    commits: list[Commit] = []
    for message in messages:
        # A message that was cut may lack its last fields.
        fields = [*message.split("\0", 5), "", "", "", "", ""]
        subject = fields[4].strip()
        text = f"{subject}\n\n{fields[5].strip()}".strip()
        commits.append(
            {
                "hash": fields[0].strip(),
                "date": fields[1],
                "author": fields[2],
                "subject": subject or "(no message)",
                "merge": " " in fields[3],
                "text": text[:READ_BY_MODEL] or "(no message)",
            }
        )
    return {"commits": commits}


def count_names(authors: list[str], changed: str) -> Figures:
    """Count in how many commits a name occurs; `changed` has NULs between its names."""
    *files, rest = changed.split("\0")
    by_author = Counter(authors)
    by_file = Counter(name for name in files if name)
    return {
        "authors": _top(by_author, TOP_AUTHORS),
        "all_authors": len(by_author),
        "files": _top(by_file, TOP_FILES),
        "all_files": len(by_file),
        # git ends every name with a NUL: a rest means that the output was longer than is kept.
        "cut": bool(rest),
    }


def _top(counted: Counter[str], most: int) -> list[Named]:
    # Ties in alphabetical order, so that the same history gives the same report.
    ranked = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"name": name, "commits": commits} for name, commits in ranked[:most]]


def draft(
    about: dict[str, Any],
    count: int,
    beginning: list[str] | None,
    commits: list[Commit],
    notes: list[Note | None] | None,
    figures: Figures,
    run: str,
) -> str:
    """Write the report: figures from git alone, and the model's words apart from them."""
    counted = min(count, about["window"])
    since = f" since {min(beginning)}" if beginning else ""
    shallow = " A shallow clone: older commits are not here." if about["shallow"] else ""
    lines = [
        f"# {escape(about['name'])}: the latest commits",
        "",
        f"{count:,} {_commits(count)}{since}.{shallow}",
        f"{len(commits):,} of {count:,} commits were read one by one; "
        f"authors and files are counted over the latest {counted:,}.",
        "",
        "## Commits",
        "",
        "| Commit | Date | Author | Subject |",
        "|---|---|---|---|",
    ]
    for commit in commits:
        cells = (commit["hash"][:10], commit["date"], commit["author"], commit["subject"])
        lines.append(f"| {' | '.join(escape(cell) for cell in cells)} |")
    lines += ["", f"## Labels by {escape(about['reader'])}", ""]
    lines += _noted(commits, notes)
    lines += ["", "## Files changed most often", ""]
    lines += [f"- {escape(f['name'])}: {f['commits']:,}" for f in figures["files"]] or ["- none"]
    cut = ", of a list too long to be kept whole" if figures["cut"] else ""
    lines += ["", f"{figures['all_files']:,} files in {counted:,} {_commits(counted)}{cut}."]
    lines += ["", "## Authors of most commits", ""]
    lines += [f"- {escape(a['name'])}: {a['commits']:,}" for a in figures["authors"]]
    lines += ["", f"{figures['all_authors']:,} in all.", "", f"Made by the run {run}.", ""]
    return "\n".join(lines)


def _noted(commits: list[Commit], notes: list[Note | None] | None) -> list[str]:
    if notes is None:
        return ["Nothing: it was late or has failed, and the report did not wait for it."]
    pairs = [(commit, note) for commit, note in zip(commits, notes, strict=True) if note]
    kinds = Counter(note["kind"] for _, note in pairs)
    told = ", ".join(f"{kinds[kind]} {kind}" for kind in sorted(kinds)) or "nothing"
    lines = [
        "These words and labels were made up by it and checked by nobody.",
        "",
        f"It labelled {len(pairs)} of {len(commits)} {_commits(len(commits))}: {told}.",
        "",
    ]
    for commit, note in pairs:
        headline = escape(note["headline"])
        lines.append(f"- {escape(commit['hash'][:10])}, {note['kind']}: {headline}")
    return lines


def _commits(number: int) -> str:
    return "commit" if number == 1 else "commits"


def escape(text: str, most: int = 100) -> str:
    """Make a stranger's text one harmless line of Markdown."""
    line = "".join(letter if letter.isprintable() else " " for letter in text).strip()
    line = line if len(line) <= most else line[: most - 1] + "…"
    return re.sub(r"([\\`*_{}\[\]<>#|~&])", r"\\\1", line)


def write(text: str, folder: str, name: str) -> dict[str, str | File]:
    """Write the report, and have Hocket keep a copy; a path that is not absolute begins here."""
    path = Path(__file__).parent / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return {"path": str(path), "file": File(path)}
