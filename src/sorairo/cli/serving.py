"""`sorairo serve`, `sorairo worker`, `sorairo keys`: the API, who works for it, and who may call it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sorairo.cli.options import with_fields
from sorairo.cli.terminal import safe
from sorairo.types import UserError

if TYPE_CHECKING:
    from sorairo.serving.settings import Settings

__all__ = ["keys", "serve", "worker"]

SERVE_EXAMPLES = """\b
Examples:
  sorairo serve
  sorairo serve --port 9000 -m ./my-model --workers 2
  sorairo serve --host 0.0.0.0 --allow-host video.example.org
"""
WORKER_EXAMPLES = """\b
Examples:
  sorairo worker
  sorairo worker --database-url postgresql://db/sorairo --store s3://bucket/videos
"""
LOCAL = ("127.0.0.1", "localhost", "::1")

Folder = Annotated[
    Path, typer.Option("--folder", metavar="DIR", help="Folder of the database and the files.")
]
DatabaseUrl = Annotated[
    str, typer.Option("--database-url", metavar="URL", help="PostgreSQL, in place of SQLite in the folder.")
]
StoreUrl = Annotated[
    str, typer.Option("--store", metavar="URL", help="Where videos are kept: a folder, s3://..., gs://...")
]
ModelName = Annotated[
    str, typer.Option("--model", "-m", metavar="NAME|FOLDER", help="Model that is used by default.")
]
HERE = Path("sorairo-data")


def needs_extra() -> None:
    """Raise UserError where the extra is not installed."""
    try:
        import alembic
        import fastapi
        import fastapi_offline
        import prometheus_client
        import python_multipart
        import sqlalchemy
        import standardwebhooks
        import uvicorn
    except ImportError as error:
        raise UserError("The server needs more packages: pip install 'sorairo[serve]'.") from error
    del (
        alembic,
        fastapi,
        fastapi_offline,
        prometheus_client,
        python_multipart,
        sqlalchemy,
        standardwebhooks,
        uvicorn,
    )


@dataclass(frozen=True, kw_only=True)
class Work:
    """What the server and its workers decide alike."""

    folder: Folder = HERE
    database_url: DatabaseUrl = ""
    store: StoreUrl = ""
    model: ModelName = "default"
    dtype: Annotated[
        str, typer.Option(metavar="auto|bf16|fp32|int8", help="Precision, as for `sorairo generate`.")
    ] = "auto"
    memory: Annotated[
        str | None, typer.Option(metavar="8GB", help="Limit the memory of each worker's model.")
    ] = None
    lora: Annotated[
        list[str] | None, typer.Option(metavar="FILE[:WEIGHT]", help="Apply a LoRA to the model; repeatable.")
    ] = None
    cache: Annotated[
        float | None, typer.Option(metavar="T", help="Skip steps that can be predicted within this error.")
    ] = None
    compile: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile", help="Compile the model. Default: large ones only.", show_default=False
        ),
    ] = None
    attention: Annotated[str, typer.Option(metavar="auto|NAME", help="The kernel of attention.")] = "auto"
    lease: Annotated[
        float, typer.Option(metavar="S", help="Seconds of silence after which a worker counts as dead.")
    ] = 30
    attempts: Annotated[
        int, typer.Option(metavar="N", help="How often a job is tried whose worker dies.")
    ] = 3
    expiry: Annotated[float, typer.Option(metavar="DAYS", help="Days after which videos are removed.")] = 30
    policy: Annotated[
        Path | None,
        typer.Option("--policy", metavar="FILE.toml", help="What is refused, see docs/guardrails.md."),
    ] = None

    def settings(self) -> Settings:
        """The same for the server's rooms."""
        from sorairo.serving.settings import Loading, Settings

        loading = Loading(
            dtype=self.dtype,
            memory=self.memory,
            lora=tuple(map(whole_lora, self.lora or ())),
            cache=self.cache,
            compile=self.compile,
            attention=self.attention,
        )
        return Settings(
            folder=self.folder.absolute(),
            database_url=self.database_url,
            store=self.store,
            model=whole_name(self.model),
            loading=loading,
            lease=self.lease,
            attempts=self.attempts,
            expiry=self.expiry * 86400,
            policy=self.policy.absolute() if self.policy else None,
        )


@dataclass(frozen=True, kw_only=True)
class Door:
    """Who may call the server, and what it makes of a call."""

    fit_requests: Annotated[
        bool,
        typer.Option(
            "--fit-requests/--strict-requests",
            help="Map sizes and lengths that the model cannot make to the nearest, or refuse them.",
        ),
    ] = True
    need_keys: Annotated[bool, typer.Option("--keys", help="Ask for a key on this machine too.")] = False
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A name by which the server may be called.")
    ] = None
    cors: Annotated[
        list[str] | None, typer.Option(metavar="ORIGIN", help="A web page's origin that may call the API.")
    ] = None
    private_urls: Annotated[
        bool, typer.Option("--private-urls", help="Allow pictures and webhooks on this network.")
    ] = False
    require_consent: Annotated[
        bool, typer.Option("--require-consent", help="Refuse characters without a stated consent.")
    ] = False

    def settings(self, work: Settings, host: str) -> Settings:
        """Those of the work, and these. Keys are needed wherever other machines can call."""
        local, named = host in LOCAL, tuple(self.allow_host or ())
        return replace(
            work,
            fit_requests=self.fit_requests,
            keys=self.need_keys or not local,
            hosts=(*LOCAL, *named) if local else named,
            private_urls=self.private_urls,
            consent=self.require_consent,
            cors=tuple(self.cors or ()),
        )


