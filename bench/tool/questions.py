# SPDX-License-Identifier: MIT
"""What is asked: each row of the tables is one number, printed by one program."""

import dataclasses

SUITES = ["core", "timers", "memory", "startup", "net"]


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    title: str
    suite: str
    unit: str
    command: str  # the program and its arguments: the same words for everybody
    key: str = ""  # what the program calls the number, if not `name`
    group: str = ""  # rows of a group are the points of one curve
    x: float = 0  # where on it
    axis: str = ""  # what x counts
    better: str = "less"  # or "more"
    page: str = "core"  # docs/benchmarks/PAGE.md explains it
    is_quick: bool = True  # --quick asks it as well
    cores: int = 1  # how many it needs, when it has one worker
    goal: float = 0  # how many times better than the better of Go and tokio; 0: none set
    scaling: float = 0  # how many times faster than one worker two should be; 0: none set
    is_shown: bool = True  # in tables; if not, only in curves
    without: tuple = ()  # who is not asked, though it could answer

    @property
    def question(self):
        return self.command.split()[0]

    @property
    def arguments(self):
        return self.command.split()[1:]

    @property
    def number(self):
        return self.key or self.name


NO_MEMORY = ("st",)  # a stack for each unstarted task: 4 GB and more than 30 s


def curve(group, axis, points, **common):
    """The rows of one curve; POINTS: (x, what else is special about the row)."""
    rows = []
    for x, special in points:
        values = {**common, **special}
        for field in ("name", "title", "command"):
            values[field] = values[field].format(x=x, n=f"{x:,}")
        rows.append(Row(group=group, axis=axis, x=x, **values))
    return rows


def core_rows():
    rows = [
        Row("yield", "yield, per switch", "core", "ns", "yield", goal=4),
        Row("spawn_join", "spawn and join, one at a time", "core", "ns", "spawn_join", goal=4),
    ]
    rows += curve(
        "spawn", "tasks",
        [(1000, {}), (10000, {}), (100000, {}),
         (1000000, {"is_shown": True, "goal": 4, "is_quick": False, "without": NO_MEMORY})],
        name="spawn_{x}", title="spawn {n} detached, then wait for all, per task", suite="core",
        unit="ns", command="spawn_many -n {x} 1", key="spawn_many_1", is_shown=False,
    )
    rows += [
        Row("spawn_scope", "spawn 1,000,000 in a scope, then wait for all, per task", "core", "ns",
            "spawn_many 0", key="spawn_many_0", goal=4, without=NO_MEMORY),
        Row("ping_pong_0", "ping-pong, capacity 0, per round trip", "core", "ns", "ping_pong 0",
            goal=4, page="channels"),
    ]
    rows += curve(
        "pipe", "capacity of the channel", [(0, {}), (1, {}), (64, {}), (1024, {})],
        name="pipe_{x}", title="1 producer, 1 consumer, capacity {n}, per item", suite="core",
        unit="ns", command="pipe {x}", goal=4, page="channels",
    )
    rows += curve(
        "crowd", "capacity of the channel", [(0, {}), (1, {}), (64, {}), (1024, {})],
        name="crowd_{x}", title="4 producers, 4 consumers, capacity {n}, per item", suite="core",
        unit="ns", command="crowd {x}", goal=4, page="channels",
    )
    rows += curve(
        "select", "channels", [(2, {}), (8, {}), (64, {})],
        name="select_{x}", title="select over {n}, per item", suite="core", unit="ns",
        command="select {x}", goal=4, page="channels",
    )
    rows += curve(
        "ring", "tasks",
        [(10, {"is_shown": False}), (100, {"is_shown": False}), (1000, {"goal": 4}),
         (10000, {"is_shown": False}),
         (100000, {"goal": 1, "is_quick": False, "without": ("boost",)})],
        name="ring_{x}", title="ring of {n}, per hop", suite="core", unit="ns", command="ring {x}",
    )
    rows += [Row("sieve", "sieve, 2,000 primes", "core", "ms", "sieve", goal=3.5)]
    rows += curve(
        "skynet", "leaves",
        [(1000, {"is_shown": False}), (10000, {"is_shown": False}), (100000, {"is_shown": False}),
         (1000000, {"goal": 4, "is_quick": False, "without": NO_MEMORY})],
        name="skynet_{x}", title="skynet, {n} leaves, cold", suite="core", unit="ms",
        command="skynet -n {x}", key="skynet",
    )
    rows += [
        Row("tree_0", "tree of 20,000 leaves of arithmetic", "core", "ms", "tree 0", scaling=1.7),
        Row("tree_1", "20,000 leaves, spawned by one task", "core", "ms", "tree 1", scaling=1.7),
        Row("stream", "thread to task, capacity 1,024, per item", "core", "ns", "stream 1024",
            key="stream_1024", page="threads", cores=2),
        Row("wake_p50", "thread to sleeping task, median", "core", "us", "wake", page="threads",
            cores=2),
        Row("wake_p99", "thread to sleeping task, 99 %", "core", "us", "wake", page="threads",
            cores=2),
        Row("mutex_8", "8 tasks, one mutex, per lock and unlock", "core", "ns", "mutex 8", goal=1,
            page="threads"),
        Row("scope_0", "scope, open and close", "core", "ns", "scope 0"),
        Row("scope_1", "the same with a time-out", "core", "ns", "scope 1"),
        Row("switch", "bare exchange of stacks", "core", "ns", "switch"),
    ]
    return rows


