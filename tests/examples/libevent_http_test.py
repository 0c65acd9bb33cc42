#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""libevent_http_test.py PROGRAM: the HTTP server of the examples answers many requests at once,
gives up on slow ones, drops the work of who hangs up, and ends with requests under way."""
import concurrent.futures
import http.client
import signal
import socket
import subprocess
import sys
import time

LOCAL = "127.0.0.1"


def check(condition, what):
    print("ok  " if condition else "FAIL", what, flush=True)
    if not condition:
        sys.exit(1)


def get(port, path):
    """The status and the text of the answer."""
    connection = http.client.HTTPConnection(LOCAL, port, timeout=60)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def start_and_leave(port, path):
    """Asks, and hangs up without waiting for the answer."""
    with socket.create_connection((LOCAL, port), timeout=60) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
        time.sleep(0.05)


def counts(port):
    words = get(port, "/")[1].split()
    return int(words[0]), int(words[2])  # 3 answered, 1 cancelled


def check_answers(port):
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        numbers = list(range(1, 41))
        answers = list(pool.map(lambda n: get(port, f"/sum/{n}"), numbers))
    check(answers == [(200, f"{n * (n + 1) // 2}\n") for n in numbers],
          "forty requests get their own sums, side by side")


def check_time_out(port):
    start = time.monotonic()
    status, _ = get(port, "/sum/9999")
    check(status == 504, "a request that takes too long is given up")
    check(2 <= time.monotonic() - start < 50, "after two seconds")


def check_hang_up(port):
    answered, cancelled = counts(port)
    for _ in range(5):
        start_and_leave(port, "/sum/150")
    deadline = time.monotonic() + 30
    while counts(port)[1] < cancelled + 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    check(counts(port) == (answered, cancelled + 5), "who hangs up is not worked for any more")


def check_end(process, port):
    with socket.create_connection((LOCAL, port), timeout=60) as client:
        client.sendall(b"GET /sum/150 HTTP/1.1\r\nHost: here\r\n\r\n")
        get(port, "/")  # by now that one is under way
        process.send_signal(signal.SIGTERM)
        check(process.wait(60) == 0, "it ends cleanly with a request under way")
        check(process.stderr.read() == "", "and has nothing to say about it")


def main():
    with subprocess.Popen([sys.argv[1], "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        try:
            port = int(process.stdout.readline().split()[-1])  # listening on port 8080
            check_answers(port)
            check_time_out(port)
            check_hang_up(port)
            check_end(process, port)
        finally:
            process.kill()


main()