@with_fields(Work, "work")
@with_fields(Door, "door")
def serve(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=0, metavar="N", help="Worker processes.")] = 1,
    ray: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="Run the workers on this Ray cluster: auto, local, HOST:PORT."),
    ] = "",
    gpus: Annotated[
        float | None,
        typer.Option(min=0, metavar="N", help="With --ray: GPUs of each worker, such as 1 or 0.5."),
    ] = None,
    *,
    work: Work,
    door: Door,
) -> None:
    """Serve OpenAI's Videos API and the studio page, with workers that make the videos."""
    needs_extra()
    from sorairo.serving.launch import Workers, check_start, serve_forever

    if gpus is not None and not ray:
        raise UserError("--gpus is for workers on a Ray cluster; say which with --ray.")
    settings = door.settings(work.settings(), host)
    check_start(settings, host, port)
    staff = Workers(settings, workers)
    if ray:
        from sorairo.serving.cluster import RayWorkers

        staff = RayWorkers(settings, workers, ray, gpus)
    from sorairo.safety.guards import frame_guard
    from sorairo.safety.policy import policy_of

    if frame_guard(policy_of(settings.policy).rules.guard) is None:
        print("Pictures and frames are not looked at: pip install 'sorairo[safety]'.", flush=True)
    shown = f"[{host}]" if ":" in host else host
    print(f"Sorairo at http://{shown}:{port}/ (API: /v1, description: /docs); Ctrl-C ends it.", flush=True)
    serve_forever(settings, host, port, staff)


@with_fields(Work, "work")
def worker(
    drain: Annotated[
        bool, typer.Option("--drain", help="On SIGTERM make the running video to its end.")
    ] = False,
    *,
    work: Work,
) -> None:
    """Make videos for a server, on this machine or another one."""
    needs_extra()
    from sorairo.serving.launch import work_forever

    work_forever(work.settings(), drain)


def whole_name(model: str) -> str:
    """A folder by its whole path, since workers change theirs; a name as it is."""
    return str(Path(model).absolute()) if Path(model).is_dir() else model


def whole_lora(ask: str) -> str:
    """A LoRA by its whole path. Raises UserError for a file that is not there."""
    from sorairo.checkpoints.lora import parse_lora

    lora = parse_lora(ask)
    if not lora.path.is_file():
        raise UserError(f"There is no file {lora.path} for --lora.")
    return f"{lora.expert}{'=' if lora.expert else ''}{lora.path.absolute()}:{lora.weight:g}"


keys = typer.Typer(help="Keys of the server: who may call it, and how much.", no_args_is_help=True)


def settings_of(folder: Path, database_url: str) -> Settings:
    needs_extra()
    from sorairo.serving.settings import Settings

    return Settings(folder=folder.absolute(), database_url=database_url)


@keys.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is.")],
    project: Annotated[str, typer.Option(metavar="NAME", help="Keys of one project share its videos.")] = "",
    role: Annotated[str, typer.Option(metavar="ROLE", help="creator, admin or red-team.")] = "creator",
    calls: Annotated[float, typer.Option(min=0, metavar="N", help="Calls a minute; 0: any number.")] = 0,
    creates: Annotated[float, typer.Option(min=0, metavar="N", help="New videos a minute.")] = 0,
    seconds: Annotated[float, typer.Option(min=0, metavar="S", help="Seconds of video a day.")] = 0,
    jobs: Annotated[float, typer.Option(min=0, metavar="N", help="Videos that wait or run at once.")] = 0,
    folder: Folder = HERE,
    database_url: DatabaseUrl = "",
) -> None:
    """Create a key and print it, this once."""
    settings = settings_of(folder, database_url)
    from sorairo.serving.database import Database
    from sorairo.serving.keys import create_key

    database = Database(settings.url)
    database.migrate()
    limits = {"calls": calls, "creates": creates, "seconds": seconds, "jobs": jobs}
    identity, secret = create_key(database, name, project=project, role=role, limits=limits)
    print(f"{secret}\n\nThis is {identity}; the key is shown only now.")


@keys.command("list")
def list_all(folder: Folder = HERE, database_url: DatabaseUrl = "") -> None:
    """List the keys, without what they are."""
    settings = settings_of(folder, database_url)
    import time

    from sorairo.serving.database import Database
    from sorairo.serving.keys import list_keys

    database = Database(settings.url)
    database.migrate()
    for key in list_keys(database):
        day = time.strftime("%Y-%m-%d", time.gmtime(key["created"]))
        limits = ", ".join(f"{name} {value:g}" for name, value in key["limits"].items())
        state = "revoked" if key["revoked"] else limits or "no limits"
        print(
            safe(
                f"{key['id']}  {key['start']}...  {key['role']}  {key['project']}  {key['name']}  {day}  {state}"
            )
        )


@keys.command("revoke")
def revoke(
    identity: Annotated[
        str, typer.Argument(metavar="KEY", help="The key's id, as `sorairo keys list` prints it.")
    ],
    folder: Folder = HERE,
    database_url: DatabaseUrl = "",
) -> None:
    """Refuse a key from now on."""
    settings = settings_of(folder, database_url)
    from sorairo.serving.database import Database
    from sorairo.serving.keys import revoke_key

    database = Database(settings.url)
    database.migrate()
    revoke_key(database, identity)
    print(f"{identity} is revoked.")
