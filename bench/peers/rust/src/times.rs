// SPDX-License-Identifier: MIT

//! Timers and threads: sleepers, timers, lateness, wake, stream.

use crate::harness::{cpu_ns, show};
use crate::peer::{Gate, Peer, Receiver, Sender};
use std::future::{poll_fn, Future};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
const LONGEST_MS: u64 = 60000;
const LEAST_NS: u64 = 1000000;
const SPREAD_NS: u64 = 19000000;

fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

pub async fn sleepers<P: Peer>(count: u64) -> f64 {
    let running = Arc::new(AtomicU64::new(count));
    let all_done = P::Gate::new();
    let start = cpu_ns();
    for i in 0..count {
        let (running, all_done) = (running.clone(), all_done.clone());
        P::detach(P::spawn(async move {
            P::sleep(Duration::from_millis(1 + i % 1000)).await;
            if running.fetch_sub(1, Ordering::AcqRel) == 1 {
                all_done.open();
            }
        }));
    }
    all_done.wait().await;
    cpu_ns() - start
}

/// A timer is inserted when its future is first polled, and cancelled when that is dropped.
pub async fn timers<P: Peer>(count: usize) {
    let mut random = 1u64;
    for _ in 0..ROUNDS {
        let mut pending: Vec<Option<Pin<Box<dyn Future<Output = ()> + Send>>>> = Vec::new();
        let mut order: Vec<usize> = (0..count).collect();
        for i in (1..count).rev() {
            order.swap(i, (next(&mut random) % (i as u64 + 1)) as usize);
        }
        for _ in 0..count {
            let delay = LONGEST_MS + next(&mut random) % LONGEST_MS;
            pending.push(Some(Box::pin(P::sleep(Duration::from_millis(delay)))));
        }
        let start = Instant::now();
        poll_fn(|context| {
            for one in pending.iter_mut() {
                assert!(one.as_mut().unwrap().as_mut().poll(context).is_pending());
            }
            Poll::Ready(())
        })
        .await;
        let armed = Instant::now();
        for place in order {
            pending[place] = None;
        }
        let end = Instant::now();
        show(
            "timer_arm",
            "ns",
            (armed - start).as_nanos() as f64 / count as f64,
        );
        show(
            "timer_cancel",
            "ns",
            (end - armed).as_nanos() as f64 / count as f64,
        );
    }
}

fn show_quantiles(name: &str, mut latencies: Vec<i64>) {
    latencies.sort_unstable();
    for (quantile, part) in [("earliest", 0.0), ("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
        let index = (latencies.len() as f64 * part) as usize;
        show(
            &format!("{name}_{quantile}"),
            "us",
            latencies[index] as f64 / 1e3,
        );
    }
}

/// The series of bench/latency.h.
fn duration_ns(index: u64) -> u64 {
    let mut state = (index + 1).wrapping_mul(0x9e3779b97f4a7c15);
    state ^= state >> 29;
    LEAST_NS + state % SPREAD_NS
}

pub async fn lateness<P: Peer>(count: usize) {
    let mut latencies = Vec::with_capacity(count);
    for i in 0..count {
        let wanted = duration_ns(i as u64);
        let start = Instant::now();
        P::sleep(Duration::from_nanos(wanted)).await;
        latencies.push(start.elapsed().as_nanos() as i64 - wanted as i64);
    }
    show_quantiles("lateness", latencies);
}

pub async fn wake<P: Peer>(count: usize) {
    let (sender, mut times) = P::channel::<Instant>(1);
    let thread = std::thread::spawn(move || {
        for _ in 0..count {
            std::thread::sleep(Duration::from_micros(200));
            sender.send_blocking(Instant::now());
        }
    });
    let mut latencies = Vec::with_capacity(count);
    for _ in 0..count {
        let sent = times.recv().await.unwrap();
        latencies.push(sent.elapsed().as_nanos() as i64);
    }
    thread.join().unwrap();
    show_quantiles("wake", latencies);
}

pub async fn stream<P: Peer>(count: u64, capacity: usize) -> f64 {
    let (sender, mut items) = P::channel::<u64>(capacity);
    let start = Instant::now();
    let thread = std::thread::spawn(move || {
        for i in 0..count {
            sender.send_blocking(i);
        }
    });
    let mut sum = 0;
    for _ in 0..count {
        sum += items.recv().await.unwrap();
    }
    let elapsed = start.elapsed().as_nanos() as f64;
    thread.join().unwrap();
    assert_eq!(sum, count * (count - 1) / 2);
    elapsed
}
