"""What keeps a spec from being begun, whoever is to drive it."""

from __future__ import annotations

from hocket.app.budgets import budget_problems
from hocket.app.secrets import secret_problems
from hocket.core.errors import SpecError
from hocket.core.specs import RunSpec
from hocket.workflows.check import problems


def refuse_mistakes(spec: RunSpec) -> None:
    """See that a spec can be begun.

    Raises:
        SpecError: It has mistakes.
    """
    if found := problems(spec) or secret_problems(spec) or budget_problems(spec):
        raise SpecError(found)
