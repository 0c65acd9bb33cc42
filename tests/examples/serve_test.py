#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""serve_test.py PROGRAM: the echo server on several workers gives back every byte, and after an
interrupt takes no new connection, serves the open ones to their end, and ends well."""
import os
import signal
import socket
import subprocess
import sys

LOCAL = "127.0.0.1"
CLIENTS = 50


def check(condition, what):
    print("ok  " if condition else "FAIL", what, flush=True)
    if not condition:
        sys.exit(1)


def read_exactly(client, size):
    received = b""
    while len(received) < size:
        part = client.recv(size - len(received))
        if not part:
            break
        received += part
    return received


def exchange(client, message):
    client.sendall(message)
    return read_exactly(client, len(message)) == message


def check_server(program, workers):
    environment = os.environ | {"WEFT_WORKERS": workers}
    with subprocess.Popen([program, f"{LOCAL}:0"], stdout=subprocess.PIPE, text=True,
                          env=environment) as process:
        try:
            port = int(process.stdout.readline().split()[-1])  # listening on port 7777
            clients = [socket.create_connection((LOCAL, port), timeout=60) for _ in range(CLIENTS)]
            echoed = [exchange(client, os.urandom(1000 * (i + 1)))
                      for i, client in enumerate(clients)]
            check(all(echoed), f"{workers} workers: each of {CLIENTS} clients gets its bytes back")

            process.send_signal(signal.SIGINT)
            for client in clients[1:]:
                client.close()
            check(exchange(clients[0], b"still there"), "an open connection outlives the interrupt")
            clients[0].close()
            answer = process.stdout.read()
            check(answer == f"served {CLIENTS} connections\n", "all of them have ended")
            check(process.wait(timeout=60) == 0, "and the server ends well")
        finally:
            process.kill()


for count in "1", "2", "4":
    check_server(sys.argv[1], count)
