"""Frames over a stream socket: four bytes of length, then that many bytes.

Both ends of every channel use :class:`Channel`. It waits without a limit; the judge's alarm (:mod:`..judge.alarm`)
interrupts it. A false length cannot make it hold more than the limit.

A program may start processes, all of which hold its end of the channel. The judge accepts data of the first one only:
the kernel names the sender of each part, which no program without privileges can falsify, and parts of other senders
are dropped unread.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from collections.abc import Callable

MAX_FRAME = 16 * 2**20
"""The largest frame that a program may send its judge, in bytes."""
MAX_JOB_FRAME = 512 * 2**20
"""The largest frame between the caller and a worker, in bytes."""
HEARTBEAT = 2.0
"""Seconds between an idle worker's checks whether its caller still runs."""
_PASS_CREDENTIALS: int | None = getattr(socket, "SO_PASSCRED", None)  # Linux only
_CREDENTIALS = struct.Struct("=iII")  # struct ucred: pid, uid, gid


class Closed(Exception):
    """The other side closed the channel."""


class TooLarge(Exception):
    """The other side announced a frame over the limit."""


class Channel:
    """One end of a stream socket, sending and receiving frames.

    Args:
        stream: The socket; the channel owns it from here on.
        one_sender: Whether to accept data only of the process that sent the first byte, where the system names
            senders. Nothing may have been sent yet.
    """

    def __init__(self, stream: socket.socket, one_sender: bool = False) -> None:
        self.stream = stream
        self._buffer = bytearray()
        self._sender: int | None = None
        self._one_sender = one_sender and _PASS_CREDENTIALS is not None
        if self._one_sender:
            stream.setsockopt(socket.SOL_SOCKET, _PASS_CREDENTIALS, 1)  # type: ignore[arg-type]

    def send(self, data: bytes) -> None:
        """Send one frame.

        Raises:
            Closed: If the other side closed the channel.
        """
        self.send_all(len(data).to_bytes(4, "big") + data)

    def send_all(self, frames: bytes) -> None:
        """Send frames that are already joined; raises :class:`Closed`."""
        try:
            self.stream.sendall(frames)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed from error

    def receive(self, limit: int = MAX_FRAME) -> bytes:
        """Receive one frame of at most ``limit`` bytes.

        Raises:
            Closed: If the other side closed the channel, also within a frame.
            TooLarge: If the announced length is over the limit.
        """
        self._fill(4)
        length = int.from_bytes(self._buffer[:4], "big")
        if length > limit:
            raise TooLarge(f"a frame of {length} bytes")
        self._fill(4 + length)
        return self._next_frame(length)

    @property
    def has_frame(self) -> bool:
        """Whether a whole frame was already read with an earlier one, so that the socket may not become readable."""
        return len(self._buffer) >= 4 + int.from_bytes(self._buffer[:4], "big")

    def wait(self, meanwhile: Callable[[], None]) -> None:
        """Wait for something to receive, and call ``meanwhile`` every few seconds."""
        poll = select.poll()
        poll.register(self.stream, select.POLLIN)
        while not self._buffer and not poll.poll(HEARTBEAT * 1000):
            meanwhile()

    def left_over(self) -> tuple[list[bytes], bool]:
        """Return what arrived and was not received: whole frames, and whether a part of another one follows."""
        with contextlib.suppress(OSError):
            while part := self._read(65536, socket.MSG_DONTWAIT):
                self._buffer += part
        frames = []
        while self.has_frame:
            frames.append(self._next_frame(int.from_bytes(self._buffer[:4], "big")))
        return frames, bool(self._buffer)

    def close(self) -> None:
        """Close the socket."""
        self.stream.close()

    def _next_frame(self, length: int) -> bytes:
        frame = bytes(self._buffer[4 : 4 + length])
        del self._buffer[: 4 + length]
        return frame

    def _fill(self, count: int) -> None:
        while len(self._buffer) < count:
            try:
                part = self._read(max(65536, min(count - len(self._buffer), 2**20)))
            except ConnectionResetError as error:
                raise Closed from error
            if not part:
                raise Closed
            self._buffer += part

    def _read(self, size: int, flags: int = 0) -> bytes:
        if not self._one_sender:
            return self.stream.recv(size, flags)
        while True:
            part, ancillary, _, _ = self.stream.recvmsg(size, socket.CMSG_SPACE(_CREDENTIALS.size), flags)
            if not part:
                return part
            # Linux never joins data of two senders in one part.
            sender = _CREDENTIALS.unpack(ancillary[0][2])[0] if ancillary else 0
            if self._sender is None:
                self._sender = sender
            if sender == self._sender:
                return part
