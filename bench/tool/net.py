# SPDX-License-Identifier: MIT
"""A server, and the load on it: rates, latencies, processor time, resident memory."""

import os
import re
import subprocess

import build

TIMEOUT = 120
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGESIZE")


def cores_for(workers):
    """(the server's, the load's): one each with one worker, all of them for both otherwise."""
    cores = sorted(os.sched_getaffinity(0))
    if workers > 1 or len(cores) < 2:
        return cores, cores
    return cores[:1], cores[-1:]


def start(command, environment, cores):
    """(process, port)"""
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    line = process.stdout.readline()
    match = re.search(r"port (\d+)", line)
    if not match:
        process.kill()
        process.wait()
        raise OSError(f"{' '.join(command)} says no port: {line!r}")
    return process, match.group(1)


def stop(process):
    process.kill()
    process.wait()
    process.stdout.close()


def cpu_seconds(pid):
    """(user, system); the sum is exact, the shares are the kernel's estimate by ticks."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    user, system = int(fields[11]) / TICK, int(fields[12]) / TICK
    total = 0.0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0]) / 1e9
    share = user / (user + system) if user + system > 0 else 0.0
    return total * share, total * (1 - share)


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * PAGE


def measure(command, arguments, environment, workers):
    """{name: value}: what the load prints, and what the server used meanwhile."""
    server_cores, load_cores = cores_for(workers)
    process, port = start(command, environment, server_cores)
    try:
        loader = [os.path.join(build.FOLDER, "bench-load"), port, *arguments]
        if arguments[0] == "idle":
            return {"idle_memory": idle(loader, process.pid, int(arguments[1]), load_cores)}
        before = cpu_seconds(process.pid)
        run = subprocess.run(loader, capture_output=True, text=True, timeout=TIMEOUT, check=False,
                             preexec_fn=lambda: os.sched_setaffinity(0, load_cores))
        if run.returncode != 0:
            raise OSError(f"{' '.join(command)} under {' '.join(arguments)}: {run.stderr[-300:]}")
        values = {line.split()[0]: float(line.split()[2]) for line in run.stdout.splitlines()}
        if not values["requests"]:
            raise OSError(f"{' '.join(command)} under {' '.join(arguments)}: not one answer")
        # The warm-up costs the processor a tenth more than what is counted.
        count = values["requests"] * 1.1 / 1e6
        user, system = (now - then for now, then in zip(cpu_seconds(process.pid), before))
        values.update(cpu_user=user / count, cpu=(user + system) / count)
        return values
    finally:
        stop(process)


def idle(loader, pid, connections, cores):
    """Bytes for each of so many connections that have been used once."""
    before = resident(pid)
    load = subprocess.Popen(loader, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                            preexec_fn=lambda: os.sched_setaffinity(0, cores))
    try:
        if load.stdout.readline() != "ready\n":
            raise OSError("the idle load did not get its connections")
        return (resident(pid) - before) / connections
    finally:
        load.stdin.close()
        load.wait(timeout=TIMEOUT)
        load.stdout.close()
