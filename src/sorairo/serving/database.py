"""The database: SQLite by default, PostgreSQL by URL; transactions, the clock, migrations."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.orm import Session

from sorairo.types import UserError

__all__ = ["Database", "new_id"]


def new_id(kind: str) -> str:
    """A name that nobody can guess: kind_ and 128 random bits in hex."""
    return f"{kind}_{secrets.token_hex(16)}"


class Database:
    """One engine. Threads share it; processes open their own."""

    def __init__(self, url: str) -> None:
        try:
            self.sqlite = url.startswith("sqlite")
            if self.sqlite:
                Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
            options: dict[str, Any] = {"pool_size": 20, "max_overflow": 40, "pool_pre_ping": not self.sqlite}
            self.engine: Engine = create_engine(url, **options)
        except (ArgumentError, ModuleNotFoundError) as error:
            raise UserError(f"The database URL cannot be used ({error}); see docs/serve.md.") from error
        except OSError as error:
            raise UserError(f"The folder of the database cannot be created ({error.strerror}).") from error
        self.url = url
        if self.sqlite:
            event.listen(self.engine, "connect", _durable)
            event.listen(self.engine, "begin", _begin)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that writes; it is committed at the end of the block, unless that raises."""
        engine = self.engine.execution_options(writing=True)
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def now(self, session: Session) -> float:
        """The database's clock, so that machines need not agree on theirs."""
        if self.sqlite:
            return time.time()
        return float(session.execute(text("select extract(epoch from clock_timestamp())")).scalar_one())

    def migrate(self) -> None:
        """Bring the tables to this version. Raises UserError where the database cannot be reached or is newer."""
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        try:
            with self.engine.execution_options(writing=True).connect() as connection, connection.begin():
                if not self.sqlite:  # two processes may start at once
                    connection.execute(text("select pg_advisory_xact_lock(7269)"))
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except OperationalError as error:
            raise UserError(f"The database cannot be opened: {str(error.orig).strip()}.") from error
        except CommandError as error:
            raise UserError(f"The database is of a newer version of sorairo ({error}); update it.") from error

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _durable(connection: Any, record: object) -> None:
    """SQLite: readers beside a writer, and what was answered is on the disk. We begin transactions ourselves."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    """A writer takes its lock at once: one that only asks for it later fails where it should wait."""
    writing = connection.get_execution_options().get("writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
