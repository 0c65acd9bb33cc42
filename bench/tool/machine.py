# SPDX-License-Identifier: MIT
"""The machine and the versions that a run had, and whether the machine was quiet."""

import os
import platform
import re
import shutil
import subprocess

import build
import stats

NOISY = 0.05  # how far the calibration may wander from its fastest
STOLEN = 0.01  # the part of the time that a hypervisor may take
BUSY = 0.5  # other work, in cores


def first_line(command):
    if not shutil.which(command[0]):
        return None
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run.stdout.partition("\n")[0].strip() or None


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def describe():
    model = re.search(r"model name\s*:\s*(.*)", read("/proc/cpuinfo"))
    system = re.search(r'PRETTY_NAME="(.*)"', read("/etc/os-release"))
    memory = re.search(r"MemTotal:\s*(\d+)", read("/proc/meminfo"))
    huge = re.search(r"\[(\w+)\]", read("/sys/kernel/mm/transparent_hugepage/enabled"))
    return {
        "processor": model.group(1) if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(memory.group(1)) / 2**20, 1) if memory else None,
        "system": system.group(1) if system else "Linux",
        "kernel": platform.release(),
        "huge_pages": huge.group(1) if huge else None,
    }


def versions():
    """{what: version} of all that is here."""
    found = {
        "compiler": first_line([os.environ.get("CC", "cc"), "--version"]),
        "Go": first_line(["go", "version"]),
        "rustc": first_line(["rustc", "--version"]),
    }
    for package in ("libuv", "libevent", "liburing"):
        found[package] = first_line(["pkg-config", "--modversion", package])
    for package in ("libev-dev", "libst-dev", "libboost-fiber-dev"):
        found[package] = first_line(["dpkg-query", "--show", "--showformat=${Version}", package])
    lock = read(os.path.join(build.BENCH, "peers", "rust", "Cargo.lock"))
    for crate in ("tokio", "async-std", "smol", "async-executor"):
        match = re.search(rf'name = "{crate}"\nversion = "(.*)"', lock)
        found[crate] = match.group(1) if match else None
    return {name: version for name, version in found.items() if version}


def revision():
    """The commit, and `+` if the tree has changes."""
    commit = first_line(["git", "-C", build.ROOT, "rev-parse", "--short=12", "HEAD"])
    changes = first_line(["git", "-C", build.ROOT, "status", "--porcelain"])
    return (commit or "unknown") + ("+" if changes else "")


def stolen_ticks():
    """(stolen, all), of all processors since they started."""
    ticks = [int(word) for word in read("/proc/stat").split("\n")[0].split()[1:]]
    return ticks[7], sum(ticks[:8])


class Noise:
    """Takes the machine's own speed between rounds."""

    def __init__(self):
        self.samples = {}
        self.loads = []
        self.stolen = stolen_ticks()

    def sample(self):
        self.loads.append(os.getloadavg()[0])
        run = subprocess.run([os.path.join(build.FOLDER, "bench-calibrate")], capture_output=True,
                             text=True, check=True)
        for line in run.stdout.splitlines():
            name, _, value = line.split()
            self.samples.setdefault(name, []).append(float(value))

    def report(self):
        stolen, total = (now - then for now, then in zip(stolen_ticks(), self.stolen))
        return {
            "calibration": self.samples,
            "load": self.loads,
            "stolen": round(stolen / total, 4) if total > 0 else 0,
        }


def remarks(noise):
    """What a reader should know about the quiet of a run; empty: it was quiet."""
    found = []
    for name, values in noise["calibration"].items():
        worst = max(values) / min(values) - 1
        usual = stats.median(values) / min(values) - 1
        if worst > NOISY or usual > NOISY / 2:
            found.append(f"{name} took {min(values):.3g} to {max(values):.3g} ns, +{worst:.0%}")
    # The run itself keeps about one core busy from its second round on.
    if noise["load"] and noise["load"][0] > BUSY:
        found.append(f"the load was {noise['load'][0]:.1f} before the first round")
    if noise["load"] and max(noise["load"]) > 2 + BUSY:
        found.append(f"the load rose to {max(noise['load']):.1f}")
    if noise["stolen"] > STOLEN:
        found.append(f"{noise['stolen']:.1%} of the time went to other machines on the host")
    return found
