// SPDX-License-Identifier: MIT

//! Tasks: yield, spawn, skynet, parked. Each returns nanoseconds or prints its lines.

use crate::harness::show;
use crate::peer::{Gate, Mutex, Peer, Receiver, Sender};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Instant;

const BRANCHES: u64 = 10;
const TREE_BRANCHES: u64 = 8;
const LEAF_STEPS: u64 = 2000;

fn since(start: Instant) -> f64 {
    start.elapsed().as_nanos() as f64
}

pub async fn yields<P: Peer>(count: u64) -> f64 {
    async fn times<P: Peer>(count: u64) {
        for _ in 0..count {
            P::yield_now().await;
        }
    }
    let other = P::spawn(times::<P>(count / 2));
    let start = Instant::now();
    times::<P>(count - count / 2).await;
    let elapsed = since(start);
    other.await;
    elapsed
}

pub async fn spawn_join<P: Peer>(count: u64) -> f64 {
    let start = Instant::now();
    for _ in 0..count {
        assert_eq!(P::spawn(async { 7 }).await, 7);
    }
    since(start)
}

/// All are spawned before the first is waited for.
pub async fn spawn_many<P: Peer>(count: u64) -> f64 {
    let running = Arc::new(AtomicU64::new(count));
    let all_done = P::Gate::new();
    let start = Instant::now();
    for _ in 0..count {
        let (running, all_done) = (running.clone(), all_done.clone());
        P::detach(P::spawn(async move {
            if running.fetch_sub(1, Ordering::AcqRel) == 1 {
                all_done.open();
            }
        }));
    }
    all_done.wait().await;
    let elapsed = since(start);
    assert_eq!(running.load(Ordering::Acquire), 0);
    elapsed
}

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A future that contains itself needs a box.
fn node<P: Peer>(out: P::Sender<u64>, first: u64, size: u64) -> Boxed {
    Box::pin(async move {
        if size == 1 {
            out.send(first).await;
            return;
        }
        let (below, mut sums) = P::channel::<u64>(0);
        let part = size / BRANCHES;
        for i in 0..BRANCHES {
            P::detach(P::spawn(node::<P>(below.clone(), first + i * part, part)));
        }
        let mut sum = 0;
        for _ in 0..BRANCHES {
            sum += sums.recv().await.unwrap();
        }
        out.send(sum).await;
    })
}

pub async fn skynet<P: Peer>(count: u64) -> f64 {
    let (top, mut sums) = P::channel::<u64>(0);
    let start = Instant::now();
    P::detach(P::spawn(node::<P>(top, 0, count)));
    let sum = sums.recv().await.unwrap();
    let elapsed = since(start);
    assert_eq!(sum, count * (count - 1) / 2);
    elapsed
}

/// Its own number, after a chain of steps that is never 0.
fn leaf(number: u64) -> u64 {
    let mut state = number + 1;
    for _ in 0..LEAF_STEPS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    number + u64::from(state == 0)
}

fn branch<P: Peer>(first: u64, count: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if count == 1 {
            return leaf(first);
        }
        let mut first = first;
        let mut below = Vec::with_capacity(TREE_BRANCHES as usize);
        for i in 0..TREE_BRANCHES {
            let part = (count + i) / TREE_BRANCHES;
            if part > 0 {
                below.push(P::spawn(branch::<P>(first, part)));
            }
            first += part;
        }
        let mut sum = 0;
        for one in below {
            sum += one.await;
        }
        sum
    })
}

async fn row<P: Peer>(count: u64) -> u64 {
    let leaves: Vec<_> = (0..count)
        .map(|i| P::spawn(async move { leaf(i) }))
        .collect();
    let mut sum = 0;
    for one in leaves {
        sum += one.await;
    }
    sum
}

pub async fn tree<P: Peer>(count: u64, shape: u64) -> f64 {
    let start = Instant::now();
    let sum = if shape == 0 {
        branch::<P>(0, count).await
    } else {
        row::<P>(count).await
    };
    let elapsed = since(start);
    assert_eq!(sum, count * (count - 1) / 2);
    elapsed
}

/// So many tasks lock one mutex, `count` times together.
pub async fn mutex<P: Peer>(count: u64, tasks: u64) -> f64 {
    let counter = Arc::new(P::Mutex::new(0));
    let start = Instant::now();
    let all: Vec<_> = (0..tasks)
        .map(|i| {
            let counter = counter.clone();
            P::spawn(async move {
                for _ in 0..(count + i) / tasks {
                    counter.increment().await;
                }
            })
        })
        .collect();
    for one in all {
        one.await;
    }
    let elapsed = since(start);
    assert_eq!(counter.increment().await, count + 1);
    elapsed
}

/// A line of /proc/self/status, in bytes.
fn status_bytes(name: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<f64>()
        .unwrap()
        * 1024.0
}

pub async fn parked<P: Peer>(count: u64) {
    let starting = Arc::new(AtomicU64::new(count));
    let (all_wait, end) = (P::Gate::new(), P::Gate::new());
    let (memory, tables) = (status_bytes("VmRSS:"), status_bytes("VmPTE:"));
    let start = Instant::now();
    for _ in 0..count {
        let (starting, all_wait, end) = (starting.clone(), all_wait.clone(), end.clone());
        P::detach(P::spawn(async move {
            if starting.fetch_sub(1, Ordering::AcqRel) == 1 {
                all_wait.open();
            }
            end.wait().await;
        }));
    }
    all_wait.wait().await;
    let each = count as f64;
    show("parked_time", "ns", since(start) / each);
    show(
        "parked_memory",
        "bytes",
        (status_bytes("VmRSS:") - memory) / each,
    );
    show(
        "parked_page_tables",
        "bytes",
        (status_bytes("VmPTE:") - tables) / each,
    );
    std::process::exit(0);
}
