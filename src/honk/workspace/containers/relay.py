"""`relay.py SOCKET ARGUMENTS…`: hands its standard streams and arguments to Honk, and ends as the command there does.

It runs outside and stands for a program in a container, where a harness starts one and speaks to it.
"""

import json
import os
import socket
import sys


def main() -> int:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    socket.send_fds(connection, [json.dumps(sys.argv[2:]).encode() + b"\n"], [0, 1, 2])
    told = connection.recv(16)
    return int(told) if told else 1


if __name__ == "__main__":
    os._exit(main())
