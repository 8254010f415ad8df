"""LiteLLM's video calls against a real server with a worker. LiteLLM is no dependency: install it to run this."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.serving.test_node import served as served  # the fixture

WORDS = "a red ball drops"
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def litellm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # otherwise it asks GitHub when it is imported
    yield pytest.importorskip("litellm", reason="pip install litellm")


def test_litellm_from_words_to_files(served: str, litellm: Any) -> None:
    where = {"api_base": served, "api_key": "x", "custom_llm_provider": "openai"}

    def finished(video: Any) -> Any:
        until = time.monotonic() + 900
        while (found := litellm.video_status(video_id=video.id, **where)).status in ("queued", "in_progress"):
            assert time.monotonic() < until
            time.sleep(0.3)
        assert found.status == "completed", found.error
        return found

    video = litellm.video_generation(prompt=WORDS, model="sora-2", seconds="4", size="720x1280", **where)
    assert video.status == "queued" and video.object == "video"
    done = finished(video)
    assert (done.progress, done.size, done.seconds) == (100, "720x1280", "4")
    data = litellm.video_content(video_id=video.id, **where)
    assert data[4:8] == b"ftyp"
    remix = litellm.video_remix(video_id=video.id, prompt="a blue ball", **where)
    edit = litellm.video_edit(video_id=video.id, prompt="a green ball", **where)
    longer = litellm.video_extension(video_id=video.id, prompt=WORDS, seconds="4", **where)
    for one in (remix, edit, longer):
        finished(one)
    person = litellm.video_create_character(name="Red", video=io.BytesIO(data), **where)
    assert litellm.video_get_character(character_id=person.id, **where).name == "Red"
    listed = litellm.video_list(**where)
    assert len(listed["data"] if isinstance(listed, dict) else listed) >= 4
    with pytest.raises(litellm.exceptions.BadRequestError):
        litellm.video_generation(prompt=WORDS, model="sora-2", size="5x5x5", **where)

    async def main() -> Any:
        again = await litellm.avideo_generation(prompt=WORDS, model="sora-2", **where)
        return await litellm.avideo_status(video_id=again.id, **where)

    assert asyncio.run(main()).status in ("queued", "in_progress", "completed")
