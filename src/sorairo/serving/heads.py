"""A limit that uvicorn lacks: the time in which the head of a call must arrive (slowloris)."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["HEAD", "TimedHeads"]

HEAD = 20.0
"""Seconds from a connection's first moment, or from the first byte of a further call, to the end of the call's head."""


class TimedHeads(H11Protocol):
    """uvicorn's protocol, which closes a connection whose call does not begin within `seconds`."""

    seconds = HEAD
    timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore
        """Begin to wait."""
        super().connection_made(transport)
        self.wait()

    def data_received(self, data: bytes) -> None:
        """Stop waiting when a call begins; wait again while a further one has only begun to arrive."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self.rest()
        elif self.timer is None and self.cycle is not None and self.cycle.response_complete:
            self.wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more is awaited."""
        self.rest()
        super().connection_lost(exc)

    def wait(self) -> None:
        """Close the connection in `seconds`."""
        self.timer = self.loop.call_later(self.seconds, self.transport.close)

    def rest(self) -> None:
        """The call has begun."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
