# SPDX-License-Identifier: MIT
"""Builds what is measured, below build/: weft by Meson, each peer with its own tools.

A peer whose tools are missing becomes a line that begins with SKIPPED.
"""

import collections
import os
import re
import shutil
import subprocess

import subjects

HERE = os.path.dirname(os.path.abspath(__file__))
BENCH = os.path.dirname(HERE)
ROOT = os.path.dirname(BENCH)
FOLDER = os.path.join(ROOT, "build", "bench-compare", "bench")
PEERS = os.path.join(ROOT, "build", "bench-peers")

# What a C or C++ peer needs: its source below bench/peers/, the libraries, a header that must be
# there and the Debian package that has it.
Program = collections.namedtuple("Program", "source libraries header package")
ST = Program("state_threads/state_threads.c", ["st"], "st.h", "libst-dev")
BOOST = Program("boost_fiber/boost_fiber.cc", ["boost_fiber", "boost_context"],
                "boost/fiber/all.hpp", "libboost-fiber-dev")
UV = (["uv"], "uv.h", "libuv1-dev")
EV = (["ev"], "ev.h", "libev-dev")
EVENT = (["event_core"], "event2/event.h", "libevent-dev")
PLAIN = {  # name: (server, timers, the loop of weft that it compares with)
    "epoll": (Program("plain/epoll.c", [], "sys/epoll.h", "libc6-dev"), None, "epoll"),
    "io_uring": (Program("plain/io_uring.c", ["uring"], "liburing.h", "liburing-dev"), None,
                 "epoll"),
    "libuv": (Program("plain/libuv_poll.c", *UV), Program("timers/libuv.c", *UV), "libuv"),
    "libuv streams": (Program("plain/libuv_tcp.c", *UV), None, "libuv"),
    "libev": (Program("plain/libev.c", *EV), Program("timers/libev.c", *EV), "libev"),
    "libevent": (Program("plain/libevent.c", *EVENT), Program("timers/libevent.c", *EVENT),
                 "libevent"),
    "bufferevents": (Program("plain/libevent_buffer.c", *EVENT), None, "libevent"),
}


class Skipped(Exception):
    """A peer that is not here, and why."""


def run(command, place, environment=None):
    done = subprocess.run(command, cwd=place, env={**os.environ, **(environment or {})},
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).splitlines()
        raise Skipped("it does not build: " + " | ".join(said[-3:]).replace(ROOT + os.sep, ""))


