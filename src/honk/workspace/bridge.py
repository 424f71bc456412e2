"""Runs inside a sandbox: `bridge.py PORT=SOCKET … PORT<DESCRIPTOR … -- COMMAND…`.

Forwards connections to 127.0.0.1:PORT, of which the sandbox's network has nothing else, to a Unix socket that leads
out of it, and connections that come in by a listening socket to 127.0.0.1:PORT; runs the command meanwhile with the
same standard streams. Ends with the command's exit status. Uses the standard library only and imports little of it,
because it is in the way of every start.
"""

import _signal  # type: ignore[import-not-found]
import os
import sys
import time
from _socket import AF_INET, AF_UNIX, SHUT_RDWR, SHUT_WR, SO_REUSEADDR, SOL_SOCKET
from _socket import socket as Socket  # `socket` itself imports enough to double the time this takes to start
from _thread import LockType, allocate_lock, start_new_thread


def _shut(end: Socket, how: int) -> None:
    try:
        end.shutdown(how)
    except OSError:
        pass


def _copy(source: Socket, target: Socket) -> None:
    listens = True
    try:
        while data := source.recv(1 << 16):
            try:
                if listens:
                    target.sendall(data)
            except OSError:
                # It may have answered before it heard everything, and the answer is still on its way.
                listens = False
    except OSError:
        pass
    _shut(target, SHUT_WR)


def _answer(upstream: Socket, client: Socket, done: LockType) -> None:
    try:
        while data := upstream.recv(1 << 16):
            client.sendall(data)
    except OSError:
        pass
    finally:
        # What the client still says is read on: a connection that is closed over unread words loses the answer.
        _shut(upstream, SHUT_RDWR)
        _shut(client, SHUT_WR)
        done.release()


def _connect(client: Socket, family: int, address: str | tuple[str, int]) -> None:
    upstream = Socket(family)
    try:
        upstream.connect(address)
        done = allocate_lock()
        done.acquire()
        start_new_thread(_answer, (upstream, client, done))
        _copy(client, upstream)
        done.acquire()
    except OSError:
        pass
    finally:
        upstream.close()
        client.close()


def _accept(listener: Socket) -> Socket:
    descriptor, _ = listener._accept()  # type: ignore[attr-defined]  # what `socket.accept` stands on
    return Socket(fileno=descriptor)


def _serve(listener: Socket, family: int, address: str | tuple[str, int]) -> None:
    while True:
        start_new_thread(_connect, (_accept(listener), family, address))


def _let_in(listener: Socket, port: int) -> None:
    """Connections wait at the listener until something listens inside; the first is told so."""
    address = ("127.0.0.1", port)
    while True:
        tried = Socket()
        listens = tried.connect_ex(address) == 0
        tried.close()
        if listens:
            break
        time.sleep(0.05)
    first = None
    try:
        first = _accept(listener)
        first.sendall(b"ready")
    except OSError:
        pass
    finally:
        if first:
            first.close()
    _serve(listener, AF_INET, address)


def _listen(port: int) -> Socket:
    listener = Socket()
    listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
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
    for number in (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP):
        _signal.signal(number, lambda received, _: os.kill(child, received))
    for listener, path in listeners:
        start_new_thread(_serve, (listener, AF_UNIX, path))
    for port, descriptor in ways_in:
        start_new_thread(_let_in, (Socket(fileno=descriptor), port))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
