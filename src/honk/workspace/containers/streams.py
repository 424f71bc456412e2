"""Many streams over one that goes both ways, each with a bound on what is under way.

So one pair of pipes carries a command's standard streams, its connections out and in, and its files: a container needs
no network and no mounted socket. Used outside and inside, where there is nothing but the standard library.

A frame is its kind (one byte), the number of its stream and its length (big-endian, 4 bytes each), then so many bytes.
D is data, E the end of it, A says how many bytes were taken in, X that nobody listens any more. Other kinds are for
whoever uses this.
"""

import socket
import struct
import threading
from collections import deque
from collections.abc import Callable

_HEAD = struct.Struct("!cII")
_COUNT = struct.Struct("!I")
LARGEST = 1 << 16
"""Bytes that one frame may carry."""
LONGEST_WORDS = 1 << 22
"""Bytes that a frame of another kind than data may carry."""
WINDOW = 1 << 18
"""Bytes of one stream that may be under way."""


class Broken(Exception):
    """The stream below, or the other side of this one, is gone, or does not keep to the rules."""


class Stream:
    """One of the streams. Each side may send, end what it sends, and give the whole up."""

    def __init__(self, streams: "Streams", number: int) -> None:
        self.number = number
        self._streams = streams
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._held = 0
        self._credit = WINDOW
        self._all_heard = self._all_said = self._broken = False

    def send(self, data: bytes) -> None:
        """Waits while too much is under way. Raises `Broken` if nobody listens."""
        left = memoryview(data)
        while left:
            with self._changed:
                self._changed.wait_for(lambda: self._credit or self._broken)
                if self._broken:
                    raise Broken
                size = min(self._credit, len(left), LARGEST)
                self._credit -= size
            self._streams.say(b"D", self.number, bytes(left[:size]))
            left = left[size:]

    def receive(self, seconds: float | None = None) -> bytes | None:
        """What has come; empty at the end; None if nothing comes for so long."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting or self._all_heard or self._broken, seconds):
                return None
            if not self._waiting:
                return b""
            data = self._waiting.popleft()
            self._held -= len(data)
        try:
            self._streams.say(b"A", self.number, _COUNT.pack(len(data)))
        except Broken:
            pass
        return data

    def end(self) -> None:
        """Nothing more will be sent."""
        self._over(b"E")

    def give_up(self) -> None:
        """Nothing more will be sent or taken."""
        with self._changed:
            self._broken = True
            self._waiting.clear()
            self._changed.notify_all()
        self._over(b"X")
        self._streams.forget(self.number)

    def heard(self, kind: bytes, payload: bytes) -> None:
        """Take in a frame of this stream. Raises `Broken` if it is against the rules."""
        with self._changed:
            if kind == b"D":
                self._held += len(payload)
                if self._held > WINDOW:
                    raise Broken
                if not self._broken:
                    self._waiting.append(payload)
            elif kind == b"A":
                self._credit = min(self._credit + _COUNT.unpack(payload)[0], WINDOW)
            else:
                self._all_heard = True
                self._broken = self._broken or kind == b"X"
            self._changed.notify_all()
            over = self._all_heard and (self._all_said or self._broken)
        if over:
            self._streams.forget(self.number)

    def _over(self, kind: bytes) -> None:
        with self._changed:
            said, self._all_said = self._all_said, True
            over = self._all_heard
        if not said:
            try:
                self._streams.say(kind, self.number)
            except Broken:
                pass
        if over:
            self._streams.forget(self.number)


class Streams:
    """All the streams over one. `read(n)` gives exactly n bytes, or fewer at the end; `write` takes all it is given."""

    def __init__(self, read: Callable[[int], bytes], write: Callable[[bytes], object], first: int) -> None:
        """`first` is the number of the first stream opened on this side; it is odd on one side and even on the
        other."""
        self._read = read
        self._write = write
        self._next = first
        self._writing = threading.Lock()
        self._lock = threading.Lock()
        self._streams: dict[int, Stream] = {}
        self._over = False

    def stream(self, number: int) -> Stream:
        """The stream of this number, which both sides know of or the other side has opened."""
        with self._lock:
            if number not in self._streams:
                self._streams[number] = Stream(self, number)
                self._streams[number]._broken = self._over
            return self._streams[number]

    def open(self, words: bytes, kind: bytes = b"O") -> Stream:
        """A new stream; the other side is told by a frame of this kind with these words."""
        with self._lock:
            number = self._next
            self._next += 2
        stream = self.stream(number)
        self.say(kind, number, words)
        return stream

    def count(self) -> int:
        """How many streams there are."""
        return len(self._streams)

    def say(self, kind: bytes, number: int = 0, payload: bytes = b"") -> None:
        """Send a frame. Raises `Broken` if the stream below is gone."""
        with self._writing:
            try:
                self._write(_HEAD.pack(kind, number, len(payload)) + payload)
            except (OSError, ValueError) as error:
                raise Broken from error

    def forget(self, number: int) -> None:
        """Nothing more comes of this one."""
        with self._lock:
            self._streams.pop(number, None)

    def serve(self, heard: Callable[[bytes, int, bytes], None]) -> None:
        """Take in all that comes until the end, giving frames of other kinds to `heard`, which must not wait.

        Raises `Broken` if the other side does not keep to the rules.
        """
        try:
            while len(head := self._read(_HEAD.size)) == _HEAD.size:
                kind, number, size = _HEAD.unpack(head)
                if size > (LARGEST if kind == b"D" else LONGEST_WORDS):
                    raise Broken
                payload = self._read(size) if size else b""
                if len(payload) < size:
                    return
                if kind not in b"DEAX":
                    heard(kind, number, payload)
                elif (stream := self._streams.get(number)) is not None:
                    stream.heard(kind, payload)
        except (OSError, ValueError, struct.error) as error:
            raise Broken from error
        finally:
            with self._lock:
                self._over = True
                left = list(self._streams.values())
            for stream in left:
                stream.heard(b"X", b"")


class Reader:
    """A stream as a file to read."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._left = b""

    def read(self, size: int) -> bytes:
        while len(self._left) < size and (data := self._stream.receive()):
            self._left += data
        found, self._left = self._left[:size], self._left[size:]
        return found


class Writer:
    """A stream as a file to write."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def write(self, data: bytes) -> int:
        self._stream.send(data)
        return len(data)


def join(stream: Stream, connection: socket.socket, *, asks: bool) -> None:
    """Carry bytes between them until both directions have ended; closes the connection.

    `asks` says that who asks is at the connection's end, and who answers at the stream's: an answer that nobody takes
    ends all, while one who answers may do so before it has heard everything.
    """

    def send() -> None:
        try:
            while data := connection.recv(LARGEST):
                stream.send(data)
        except (OSError, Broken):
            pass
        stream.end()

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    listens = True
    while data := stream.receive():
        try:
            if listens:
                connection.sendall(data)
        except OSError:
            listens = False
            if asks:
                break
    if not listens and asks:
        stream.give_up()
    _shut(connection, socket.SHUT_RDWR if stream._broken else socket.SHUT_WR)
    sender.join()
    connection.close()


def _shut(connection: socket.socket, how: int) -> None:
    try:
        connection.shutdown(how)
    except OSError:
        pass
