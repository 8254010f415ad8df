"""Schemathesis over the whole OpenAPI document: whatever is sent, the server does not fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from sorairo.serving.app import create_app
from sorairo.serving.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("examples", [1, pytest.param(60, marks=pytest.mark.slow)])
def test_nothing_makes_the_server_fail(tmp_path: Path, examples: int) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings

    app = create_app(Settings(folder=tmp_path / "data", min_free=0, max_queued=50), housekeeping=False)
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    failed: list[str] = []
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path == "/v1/images/generations":  # it waits for a worker
            continue

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(case=operation.as_strategy())
        def one(case: object) -> None:
            answer = case.call(timeout=30)  # pyright: ignore[reportAttributeAccessIssue]
            if answer.status_code >= 500:
                failed.append(f"{answer.status_code} {case!r}"[:400])

        one()
    assert not failed, "\n".join(failed[:10])
