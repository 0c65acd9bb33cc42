// SPDX-License-Identifier: MIT

//! Arguments, the clock, rounds and lines: as bench/bench.h has them.

use crate::peer::Peer;
use crate::{core, tasks, times};

pub struct Arguments {
    pub count: Option<u64>,
    pub warm: Option<u64>,
    pub parameter: Option<u64>,
}

const QUESTIONS: [&str; 20] = [
    "yield",
    "spawn_join",
    "spawn_many",
    "ping_pong",
    "pipe",
    "crowd",
    "select",
    "ring",
    "sieve",
    "skynet",
    "tree",
    "mutex",
    "sleepers",
    "parked",
    "timers",
    "lateness",
    "wake",
    "stream",
    "startup",
    "echo",
];

pub fn show(name: &str, unit: &str, value: f64) {
    println!("{name} {unit} {value:.2}");
}

/// Processor time of the whole process, in nanoseconds.
pub fn cpu_ns() -> f64 {
    let mut sum = 0.0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path().join("schedstat");
        if let Ok(text) = std::fs::read_to_string(path) {
            sum += text
                .split_whitespace()
                .next()
                .unwrap()
                .parse::<f64>()
                .unwrap();
        }
    }
    sum
}

pub fn is_quick() -> bool {
    std::env::var("BENCH_QUICK").is_ok_and(|value| !value.is_empty())
}

fn workers() -> usize {
    std::env::var("BENCH_WORKERS").map_or(1, |value| value.parse().unwrap())
}

fn read_arguments(words: &[String]) -> Arguments {
    let mut found = Arguments {
        count: None,
        warm: None,
        parameter: None,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-n" => found.count = Some(words.next().unwrap().parse().unwrap()),
            "-w" => found.warm = Some(words.next().unwrap().parse().unwrap()),
            "once" => {}
            other => found.parameter = Some(other.parse().unwrap()),
        }
    }
    found
}

impl Arguments {
    /// What -n says, or so many, or a tenth of it.
    pub fn count_or(&self, usual: u64) -> u64 {
        self.count.unwrap_or(if is_quick() && usual >= 10 {
            usual / 10
        } else {
            usual
        })
    }

    fn warm_or(&self, count: u64) -> u64 {
        self.warm.unwrap_or(count)
    }

    fn name(&self, question: &str, parameter: Option<u64>) -> String {
        parameter.map_or(question.to_string(), |number| {
            format!("{question}_{number}")
        })
    }
}

/// One question that is asked warm: a round that does not count, then one that does.
macro_rules! ns_per_operation {
    ($arguments:expr, $question:expr, $usual:expr, $parameter:expr, $round:expr) => {{
        let count = $arguments.count_or($usual);
        let warm = $arguments.warm_or(count);
        if warm > 0 {
            $round(warm).await;
        }
        let elapsed_ns: f64 = $round(count).await;
        let name = $arguments.name($question, $parameter);
        show(&name, "ns", elapsed_ns / count as f64);
    }};
}

async fn answer<P: Peer>(question: &'static str, a: Arguments) {
    let p = |usual| a.parameter.unwrap_or(usual);
    match question {
        "yield" => ns_per_operation!(a, question, 2000000, None, tasks::yields::<P>),
        "spawn_join" => ns_per_operation!(a, question, 500000, None, tasks::spawn_join::<P>),
        "spawn_many" => ns_per_operation!(a, question, 1000000, None, tasks::spawn_many::<P>),
        "ping_pong" => {
            let round = |count| core::ping_pong::<P>(count, p(0) as usize);
            ns_per_operation!(a, question, 500000, Some(p(0)), round)
        }
        "pipe" => {
            let round = |count| core::pipe::<P>(count, p(0) as usize);
            ns_per_operation!(a, question, 1000000, Some(p(0)), round)
        }
        "crowd" => {
            let round = |count| core::crowd::<P>(count, p(64) as usize);
            ns_per_operation!(a, question, 1000000, Some(p(64)), round)
        }
        "select" => {
            let round = |count| core::select::<P>(count, p(2) as usize);
            ns_per_operation!(a, question, 500000, Some(p(2)), round)
        }
        "ring" => {
            let round = |count| core::ring::<P>(count, p(1000) as usize);
            ns_per_operation!(a, question, 1000000, Some(p(1000)), round)
        }
        "stream" => {
            let round = |count| times::stream::<P>(count, p(1024) as usize);
            ns_per_operation!(a, question, 500000, Some(p(1024)), round)
        }
        "mutex" => {
            let round = |count| tasks::mutex::<P>(count, p(8));
            ns_per_operation!(a, question, 2000000, Some(p(8)), round)
        }
        "tree" => {
            let count = a.count_or(20000);
            if a.warm_or(2000) > 0 {
                tasks::tree::<P>(a.warm_or(2000), p(0)).await;
            }
            let elapsed_ns = tasks::tree::<P>(count, p(0)).await;
            show(&a.name(question, Some(p(0))), "ms", elapsed_ns / 1e6);
        }
        "sieve" => {
            let count = a.count_or(2000);
            core::sieve::<P>(a.warm_or(count).max(1)).await;
            show(question, "ms", core::sieve::<P>(count).await / 1e6);
        }
        "skynet" => show(
            question,
            "ms",
            tasks::skynet::<P>(a.count_or(1000000)).await / 1e6,
        ),
        "sleepers" => show(
            question,
            "ms",
            times::sleepers::<P>(a.count_or(100000)).await / 1e6,
        ),
        "parked" => tasks::parked::<P>(a.count_or(1000000)).await,
        "timers" => times::timers::<P>(a.count_or(1000000) as usize).await,
        "lateness" => times::lateness::<P>(a.count_or(200) as usize).await,
        "wake" => times::wake::<P>(a.count_or(2000) as usize).await,
        "startup" => assert_eq!(P::spawn(async { 7 }).await, 7),
        _ => unreachable!(),
    }
}

pub fn main<P: Peer>() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let asked = words.first().map_or("", String::as_str);
    if asked == "list" {
        println!("{}", QUESTIONS.join("\n"));
        return;
    }
    let Some(question) = QUESTIONS.iter().find(|name| **name == asked) else {
        eprintln!("{asked}: no such question");
        std::process::exit(2);
    };
    let arguments = read_arguments(&words[1..]);
    if *question == "echo" {
        let once = words.iter().any(|word| word == "once");
        P::run(workers(), P::echo(once));
    } else {
        P::run(workers(), answer::<P>(question, arguments));
    }
}
