"""What an operator decides, the same for the API and for every worker."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["Loading", "Settings"]


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How workers load and run their model: the fields of a Request that no caller may send."""

    dtype: str = "auto"
    memory: str | None = None
    lora: tuple[str, ...] = ()
    cache: float | None = None
    compile: bool | None = None
    attention: str = "auto"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """folder: of the database and the files, where neither has a URL of its own. store: a folder or any fsspec URL.

    model: what old model names map to. fit_requests: map sizes and lengths that the model cannot make to the nearest;
    otherwise they are refused. loading: how workers hold the model. keys: every call needs a key. hosts: names by
    which the server may be called; empty: any. private_urls: pictures and webhooks may be on private addresses.
    consent: a character needs a stated consent. policy: the operator's policy file; None takes the one of this
    account, else the default (docs/guardrails.md).
    """

    folder: Path
    database_url: str = ""
    store: str = ""
    model: str = "default"
    loading: Loading = Loading()
    fit_requests: bool = True
    keys: bool = False
    hosts: tuple[str, ...] = ()
    private_urls: bool = False
    consent: bool = False
    policy: Path | None = None
    cors: tuple[str, ...] = ()
    expiry: float = 30 * 86400
    window: float = 900
    lease: float = 30
    poll: float = 0.2
    attempts: int = 3
    upload: float = 300
    max_body: int = 64 * 2**20
    max_json: int = 16 * 2**20
    max_fetch: int = 32 * 2**20
    max_queued: int = 10_000
    min_free: int = 200 * 2**20

    def loaded(self, values: dict[str, Any]) -> dict[str, Any]:
        """The values of a Request with what the operator decides. LoRAs are for the operator's own model."""
        if values["verb"] == "upscale":  # it has no such fields
            return values
        own = asdict(self.loading)
        return values | own | {"lora": own["lora"] if values["model"] == self.model else ()}

    @property
    def url(self) -> str:
        """SQLAlchemy's URL of the database."""
        if self.database_url.startswith("postgres://"):
            return "postgresql+psycopg://" + self.database_url.removeprefix("postgres://")
        if self.database_url.startswith("postgresql://"):
            return "postgresql+psycopg://" + self.database_url.removeprefix("postgresql://")
        return self.database_url or f"sqlite:///{self.folder.absolute() / 'sorairo.db'}"

    @property
    def files(self) -> str:
        """fsspec's URL of the store."""
        if "://" in self.store:
            return self.store
        return str(Path(self.store).absolute() if self.store else self.folder.absolute() / "files")
