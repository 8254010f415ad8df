"""OpenAI's own tests of the Videos API, where a copy of openai-python is at hand; see openai_own.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.serving.openai_own import passed, run


@pytest.mark.slow
def test_openais_own_tests() -> None:
    pytest.importorskip("pytest_asyncio")
    folder = os.environ.get("OPENAI_PYTHON")
    if not folder:
        pytest.skip("OPENAI_PYTHON does not name a copy of github.com/openai/openai-python")
    status, said = run(Path(folder))
    assert status == 0 and passed(said) > 150, said
