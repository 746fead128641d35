"""Frames over a stream socket: four bytes of length, then that many bytes.

Both sides of every channel use :class:`Channel`. It waits for as long as it takes: whoever must not wait for
ever has a clock that interrupts it (:mod:`.clock`). A false length cannot make it hold more than the limit.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

MAX_FRAME = 16 * 2**20
"""The largest frame that a program may send its judge, in bytes."""
MAX_JOB_FRAME = 512 * 2**20
"""The largest frame between the caller and a worker, in bytes."""
HEARTBEAT = 2.0
"""How often an idle worker looks whether its caller still lives, in seconds."""


class Closed(Exception):
    """The other side closed the channel."""


class TooLarge(Exception):
    """The other side announced a frame over the limit."""


class Channel:
    """One end of a stream socket, sending and receiving frames.

    Args:
        stream: The socket; the channel owns it from here on.
    """

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self._buffer = bytearray()

    def send(self, data: bytes) -> None:
        """Send one frame.

        Raises:
            Closed: If the other side is gone.
        """
        self.send_all(len(data).to_bytes(4, "big") + data)

    def send_all(self, frames: bytes) -> None:
        """Send frames that are put together already; raises :class:`Closed`."""
        try:
            self.stream.sendall(frames)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed from error

    def receive(self, limit: int = MAX_FRAME) -> bytes:
        """Receive one frame of at most ``limit`` bytes.

        Raises:
            Closed: If the other side is gone, also in mid-frame.
            TooLarge: If the announced length is over the limit.
        """
        self._fill(4)
        length = int.from_bytes(self._buffer[:4], "big")
        if length > limit:
            raise TooLarge(f"a frame of {length} bytes")
        self._fill(4 + length)
        frame = bytes(self._buffer[4 : 4 + length])
        del self._buffer[: 4 + length]
        return frame

    def wait(self, meanwhile: Callable[[], None]) -> None:
        """Wait for something to receive, and call ``meanwhile`` every few seconds."""
        poll = select.poll()
        poll.register(self.stream, select.POLLIN)
        while not self._buffer and not poll.poll(HEARTBEAT * 1000):
            meanwhile()

    def has_more(self) -> bool:
        """Whether something has come that was not received yet."""
        try:
            return bool(self._buffer) or bool(self.stream.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK))
        except OSError:
            return False

    def close(self) -> None:
        """Close the socket."""
        self.stream.close()

    def _fill(self, count: int) -> None:
        while len(self._buffer) < count:
            try:
                part = self.stream.recv(max(65536, min(count - len(self._buffer), 2**20)))
            except ConnectionResetError as error:
                raise Closed from error
            if not part:
                raise Closed
            self._buffer += part
