"""uvicorn's protocols with bounds: on the time of a request, and on who may hold a connection (`visitors`)."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from .visitors import Visitors

LONGEST_REQUEST = 10.0
"""Seconds from the first byte of a request to its last, or from a connection to its first request. Answers may take
as long as they like: event streams do."""


def protocols(visitors: Visitors) -> tuple[type[H11Protocol], type[WebSocketsSansIOProtocol]]:
    class Http(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if self.client is None:  # it has gone already
                transport.abort()
                return
            visitors.came(self.client, transport)
            self._deadline = self.loop.call_later(LONGEST_REQUEST, transport.abort)

        def connection_lost(self, exc: Exception | None) -> None:
            self._leave()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch()

        def handle_websocket_upgrade(self, event: h11.Request) -> None:
            self._leave()  # the other protocol comes in its place
            super().handle_websocket_upgrade(event)

        def _watch(self) -> None:
            """There is a deadline while a part of a request is there, and the rest is not."""
            if self.transport.get_protocol() is not self:
                return
            state = self.conn.their_state
            if not (state is h11.SEND_BODY or (state is h11.IDLE and self.conn.trailing_data[0])):
                self._cancel()
            elif self._deadline is None:
                self._deadline = self.loop.call_later(LONGEST_REQUEST, self.transport.abort)

        def _leave(self) -> None:
            self._cancel()
            if self.client is not None:
                visitors.left(self.client, self.transport)

        def _cancel(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    class WebSocket(WebSocketsSansIOProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            if self.client is not None:
                visitors.came(self.client, self.transport)

        def connection_lost(self, exc: Exception | None) -> None:
            if self.client is not None:
                visitors.left(self.client, self.transport)
            super().connection_lost(exc)

    return Http, WebSocket
