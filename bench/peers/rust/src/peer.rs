// SPDX-License-Identifier: MIT

//! What a runtime brings along: its own tasks, timers, sockets and channels. The calls are the
//! runtime's own; the compiler sees through all of this.

use std::future::Future;
use std::task::{Context, Poll};
use std::time::Duration;

pub trait Sender<T>: Clone + Send + Sync + 'static {
    /// False: the channel is closed.
    fn send(&self, value: T) -> impl Future<Output = bool> + Send;
    /// From a thread that is none of the runtime's.
    fn send_blocking(&self, value: T) -> bool;
}

pub trait Receiver<T>: Send + 'static {
    fn recv(&mut self) -> impl Future<Output = Option<T>> + Send;
    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<T>>;
}

/// Tasks wait at it until it is opened, once.
pub trait Gate: Clone + Send + Sync + 'static {
    fn new() -> Self;
    fn wait(&self) -> impl Future<Output = ()> + Send;
    fn open(&self);
}

/// A counter behind the runtime's own mutex.
pub trait Mutex: Send + Sync + 'static {
    fn new(value: u64) -> Self;
    /// Locks, adds 1, unlocks; the new value.
    fn increment(&self) -> impl Future<Output = u64> + Send;
}

pub trait Peer: Sized + Send + Sync + 'static {
    type Task<T: Send + 'static>: Future<Output = T> + Send;
    type Sender<T: Send + 'static>: Sender<T>;
    type Receiver<T: Send + 'static>: Receiver<T>;
    type Gate: Gate;
    type Mutex: Mutex;

    /// Runs the root as a task among the others, on so many threads.
    fn run<F: Future<Output = ()> + Send + 'static>(workers: usize, root: F);
    fn spawn<F>(future: F) -> Self::Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;
    fn detach<T: Send + 'static>(task: Self::Task<T>);
    fn yield_now() -> impl Future<Output = ()> + Send;
    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send + 'static;
    /// A runtime that knows no rendezvous makes it one of capacity 1.
    fn channel<T: Send + 'static>(capacity: usize) -> (Self::Sender<T>, Self::Receiver<T>);
    fn echo(once: bool) -> impl Future<Output = ()> + Send;
}
