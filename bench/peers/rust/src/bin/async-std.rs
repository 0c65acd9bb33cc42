// SPDX-License-Identifier: MIT

//! async-std: ASYNC_STD_THREAD_COUNT says how many threads it has.

use async_std::io::{ReadExt, WriteExt};
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;
use weft_bench_rust::{harness, mpmc, peer};

struct AsyncStd;
struct Mutex(async_std::sync::Mutex<u64>);

impl peer::Mutex for Mutex {
    fn new(value: u64) -> Self {
        Mutex(async_std::sync::Mutex::new(value))
    }
    async fn increment(&self) -> u64 {
        let mut counter = self.0.lock().await;
        *counter += 1;
        *counter
    }
}

async fn serve(mut connection: async_std::net::TcpStream) {
    let mut buffer = [0u8; 4096];
    while let Ok(count) = connection.read(&mut buffer).await {
        if count == 0 || connection.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
}

impl peer::Peer for AsyncStd {
    type Task<T: Send + 'static> = async_std::task::JoinHandle<T>;
    type Sender<T: Send + 'static> = mpmc::Sender<T>;
    type Receiver<T: Send + 'static> = mpmc::Receiver<T>;
    type Gate = mpmc::Gate;
    type Mutex = Mutex;

    fn run<F: Future<Output = ()> + Send + 'static>(_workers: usize, root: F) {
        async_std::task::block_on(async_std::task::spawn(root));
    }
    fn spawn<F>(future: F) -> Self::Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        async_std::task::spawn(future)
    }
    fn detach<T: Send + 'static>(task: Self::Task<T>) {
        drop(task);
    }
    fn yield_now() -> impl Future<Output = ()> + Send {
        async_std::task::yield_now()
    }
    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        async_std::task::sleep(duration)
    }
    fn channel<T: Send + 'static>(capacity: usize) -> (mpmc::Sender<T>, mpmc::Receiver<T>) {
        mpmc::channel(capacity)
    }
    async fn echo(once: bool) {
        let listener = async_std::net::TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap();
        println!(
            "listening on port {}",
            listener.local_addr().unwrap().port()
        );
        let open = Arc::new(AtomicUsize::new(0));
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            connection.set_nodelay(true).unwrap();
            open.fetch_add(1, Ordering::Relaxed);
            let open = open.clone();
            Self::detach(Self::spawn(async move {
                serve(connection).await;
                if open.fetch_sub(1, Ordering::Relaxed) == 1 && once {
                    std::process::exit(0);
                }
            }));
        }
    }
}

fn main() {
    harness::main::<AsyncStd>();
}
