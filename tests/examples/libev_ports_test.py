#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""libev_ports_test.py PROGRAM: the example that asks ports from a libev loop says the truth about
each, answers while its input is still open, and ends when that has ended and all is answered."""
import socket
import subprocess
import sys

LOCAL = "127.0.0.1"


def check(condition, what):
    print("ok  " if condition else "FAIL", what, flush=True)
    if not condition:
        sys.exit(1)


def listen():
    listener = socket.create_server((LOCAL, 0), backlog=100)
    return listener, f"{LOCAL}:{listener.getsockname()[1]}"


def closed_port():
    listener, address = listen()
    listener.close()
    return address


def main():
    program = sys.argv[1]
    listeners = [listen() for _ in range(20)]
    refusing = closed_port()

    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        first = listeners[0][1]
        process.stdin.write(first[:7].encode())  # a line may come in parts
        process.stdin.flush()
        process.stderr.readline()
        check(True, "the host's own timer fires while the program waits for input")
        process.stdin.write(f"{first[7:]}\n".encode())
        process.stdin.flush()
        check(process.stdout.readline() == f"{first} open\n".encode(), "it answers meanwhile")
        process.stdin.write(f"\n{refusing}\nno address\n".encode())
        process.stdin.write("".join(f"{address}\n" for _, address in listeners[1:]).encode())
        output, _ = process.communicate(timeout=60)
    lines = output.decode().splitlines()
    answers = dict(line.split(" ", 1) for line in lines[:-1])

    check(all(answers[address] == "open" for _, address in listeners[1:]), "open ports are open")
    check(answers[refusing] == "Connection refused", "a closed one refuses")
    check(len(lines) == len(listeners) + 2, "each line is answered once")
    check(lines[-1] == f"{len(listeners)} open, 2 not", "the sum is right")
    check(process.returncode == 0, "the loop ends by itself, and exit status is 0")

    empty = subprocess.run([program], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    check(empty.stdout == b"0 open, 0 not\n", "without input there is nothing to do")


main()
