#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""proxy_test.py PROGRAM: the TCP proxy of the examples before a real web server, among peers that
misbehave. curl fetches through it, and every byte is compared."""
import contextlib
import hashlib
import os
import pathlib
import resource
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

BIG = 64 << 20
SMALL_COUNT = 100
CONNECTIONS_MAX = 500  # as in examples/tcp_proxy.c
LOCAL = "127.0.0.1"


def check(condition, what):
    print("ok  " if condition else "FAIL", what, flush=True)
    if not condition:
        sys.exit(1)


def digest(data):
    return hashlib.sha256(data).hexdigest()


@contextlib.contextmanager
def web_server(folder):
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", LOCAL,
               "--directory", folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True) as server:
        try:
            words = server.stdout.readline().split()  # Serving HTTP on 127.0.0.1 port 8000 ...
            yield int(words[words.index("port") + 1])
        finally:
            server.kill()


@contextlib.contextmanager
def proxy(program, target_port, **environment):
    command = [program, f"{LOCAL}:0", f"{LOCAL}:{target_port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True,
                          env=os.environ | environment) as process:
        try:
            process.port = int(process.stdout.readline().split()[-1])  # listening on port 8000
            yield process
        finally:
            process.kill()


def connect(port):
    return socket.create_connection((LOCAL, port), timeout=60)


def ask(port, path):
    client = connect(port)
    client.sendall(f"GET /{path} HTTP/1.0\r\n\r\n".encode())
    return client


def read_all(client):
    parts = []
    while part := client.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def body(answer):
    return answer.split(b"\r\n\r\n", 1)[1]


def reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def curl(folder, *arguments):
    subprocess.run(["curl", "--no-progress-meter", "--fail", *arguments], cwd=folder, check=True)


def check_fetches(port, folder, scratch):
    curl(scratch, "--output", "big", f"http://{LOCAL}:{port}/big")
    same = digest((scratch / "big").read_bytes()) == digest((folder / "big").read_bytes())
    check(same, "64 MiB arrive as they are")

    curl(scratch, "--parallel", "--remote-name-all",
         f"http://{LOCAL}:{port}/small-[0-{SMALL_COUNT - 1}]")
    names = [f"small-{i}" for i in range(SMALL_COUNT)]
    same = all((scratch / name).read_bytes() == (folder / name).read_bytes() for name in names)
    check(same, "a hundred small files arrive as they are")


def check_half_close(port, folder):
    with ask(port, "big") as client:
        client.shutdown(socket.SHUT_WR)
        check(body(read_all(client)) == (folder / "big").read_bytes(),
              "who half-closes still gets everything")


def check_graceful_end(process, folder, stalled):
    with ask(process.port, "big") as client:
        head = client.recv(100)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        refused = False
        try:
            connect(process.port).close()
        except ConnectionRefusedError:
            refused = True
        check(refused, "after Ctrl-C nobody new is let in")
        check(body(head + read_all(client)) == (folder / "big").read_bytes(),
              "after Ctrl-C a transfer under way is finished")
    check(process.wait(timeout=20) == 0, "the exit status is 0, also with a peer that stalls")
    stalled.close()


def check_web(program):
    with tempfile.TemporaryDirectory() as served, tempfile.TemporaryDirectory() as fetched:
        folder = pathlib.Path(served)
        scratch = pathlib.Path(fetched)
        (folder / "big").write_bytes(os.urandom(BIG))
        for i in range(SMALL_COUNT):
            (folder / f"small-{i}").write_bytes(os.urandom(100 + i))

        with web_server(folder) as target_port, proxy(program, target_port) as process:
            check_fetches(process.port, folder, scratch)

            stalled = ask(process.port, "big")  # and never reads
            resetting = [ask(process.port, "big") for _ in range(20)]
            for client in resetting:
                client.recv(1000)
                reset(client)
            check_fetches(process.port, folder, scratch)
            check_half_close(process.port, folder)
            check_graceful_end(process, folder, stalled)


def open_target(accepted):
    """A server that accepts, and does nothing else; its port."""
    listener = socket.create_server((LOCAL, 0), backlog=1000)
    threading.Thread(target=accept_into, args=(listener, accepted), daemon=True).start()
    return listener.getsockname()[1]


def accept_into(listener, accepted):
    with contextlib.suppress(OSError):
        while True:
            accepted.append(listener.accept()[0])


def wait_for_count(accepted, count):
    deadline = time.monotonic() + 30
    while len(accepted) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)  # one too many would show up now
    return len(accepted) == count


def hang_up_who_got_an_end(clients, count):
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        while count > 0:
            for key, _ in selector.select():
                selector.unregister(key.fileobj)
                key.fileobj.close()
                count -= 1


def check_limit(program):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    accepted = []
    with proxy(program, open_target(accepted)) as process:
        clients = [connect(process.port) for _ in range(CONNECTIONS_MAX + 10)]
        check(wait_for_count(accepted, CONNECTIONS_MAX), "connections above the limit wait")
        for server in accepted[:4]:
            server.close()
        hang_up_who_got_an_end(clients, 4)
        check(wait_for_count(accepted, CONNECTIONS_MAX + 4), "and come in as others leave")
        process.send_signal(signal.SIGINT)
        check(process.wait(timeout=20) == 0, "five hundred idle connections do not keep it alive")


def check_idle_time(program):
    accepted = []
    with proxy(program, open_target(accepted), WEFT_CLOCK="virtual") as process:
        with connect(process.port) as client:
            check(read_all(client) == b"", "who says nothing for long is hung up on")
        wait_for_count(accepted, 1)  # time is virtual there, and real here
        check(read_all(accepted[0]) == b"", "on both sides")


def main():
    check_web(sys.argv[1])
    check_idle_time(sys.argv[1])
    check_limit(sys.argv[1])


main()