def timer_rows():
    rows = [
        Row("timer_arm", "timer, insert, 1,000,000 pending", "timers", "ns", "timers", goal=2),
        Row("timer_cancel", "timer, cancel in random order", "timers", "ns", "timers", goal=2),
        Row("timer_arm_cancel", "insert and cancel one", "timers", "ns", "timers"),
        Row("timer_expire", "expire", "timers", "ns", "timers"),
        Row("sleep", "sleep and wake, virtual clock", "timers", "ns", "sleep"),
    ]
    rows += curve(
        "sleepers", "tasks", [(1000, {"is_shown": False}), (10000, {"is_shown": False}),
                              (100000, {"goal": 1, "is_quick": False})],
        name="sleepers_{x}", title="{n} sleepers of 1 to 1,000 ms, processor time", suite="timers",
        unit="ms", command="sleepers -n {x}", key="sleepers",
    )
    for quantile, words in (("p50", "median"), ("p99", "99 %")):
        rows.append(Row(f"lateness_{quantile}", f"lateness of a sleeper, {words}", "timers", "us",
                        "lateness"))
    return [dataclasses.replace(row, page="timers") for row in rows]


def memory_rows():
    counts = [(10000, {}), (100000, {}), (1000000, {"is_quick": False})]
    rows = []
    for key, title, unit, goal in (
        ("parked_memory", "parked task, {n} of them, resident", "bytes", 0),
        ("parked_page_tables", "page tables of a parked task, {n} of them", "bytes", 0),
        ("parked_time", "parking {n} tasks, per task", "ns", 1),
    ):
        rows += curve(
            key, "tasks", counts, name=key + "_{x}", title=title, suite="memory", unit=unit,
            command="parked -n {x}", key=key, goal=goal,
        )
    rows.append(Row("idle_memory", "idle connection, resident in the server", "memory", "bytes",
                    "load idle 2000 0"))
    return [dataclasses.replace(row, page="memory") for row in rows]


def startup_rows():
    return [
        Row("startup", "a program that runs one task, from start to end", "startup", "us",
            "launch startup", page="startup"),
        Row("startup_memory", "its largest resident set", "startup", "KiB", "launch startup",
            page="startup"),
    ]


RATES = [(64, 10000), (64, 40000), (64, 80000), (512, 40000)]  # connections, requests per second
QUANTILES = [("p50", "median"), ("p90", "90 %"), ("p99", "99 %"), ("p999", "99.9 %"),
             ("p9999", "99.99 %"), ("most", "the slowest")]


def net_rows():
    rows = []
    for count, special in ((1, {}), (64, {}), (512, {}), (4096, {"is_quick": False})):
        command = f"load closed {count} {{seconds}}"
        title = f"{count:,} connection" + ("s" if count > 1 else "")
        shared = {"suite": "net", "command": command, "axis": "connections", "x": count, **special}
        rows += [
            Row(f"echo_{count}_rate", f"echo, {title}, requests", unit="per_s", key="rate",
                better="more", group="echo_rate", **shared),
            Row(f"echo_{count}_p99", f"echo, {title}, 99 %", unit="us", key="p99",
                group="echo_p99", **shared),
            Row(f"echo_{count}_user", f"echo, {title}, user time per request", unit="us",
                key="cpu_user", group="echo_user", **shared),
            Row(f"echo_{count}_cpu", f"echo, {title}, processor time per request", unit="us",
                key="cpu", group="echo_cpu", **shared),
        ]
    for count, rate in RATES:
        is_quick = count == 64 and rate <= 40000
        for key, words in QUANTILES:
            rows.append(Row(
                f"rate_{count}_{rate}_{key}", f"{rate:,} requests/s on {count}, {words}", "net",
                "us", f"load rate {count} {{seconds}} {rate}", key=key,
                group=f"latency_{count}_{rate}", axis="quantile", is_quick=is_quick,
                is_shown=key in ("p50", "p99", "p999"),
            ))
        rows.append(Row(
            f"rate_{count}_{rate}_sent", f"{rate:,} requests/s on {count}, what the load kept",
            "net", "per_s", f"load rate {count} {{seconds}} {rate}", key="sent_rate", better="more",
            is_quick=is_quick, is_shown=False,
        ))
    rows.append(Row("accept_rate", "connections for one request each", "net", "per_s",
                    "load accept 64 {seconds}", key="rate", better="more"))
    return [dataclasses.replace(row, page="net") for row in rows]


def all_rows():
    return core_rows() + timer_rows() + memory_rows() + startup_rows() + net_rows()


def chosen(suites, only=(), quick=False, seconds=2.0):
    """The rows of these suites; ONLY: names or groups; SECONDS: of each load."""
    rows = [row for row in all_rows() if row.suite in suites]
    if only:
        rows = [dataclasses.replace(row, is_shown=True) for row in rows
                if row.name in only or row.group in only or row.question in only]
    elif quick:
        rows = [row for row in rows if row.is_quick]
    return [dataclasses.replace(row, command=row.command.format(seconds=f"{seconds:g}"))
            for row in rows]
