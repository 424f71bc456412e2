"""Runs inside a sandbox: `bridge.py PORT=SOCKET … PORT<DESCRIPTOR … -- COMMAND…`.

Forwards connections to 127.0.0.1:PORT, of which the sandbox's network has nothing else, to a Unix socket that leads
out of it, and connections that come in by a listening socket to 127.0.0.1:PORT; runs the command meanwhile with the
same standard streams. Ends with the command's exit status. Uses the standard library only and imports little of it,
because it is in the way of every start.
"""

import os
import signal
import socket
import sys
import time
from _thread import LockType, allocate_lock, start_new_thread
from contextlib import suppress


def _copy(source: socket.socket, target: socket.socket) -> None:
    listens = True
    with suppress(OSError):
        while data := source.recv(1 << 16):
            try:
                if listens:
                    target.sendall(data)
            except OSError:
                # It may have answered before it heard everything, and the answer is still on its way.
                listens = False
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _answer(upstream: socket.socket, client: socket.socket, done: LockType) -> None:
    try:
        with suppress(OSError):
            while data := upstream.recv(1 << 16):
                client.sendall(data)
        # What the client still says is read on: a connection that is closed over unread words loses the answer.
        for end, how in ((upstream, socket.SHUT_RDWR), (client, socket.SHUT_WR)):
            with suppress(OSError):
                end.shutdown(how)
    finally:
        done.release()


def _connect(client: socket.socket, family: int, address: str | tuple[str, int]) -> None:
    with client, socket.socket(family) as upstream:
        try:
            upstream.connect(address)
        except OSError:
            return
        done = allocate_lock()
        done.acquire()
        start_new_thread(_answer, (upstream, client, done))
        _copy(client, upstream)
        done.acquire()


def _serve(listener: socket.socket, family: int, address: str | tuple[str, int]) -> None:
    while True:
        client, _ = listener.accept()
        start_new_thread(_connect, (client, family, address))


def _let_in(listener: socket.socket, port: int) -> None:
    """Connections wait at the listener until something listens inside; the first is told so."""
    address = ("127.0.0.1", port)
    while True:
        with socket.socket() as tried:
            if tried.connect_ex(address) == 0:
                break
        time.sleep(0.05)
    with suppress(OSError):
        first, _ = listener.accept()
        with first:
            first.sendall(b"ready")
    _serve(listener, socket.AF_INET, address)


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


def main(arguments: list[str]) -> int:
    split = arguments.index("--")
    ways_out = [argument.split("=", 1) for argument in arguments[:split] if "=" in argument]
    ways_in = [[int(number) for number in argument.split("<")] for argument in arguments[:split] if "<" in argument]
    command = arguments[split + 1 :]
    listeners = [(_listen(int(port)), path) for port, path in ways_out]
    child = os.fork()
    if child == 0:
        for _, descriptor in ways_in:
            os.close(descriptor)
        try:
            os.execvp(command[0], command)  # noqa: S606
        except OSError as error:
            os.write(2, f"{command[0]}: {error.strerror}\n".encode())
            os._exit(127)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _: os.kill(child, received))
    for listener, path in listeners:
        start_new_thread(_serve, (listener, socket.AF_UNIX, path))
    for port, descriptor in ways_in:
        start_new_thread(_let_in, (socket.socket(fileno=descriptor), port))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
