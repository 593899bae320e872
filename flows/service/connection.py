"""How long may a client take to ask? Connections that send no whole head in time are closed."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0


class PunctualProtocol(H11Protocol):
    """uvicorn's protocol, which by itself waits for the rest of a head as long as the client likes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the parent
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Take the next bytes; a head that has begun must also end."""
        super().data_received(data)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._forget()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        """Start the clock where a head is due, and stop it where it has come."""
        begun = self.cycle is None or bool(self.conn.trailing_data[0])
        if self.conn.their_state is not h11.IDLE or not begun:
            self._forget()
        elif self._due is None:
            self._due = self.loop.call_later(HEAD_S, self._late)

    def _late(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()

    def _forget(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