def build_weft():
    """One library and set of programs per backend."""
    if not os.path.exists(os.path.join(ROOT, "build", "bench-compare", "build.ninja")):
        command = ["meson", "setup", os.path.join(ROOT, "build", "bench-compare"), ROOT,
                   "--native-file", os.path.join(ROOT, "tools", "presets", "release.ini"),
                   "-Dtests=none", "-Dbench=true", "-Dcompare=true"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    command = ["ninja", "-C", os.path.join(ROOT, "build", "bench-compare"), "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def weft_all(backends, workers):
    """([subjects], [skipped lines])"""
    found, lines = [], []
    for backend in backends:
        subject = subjects.weft(FOLDER, backend, workers)
        refusal = subjects.refuses_workers(subject, workers) if workers > 1 else None
        if refusal:
            lines.append(refusal)
        else:
            found.append(subject)
    return found, lines


def compile_program(program):
    """Its path; compiled if it is older than anything of its folder."""
    source = os.path.join(BENCH, "peers", program.source)
    path = os.path.join(PEERS, os.path.splitext(program.source)[0].replace("/", "-"))
    is_cxx = source.endswith(".cc")
    compiler = os.environ.get("CXX", "c++") if is_cxx else os.environ.get("CC", "cc")
    if not shutil.which(compiler):
        raise Skipped(f"no {compiler} here")
    if not has_header(compiler, program.header):
        raise Skipped(f"no {program.package} here")
    standard = "-std=gnu++17" if is_cxx else "-std=gnu17"
    libraries = ["-l" + name for name in program.libraries]
    # One that is newer than its parts need not be made again.
    parts = [source, *headers_of(os.path.dirname(source)), *headers_of(BENCH)]
    if not os.path.exists(path) or os.path.getmtime(path) < max(map(os.path.getmtime, parts)):
        run([compiler, standard, "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-I", ROOT, source,
             *libraries, "-pthread", "-o", path], ROOT)
    return path


def headers_of(folder):
    return [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".h")]


def has_header(compiler, header):
    done = subprocess.run([compiler, "-E", "-x", "c++" if header.endswith("hpp") else "c", "-"],
                          input=f"#include <{header}>\n", capture_output=True, text=True,
                          check=False)
    return done.returncode == 0


def build_go():
    if not shutil.which("go"):
        raise Skipped("no golang-go here")
    path = os.path.join(PEERS, "go")
    run(["go", "build", "-buildvcs=false", "-o", path, "."], os.path.join(BENCH, "peers", "go"),
        {"GOTOOLCHAIN": "local", "GOFLAGS": ""})
    return path


def build_rust():
    """The folder of its three programs."""
    place = os.path.join(BENCH, "peers", "rust")
    if not shutil.which("cargo"):
        raise Skipped("no cargo here")
    with open(os.path.join(place, "Cargo.toml"), encoding="utf-8") as file:
        needed = re.search(r'rust-version = "(\d+)\.(\d+)', file.read())
    version = subprocess.run(["cargo", "--version"], capture_output=True, text=True, check=False)
    here = re.search(r"(\d+)\.(\d+)", version.stdout)
    if here and tuple(map(int, here.groups())) < tuple(map(int, needed.groups())):
        raise Skipped(f"cargo {here[0]} is older than {needed[1]}.{needed[2]}")
    target = os.path.join(PEERS, "rust")
    run(["cargo", "build", "--release", "--locked", "--quiet", "--target-dir", target], place)
    return os.path.join(target, "release")


def languages(workers, program_of):
    """The peers that are a language's or a library's tasks; PROGRAM_OF builds one, or raises."""
    threads = "1 thread" if workers == 1 else f"{workers} threads"
    tokio = "tokio, current_thread" if workers == 1 else f"tokio, {threads}"
    return [
        ("go", f"Go, {threads}", "language", lambda: program_of("go"), {}),
        ("tokio", tokio, "language", lambda: program_of("tokio"), {}),
        ("async-std", f"async-std, {threads}", "language", lambda: program_of("async-std"),
         {"ASYNC_STD_THREAD_COUNT": str(workers)}),
        ("smol", f"smol, {threads}", "language", lambda: program_of("smol"),
         {"SMOL_THREADS": str(workers)}),
        ("boost", "boost.fiber", "library", lambda: program_of("boost"), {}),
        ("st", "State Threads", "library", lambda: program_of("st"), {}),
    ]


def peers_all(workers):
    """([subjects], [skipped lines])"""
    os.makedirs(PEERS, exist_ok=True)
    rust = {}

    def program_of(name):
        if name == "go":
            return build_go()
        if name in ("boost", "st"):
            if workers > 1:
                raise Skipped("it has one thread")
            return compile_program(BOOST if name == "boost" else ST)
        if "folder" not in rust:
            rust["folder"] = build_rust()
        return os.path.join(rust["folder"], name)

    found, lines = [], []
    for name, title, kind, make, environment in languages(workers, program_of):
        try:
            found.append(subjects.peer(name, title, kind, make(), workers, environment))
        except Skipped as why:
            asked = title if kind == "language" else title + subjects.words(workers)
            lines.append(f"SKIPPED: {asked}: {why}")
    return found, lines


def plain_all():
    """The same for callback programs directly on a loop, and the bare system: one thread each."""
    found, lines = [], []
    for name, (server, timers, loop) in PLAIN.items():
        try:
            programs = {"echo": [compile_program(server)]}
            if timers:
                programs["timers"] = [compile_program(timers), "timers"]
            short = "plain-" + name.replace(" ", "-")
            found.append(subjects.Subject(short, "plain " + name, "plain", programs, loop=loop))
        except Skipped as why:
            lines.append(f"SKIPPED: plain {name}: {why}")
    found.append(subjects.bare(FOLDER))
    return found, lines
