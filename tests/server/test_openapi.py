"""What the OpenAPI document says of the routes is true: schemathesis finds nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.server.conftest import ROOMY
from tests.server.kit import PLANS, Served, serving

from hocket.server.settings import Settings

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
SLOW = {"/api/runs/{run}/explain", "/api/runs/{run}/simulate", "/api/plans/check"}
"""Those that start processes get fewer examples."""
ENDLESS = {"/api/runs/{run}/agui"}


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server on a state folder with runs of every kind in it."""
    folder: Path = tmp_path_factory.mktemp("lived")
    file = folder / "plans.yaml"
    file.write_text(PLANS)
    with serving(folder / "state", [file], settings=Settings(quotas=ROOMY)) as server:
        for run, plan in (("done", "say"), ("asks", "ask"), ("waits", "tell"), ("failed", "fail")):
            server.post("/api/runs", {"plan": plan, "run_id": run})
        server.until("done", "succeeded")
        server.until("failed", "failed")
        yield server


@pytest.fixture(scope="module")
def document(lived: Served) -> schemathesis.schemas.BaseSchema:
    return schemathesis.openapi.from_dict(lived.get("/openapi.json"))


def test_nothing_that_is_asked_breaks_the_server_or_the_document(
    lived: Served, document: schemathesis.schemas.BaseSchema
) -> None:
    document.config.base_url = lived.url
    headers = {"Authorization": f"Bearer {lived.tokens.operate}"}
    seen: Counter[int] = Counter()

    def ask(case: schemathesis.Case) -> None:
        response = case.call(headers=headers, timeout=60)
        seen[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    tried = 0
    for result in document.get_all_operations():
        operation = result.ok()
        if operation.path in ENDLESS:
            continue
        bounded = settings(
            max_examples=4 if operation.path in SLOW else 40,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        # Half of the time the run is one that there is.
        known = st.sampled_from(["done", "asks", "waits", "failed"])
        cases = st.builds(_of_run, operation.as_strategy(), st.none() | known)
        bounded(given(case=cases)(ask))()
        tried += 1
    assert tried > 20
    # Not all was turned away before anybody looked at it.
    assert seen[200] > 100 and seen[404] > 10 and seen[409] > 5, seen


def _of_run(case: schemathesis.Case, run: str | None) -> schemathesis.Case:
    if run is not None and "run" in case.path_parameters:
        case.path_parameters["run"] = run
    if "wait" in (case.query or {}):
        # Whoever waits for an event that never comes is answered after 50 s.
        case.query["wait"] = 0
    return case
