#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""echo_test.py PROGRAM: the echo server of the examples gives back every byte to each of many
clients, and hangs up on one that says nothing."""
import contextlib
import os
import socket
import subprocess
import sys

LOCAL = "127.0.0.1"


def check(condition, what):
    print("ok  " if condition else "FAIL", what, flush=True)
    if not condition:
        sys.exit(1)


@contextlib.contextmanager
def server(program, **environment):
    with subprocess.Popen([program, f"{LOCAL}:0"], stdout=subprocess.PIPE, text=True,
                          env=os.environ | environment) as process:
        try:
            yield int(process.stdout.readline().split()[-1])  # listening on port 7777
        finally:
            process.kill()


def connect(port):
    return socket.create_connection((LOCAL, port), timeout=60)


def read_exactly(client, size):
    received = b""
    while len(received) < size:
        part = client.recv(size - len(received))
        if not part:
            break
        received += part
    return received


def check_echo(program):
    with server(program) as port:
        clients = [connect(port) for _ in range(50)]
        messages = [os.urandom(1000 * (i + 1)) for i in range(len(clients))]
        for client, message in zip(clients, messages):
            client.sendall(message)
        answers = [read_exactly(client, len(message)) for client, message in zip(clients, messages)]
        check(answers == messages, "each of fifty clients gets its own bytes back")


def check_idle_time(program):
    with server(program, WEFT_CLOCK="virtual") as port:
        with connect(port) as client:
            check(client.recv(1) == b"", "who says nothing for 30 seconds is hung up on")


def main():
    check_echo(sys.argv[1])
    check_idle_time(sys.argv[1])


main()
