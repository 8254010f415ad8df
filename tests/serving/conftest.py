"""An API in this process, over a folder of its own, and a worker that is run by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from sorairo.serving.app import create_app
from sorairo.serving.service import Service
from sorairo.serving.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(folder=tmp_path / "data", hosts=("testserver",), poll=0.02, min_free=0)


def client_of(settings: Settings) -> TestClient:
    return TestClient(create_app(settings, housekeeping=False), raise_server_exceptions=True)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with client_of(settings) as client:
        yield client


@pytest.fixture
def strict(settings: Settings) -> Iterator[TestClient]:
    with client_of(replace(settings, fit_requests=False)) as client:
        yield client


@pytest.fixture
def here(client: TestClient) -> Service:
    return client.app.state.service  # pyright: ignore[reportAttributeAccessIssue]
