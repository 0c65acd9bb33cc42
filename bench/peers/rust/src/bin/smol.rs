// SPDX-License-Identifier: MIT

//! smol, on its global executor: SMOL_THREADS says how many threads it has.

use smol::io::{AsyncReadExt, AsyncWriteExt};
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;
use weft_bench_rust::{harness, mpmc, peer};

struct Smol;
struct Mutex(smol::lock::Mutex<u64>);

impl peer::Mutex for Mutex {
    fn new(value: u64) -> Self {
        Mutex(smol::lock::Mutex::new(value))
    }
    async fn increment(&self) -> u64 {
        let mut counter = self.0.lock().await;
        *counter += 1;
        *counter
    }
}

async fn serve(mut connection: smol::net::TcpStream) {
    let mut buffer = [0u8; 4096];
    while let Ok(count) = connection.read(&mut buffer).await {
        if count == 0 || connection.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
}

impl peer::Peer for Smol {
    type Task<T: Send + 'static> = smol::Task<T>;
    type Sender<T: Send + 'static> = mpmc::Sender<T>;
    type Receiver<T: Send + 'static> = mpmc::Receiver<T>;
    type Gate = mpmc::Gate;
    type Mutex = Mutex;

    fn run<F: Future<Output = ()> + Send + 'static>(_workers: usize, root: F) {
        smol::block_on(smol::spawn(root));
    }
    fn spawn<F>(future: F) -> Self::Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        smol::spawn(future)
    }
    fn detach<T: Send + 'static>(task: Self::Task<T>) {
        task.detach();
    }
    fn yield_now() -> impl Future<Output = ()> + Send {
        smol::future::yield_now()
    }
    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        async move {
            smol::Timer::after(duration).await;
        }
    }
    fn channel<T: Send + 'static>(capacity: usize) -> (mpmc::Sender<T>, mpmc::Receiver<T>) {
        mpmc::channel(capacity)
    }
    async fn echo(once: bool) {
        let listener = smol::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
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
    harness::main::<Smol>();
}
