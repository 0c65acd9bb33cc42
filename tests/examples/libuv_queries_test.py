#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""libuv_queries_test.py PROGRAM: the example that asks a server from a libuv loop gets all answers,
tries again when it is hung up on, gives up in time, and ends when its input has ended."""
import socket
import subprocess
import sys
import threading
import time


def check(condition, what):
    print("ok  " if condition else "FAIL", what, flush=True)
    if not condition:
        sys.exit(1)


def answer(connection, seen):
    """Turns a line around; "twice" is hung up on at first, and "never" hears nothing."""
    with connection:
        question = connection.makefile("rb").readline().decode().strip()
        seen[question] = seen.get(question, 0) + 1
        if question == "never":
            time.sleep(10)
        elif question != "twice" or seen[question] == 2:
            connection.sendall(question[::-1].encode() + b"\n")


def serve(listener, seen):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection, seen), daemon=True).start()


def main():
    seen = {}
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    threading.Thread(target=serve, args=(listener, seen), daemon=True).start()
    command = [sys.argv[1], f"127.0.0.1:{listener.getsockname()[1]}"]

    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        process.stdin.write(b"fir")  # a line may come in parts
        process.stdin.flush()
        process.stderr.readline()
        check(True, "the host's own timer fires while the program waits for input")
        process.stdin.write(b"st\n")
        process.stdin.flush()
        check(process.stdout.readline() == b"first: tsrif\n", "it answers while input is open")
        start = time.monotonic()
        words = [f"word-{i}" for i in range(50)]
        process.stdin.write("\n".join(words + ["twice", "never", ""]).encode())
        output, _ = process.communicate(timeout=60)
    elapsed = time.monotonic() - start
    lines = output.decode().splitlines()
    answers = dict(line.split(": ", 1) for line in lines[:-1])

    check(all(answers[word] == word[::-1] for word in words), "each line gets its own answer")
    check(answers["twice"] == "eciwt" and seen["twice"] == 2, "who is hung up on tries again")
    check(answers["never"] == "Connection timed out", "no answer is a time-out")
    check(2 <= elapsed < 10, "after two seconds, while all others went on")
    check(len(lines) == len(words) + 3, "each line is answered once")
    check(lines[-1] == f"{len(words) + 2} answered, 1 not", "the sum is right")
    check(process.returncode == 0, "the loop ends by itself, with nothing left in it")


main()
