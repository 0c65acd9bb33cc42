// SPDX-License-Identifier: MIT

//! Channels: ping-pong, pipe, crowd, select, ring, sieve. Each returns nanoseconds.

use crate::peer::{Peer, Receiver, Sender};
use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

const EACH: u64 = 4; // producers, and consumers

fn since(start: Instant) -> f64 {
    start.elapsed().as_nanos() as f64
}

pub async fn ping_pong<P: Peer>(count: u64, capacity: usize) -> f64 {
    let (questions, mut asked) = P::channel::<u64>(capacity);
    let (answers, mut answered) = P::channel::<u64>(capacity);
    let other = P::spawn(async move {
        while let Some(number) = asked.recv().await {
            answers.send(number + 1).await;
        }
    });
    let mut number = 0;
    let start = Instant::now();
    for _ in 0..count {
        questions.send(number).await;
        number = answered.recv().await.unwrap();
    }
    let elapsed = since(start);
    assert_eq!(number, count);
    drop(questions);
    other.await;
    elapsed
}

pub async fn pipe<P: Peer>(count: u64, capacity: usize) -> f64 {
    let (out, mut items) = P::channel::<u64>(capacity);
    let producer = P::spawn(async move {
        for i in 0..count {
            out.send(i).await;
        }
    });
    let mut sum = 0;
    let start = Instant::now();
    while let Some(number) = items.recv().await {
        sum += number;
    }
    let elapsed = since(start);
    assert_eq!(sum, count * (count - 1) / 2);
    producer.await;
    elapsed
}

/// Always async-channel: tokio's own has one receiver.
pub async fn crowd<P: Peer>(count: u64, capacity: usize) -> f64 {
    let (out, items) = async_channel::bounded::<u64>(capacity.max(1));
    let mut producers = Vec::new();
    let mut consumers = Vec::new();
    let start = Instant::now();
    for i in 0..EACH {
        let share = (count + i) / EACH;
        let (out, items) = (out.clone(), items.clone());
        producers.push(P::spawn(async move {
            for number in 0..share {
                out.send(number).await.unwrap();
            }
        }));
        consumers.push(P::spawn(async move {
            let mut received = 0;
            while items.recv().await.is_ok() {
                received += 1;
            }
            received
        }));
    }
    drop(out);
    for producer in producers {
        producer.await;
    }
    let mut received = 0;
    for consumer in consumers {
        received += consumer.await;
    }
    let elapsed = since(start);
    assert_eq!(received, count);
    elapsed
}

/// Polls all from a random one on, as tokio::select! does.
pub async fn select<P: Peer>(count: u64, width: usize) -> f64 {
    let mut channels = Vec::new();
    let mut producers = Vec::new();
    for i in 0..width {
        let (out, items) = P::channel::<u64>(0);
        let share = (count + i as u64) / width as u64;
        producers.push(P::spawn(async move {
            for number in 0..share {
                out.send(number).await;
            }
        }));
        channels.push(items);
    }
    let mut random = 1u64;
    let mut ended = vec![false; width];
    let start = Instant::now();
    for _ in 0..count {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let first = random as usize % width;
        poll_fn(|context| {
            for place in (first..width).chain(0..first) {
                if ended[place] {
                    continue;
                }
                match channels[place].poll_recv(context) {
                    Poll::Ready(Some(_)) => return Poll::Ready(()),
                    Poll::Ready(None) => ended[place] = true,
                    Poll::Pending => {}
                }
            }
            Poll::Pending
        })
        .await;
    }
    let elapsed = since(start);
    for producer in producers {
        producer.await;
    }
    elapsed
}

pub async fn ring<P: Peer>(count: u64, tasks: usize) -> f64 {
    let (end, mut ended) = P::channel::<u64>(1);
    let mut links = Vec::new();
    let mut receivers = Vec::new();
    for _ in 0..tasks {
        let (link, receiver) = P::channel::<u64>(0);
        links.push(link);
        receivers.push(receiver);
    }
    let mut members = Vec::new();
    for (i, mut receiver) in receivers.into_iter().enumerate() {
        let (out, end) = (links[(i + 1) % tasks].clone(), end.clone());
        members.push(P::spawn(async move {
            while let Some(hops) = receiver.recv().await {
                match hops {
                    u64::MAX => {
                        out.send(hops).await;
                        break;
                    }
                    0 => end.send(0).await,
                    _ => out.send(hops - 1).await,
                };
            }
        }));
    }
    links[0].send(tasks as u64 - 1).await;
    ended.recv().await.unwrap();

    let start = Instant::now();
    links[0].send(count - 1).await;
    ended.recv().await.unwrap();
    let elapsed = since(start);

    links[0].send(u64::MAX).await;
    for member in members {
        member.await;
    }
    elapsed
}

pub async fn sieve<P: Peer>(count: u64) -> f64 {
    let start = Instant::now();
    let (out, mut items) = P::channel::<u64>(0);
    P::detach(P::spawn(async move {
        let mut number = 2;
        while out.send(number).await {
            number += 1;
        }
    }));
    let mut prime = 0;
    for _ in 0..count {
        prime = items.recv().await.unwrap();
        let (next, filtered) = P::channel::<u64>(0);
        let mut numbers = std::mem::replace(&mut items, filtered);
        P::detach(P::spawn(async move {
            while let Some(number) = numbers.recv().await {
                if number % prime != 0 && !next.send(number).await {
                    break;
                }
            }
        }));
    }
    let elapsed = since(start);
    assert!(count != 2000 || prime == 17389);
    elapsed
}
