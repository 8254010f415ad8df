"""What operators rely on: log, expiry, migrations, the refusal to start, webhook endpoints, the API's description."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from fastapi.testclient import TestClient
from sqlalchemy import select, text

from sorairo.cli.main import app
from sorairo.cli.serving import Work
from sorairo.jobs.request import ARGS, Request
from sorairo.serving import database as database_module
from sorairo.serving.database import Database
from sorairo.serving.housekeeping import sweep
from sorairo.serving.keys import create_key, revoke_key
from sorairo.serving.launch import Workers, check_start
from sorairo.serving.queue import announce
from sorairo.serving.service import Service
from sorairo.serving.settings import Settings
from sorairo.serving.tables import Base, Delivery, Event, Job
from sorairo.serving.wishes import FORBIDDEN
from sorairo.types import UserError
from tests.serving.conftest import client_of
from tests.serving.test_queue import add
from tests.serving.test_videos import png
from tests.serving.test_wire import clip as clip  # the fixtures
from tests.serving.test_wire import done as done


def test_the_log_has_the_request_id_of_every_answer(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "sorairo.serving"):
        answers = [client.get("/v1/videos/none"), client.post("/v1/videos", json={}), client.get("/health")]
    lines = {line["request_id"]: line for line in map(json.loads, caplog.messages)}
    for answer in answers:
        line = lines[answer.headers["x-request-id"]]
        assert line["status"] == answer.status_code and line["path"] == answer.request.url.path


def test_what_has_expired_is_removed(client: TestClient, here: Service, done: str) -> None:
    file = client.post("/v1/files", files={"file": ("a.png", png())}).json()["id"]
    assert sweep(here) == 0 and here.store.local(f"jobs/{done}/1/video.mp4")
    with here.database.write() as session:
        session.execute(text("update jobs set expires = 1"))
        session.execute(text("update files set expires = 1"))
    assert sweep(here) == 2
    assert here.store.local(f"jobs/{done}/1/video.mp4") is None
    for path in (f"/v1/videos/{done}", f"/v1/videos/{done}/content", f"/v1/files/{file}"):
        assert client.get(path).status_code == 404
    assert not [path for path in Path(here.settings.files).rglob("*") if path.is_file()]


def config_at(connection: object) -> Config:
    config = Config()
    folder = Path(database_module.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    config.attributes["connection"] = connection
    return config


def test_a_database_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'a.db'}")
    with database.engine.execution_options(writing=True).connect() as connection, connection.begin():
        command.upgrade(config_at(connection), "0001")
    (job,) = add(database)
    database.migrate()
    database.migrate()  # the second time there is nothing to do
    with database.read() as session:
        assert session.scalars(select(Job.id)).all() == [job]
        assert session.execute(text("select count(*) from made")).scalar_one() == 0
    database.close()


def test_the_migrations_give_the_tables_of_the_code(url: str) -> None:
    database = Database(url)
    database.migrate()
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    database.close()


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'a.db'}")
    database.migrate()
    with database.write() as session:
        session.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(UserError, match="newer version"):
        database.migrate()
    database.close()


def test_another_address_needs_keys(tmp_path: Path) -> None:
    words = ["serve", "--host", "0.0.0.0", "--port", "0", "--folder", str(tmp_path)]
    with pytest.raises(UserError, match="sorairo keys create"):
        app(words, standalone_mode=False)
    settings = Settings(folder=tmp_path, keys=True)
    database = Database(settings.url)
    identity, _ = create_key(database, "Ada", limits={})
    check_start(settings, "127.0.0.1", 0)
    revoke_key(database, identity)  # one that is revoked opens nothing
    database.close()
    with pytest.raises(UserError, match="sorairo keys create"):
        check_start(settings, "127.0.0.1", 0)


def test_endpoints_of_webhooks(client: TestClient, here: Service) -> None:
    url = "/v1/webhook_endpoints"
    values = {"url": "https://example.org/hook", "name": "mine", "event_types": ["video.failed"]}
    made = client.post(url, json=values).json()
    one = f"{url}/{made['id']}"
    assert [row["id"] for row in client.get(url).json()["data"]] == [made["id"]]
    assert "secret" not in client.get(one).json()

    def told(kind: str) -> int:
        with here.database.write() as session:
            announce(session, "local", kind, f"video_{kind}", 0.0)
        with here.database.read() as session:
            return len(session.scalars(select(Delivery)).all())

    assert (told("video.completed"), told("video.failed")) == (0, 1)  # the endpoint asked for one type
    assert client.post(one, json={"event_types": []}).json()["event_types"] == [
        "video.completed",
        "video.failed",
    ]
    assert client.post(one, json={"url": "ftp://x"}).status_code == 400
    test = client.post(f"{one}/test").json()
    with here.database.read() as session:
        kind = session.scalars(select(Event.type).where(Event.id == test["id"])).one()
    assert kind == "webhook.test"
    assert client.delete(one).json()["deleted"] and client.get(one).status_code == 404
    with here.database.read() as session:
        assert not session.scalars(select(Delivery)).all()


def test_consent_can_be_asked_for(settings: Settings) -> None:
    with client_of(replace(settings, consent=True)) as client:
        call = {"data": {"name": "Red"}, "files": {"video": ("a.png", png())}}
        answer = client.post("/v1/videos/characters", **call)
        assert answer.status_code == 400 and answer.json()["error"]["param"] == "consent"
        call["data"] |= {"consent[by]": "Ada", "consent[at]": "2026-11-01"}
        assert client.post("/v1/videos/characters", **call).status_code == 200


def test_a_page_that_the_operator_names_may_call(settings: Settings) -> None:
    with client_of(replace(settings, cors=("https://a.example",))) as client:
        for origin, status in (("https://a.example", 200), ("https://b.example", 403)):
            answer = client.post("/v1/videos", json={"prompt": "A red ball."}, headers={"origin": origin})
            assert answer.status_code == status
            assert (answer.headers.get("access-control-allow-origin") == origin) == (status == 200)


def test_the_description_asks_no_other_host(client: TestClient) -> None:
    page = client.get("/docs").text
    assert not re.findall(r"https?://", page)
    for path in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert client.get(path).status_code == 200, path


def test_the_description_has_the_fields_of_the_command_line(client: TestClient) -> None:
    document = client.get("/openapi.json").json()["paths"]
    body = document["/v1/sorairo/{verb}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == set(Request.model_fields) - {"verb", "number", *FORBIDDEN}
    assert len(body["properties"]["args"]["anyOf"]) == len(ARGS) and "$ref" not in json.dumps(body)
    assert {"/v1/videos/{video_id}/content", "/v1/videos/{video_id}/events"} <= set(document)


def test_how_the_operator_has_the_model_loaded(tmp_path: Path, tiny_folder: Path) -> None:
    """What callers may not send, `sorairo serve` and `sorairo worker` take, and the server's workers get it."""
    lora = tmp_path / "style.safetensors"
    lora.touch()
    values = {"dtype": "fp32", "memory": "2GB", "cache": 0.1, "compile": False, "attention": "torch"}
    work = Work(model=str(tiny_folder), folder=tmp_path, lora=[f"{lora}:0.5"], **values)
    settings = work.settings()
    check_start(settings, "127.0.0.1", 0)
    command = Workers(settings, 1).command
    for option in ("--dtype fp32", "--memory 2GB", "--cache 0.1", "--no-compile", "--attention torch"):
        assert option in " ".join(command)
    assert command[command.index("--lora") + 1] == f"{lora}:0.5"
    sent = Request.parse({"verb": "generate", "prompt": "a", "model": str(tiny_folder)}).model_dump(
        mode="json"
    )
    made = Request.parse(settings.loaded(sent))
    assert made.model_dump(include=set(values)) == values and made.lora == (f"{lora}:0.5",)
    assert Request.parse(settings.loaded(sent | {"model": "default"})).lora == ()
    turned = {"verb": "upscale", "sources": ["a.mp4"], "args": {}}
    assert Request.parse(settings.loaded(turned)).dtype == "auto"
    assert {*asdict(settings.loading)} <= {*FORBIDDEN}
    for bad in ({"dtype": "fp64"}, {"memory": "much"}, {"attention": "none"}, {"cache": -1.0}):
        with pytest.raises(UserError):
            check_start(replace(work, lora=None, **bad).settings(), "127.0.0.1", 0)
    with pytest.raises(UserError, match=r"There is no file .*none\.safetensors"):
        replace(work, lora=["none.safetensors"]).settings()


def test_every_command_takes_the_model_by_its_short_name() -> None:
    from typer.main import get_command

    below = get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]
    options = {
        name: option.opts
        for name, one in below.items()
        for option in getattr(one, "params", [])
        if option.name == "model" and option.opts[0].startswith("-")
    }
    assert {"generate", "serve", "worker"} <= {*options}
    assert not [name for name, words in options.items() if "-m" not in words]
