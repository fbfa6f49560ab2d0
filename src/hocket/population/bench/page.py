"""The report as one HTML file that asks nobody for anything.

All that stands in it comes from the document of the run; no figure is written here.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import Any, Final

from hocket.population.bench import sections
from hocket.population.bench.sections import Section

STYLE: Final = """
:root { color-scheme: light }
body { margin: 0 auto; max-width: 70rem; padding: 2rem 1.5rem 4rem; background: #fff;
  color: #1a1a1a; font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .5rem }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; border-top: 1px solid #ddd; padding-top: 1.5rem }
p { max-width: 48rem }
.caption { color: #555; font-size: .85rem; max-width: none }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums;
  margin: .75rem 0 }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #e5e5e5;
  white-space: nowrap }
th { font-weight: 600; border-bottom: 2px solid #999; vertical-align: bottom }
th.text, td.text { text-align: left; white-space: normal; min-width: 7rem }
figure { margin: 1.25rem 0 } figure img { max-width: 100%; height: auto }
nav a { margin-right: 1rem } a { color: #0072b2 }
"""


def page(results: dict[str, Any], drawn: dict[str, bytes], caption: str) -> str:
    """Write the page.

    Args:
        results: The report's document.
        drawn: The SVG of each figure, by name.
        caption: About the machine; stands beneath each figure and table.
    """
    found = sections.sections(results)
    body = [f"<h1>{escape(sections.TITLE)}</h1>", _caption(caption)]
    links = [f'<a href="#{part.name}">{escape(part.title)}</a>' for part in found]
    body.append(f"<nav>{''.join(links)}</nav>")
    for part in found:
        body += _section(part, drawn, caption)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(sections.TITLE)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _section(part: Section, drawn: dict[str, bytes], caption: str) -> list[str]:
    lines = [f'<h2 id="{part.name}">{escape(part.title)}</h2>']
    lines += [f"<p>{escape(text)}</p>" for text in part.prose]
    if part.rows:
        lines += [_table(part.head, part.rows, part.texts), _caption(caption)]
    for name in part.figures:
        if name in drawn:
            data = base64.b64encode(drawn[name]).decode("ascii")
            image = f'<img alt="{escape(part.title)}" src="data:image/svg+xml;base64,{data}">'
            lines.append(f"<figure>{image}</figure>")
    lines += [f"<p>{escape(text)}</p>" for text in part.notes]
    return lines


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> str:
    """A table whose first columns are texts, and the others numbers."""

    def line(cells: Sequence[str], tag: str) -> str:
        marked = [
            f"<{tag}{' class=text' if place < texts else ''}>{escape(cell)}</{tag}>"
            for place, cell in enumerate(cells)
        ]
        return f"<tr>{''.join(marked)}</tr>"

    body = "\n".join(line(row, "td") for row in rows)
    return (
        f'<div class="scroll"><table><thead>{line(head, "th")}</thead>'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _caption(caption: str) -> str:
    return f'<p class="caption">{escape(caption)}</p>'
