"""Frames over a stream socket: four bytes of length, then that many bytes.

Both sides of every channel use :class:`Channel`. A receiver that does not trust the other side gives a limit
and a deadline, so neither a false length nor a sender that dribbles can hold it.
"""

from __future__ import annotations

import select
import socket
import struct
import time
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
        deadline: When all must be over, in :func:`time.monotonic` seconds; ``None`` waits for ever.
    """

    def __init__(self, stream: socket.socket, deadline: float | None = None) -> None:
        self.stream = stream
        self._deadline = deadline
        self._buffer = bytearray()
        if deadline is not None:
            # Kernel timeouts cost no call each time, but a dribbling sender restarts them: see _check_time.
            left = max(deadline - time.monotonic(), 0.001)
            limit = struct.pack("@ll", int(left), int(left % 1 * 1e6))
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def send(self, data: bytes) -> None:
        """Send one frame.

        Raises:
            Closed: If the other side is gone.
            TimeoutError: If it did not take the bytes by the deadline.
        """
        left = memoryview(len(data).to_bytes(4, "big") + data)
        try:
            while left:
                left = left[self.stream.send(left) :]
                self._check_time()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed from error
        except BlockingIOError as error:
            raise TimeoutError from error

    def receive(self, limit: int = MAX_FRAME) -> bytes:
        """Receive one frame of at most ``limit`` bytes.

        Raises:
            Closed: If the other side is gone, also in mid-frame.
            TooLarge: If the announced length is over the limit.
            TimeoutError: If the whole frame did not come by the deadline.
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

    def close(self) -> None:
        """Close the socket."""
        self.stream.close()

    def _fill(self, count: int) -> None:
        while len(self._buffer) < count:
            try:
                part = self.stream.recv(max(65536, min(count - len(self._buffer), 2**20)))
            except ConnectionResetError as error:
                raise Closed from error
            except BlockingIOError as error:
                raise TimeoutError from error
            if not part:
                raise Closed
            self._buffer += part
            self._check_time()

    def _check_time(self) -> None:
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise TimeoutError
