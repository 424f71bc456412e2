"""Reading little-endian binary forms that somebody else wrote: every step stays within the bytes there are."""

from __future__ import annotations

from honk.ship.packages.facts import PackageError


class Reader:
    """A place in some bytes. Each read moves on, or raises `PackageError` that names `what` is broken."""

    def __init__(self, data: bytes | memoryview, what: str) -> None:
        self.data = memoryview(data)
        self.what = what
        self.at = 0

    def broken(self, how: str = "it is malformed") -> PackageError:
        return PackageError(f"The package's {self.what} cannot be read ({how}): build the package again.")

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def seek(self, at: int) -> None:
        if not 0 <= at <= len(self.data):
            raise self.broken("it points outside itself")
        self.at = at

    def take(self, count: int) -> memoryview:
        if not 0 <= count <= self.left:
            raise self.broken("it ends too early")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def part(self, count: int) -> Reader:
        """The next `count` bytes, to be read by themselves."""
        return Reader(self.take(count), self.what)

    def prefixed(self) -> Reader:
        """A part after its length, a 32-bit number."""
        return self.part(self.number(4))
