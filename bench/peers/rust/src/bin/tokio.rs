// SPDX-License-Identifier: MIT

//! tokio: current_thread for one worker, multi_thread for more.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, Semaphore};
use weft_bench_rust::{harness, peer};

struct Tokio;
struct Mutex(tokio::sync::Mutex<u64>);
struct Task<T>(tokio::task::JoinHandle<T>);
struct Sender<T>(mpsc::Sender<T>);
struct Receiver<T>(mpsc::Receiver<T>);
#[derive(Clone)]
struct Gate(Arc<Semaphore>);

impl<T> Future for Task<T> {
    type Output = T;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(context).map(Result::unwrap)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender(self.0.clone())
    }
}

impl<T: Send + 'static> peer::Sender<T> for Sender<T> {
    async fn send(&self, value: T) -> bool {
        self.0.send(value).await.is_ok()
    }
    fn send_blocking(&self, value: T) -> bool {
        self.0.blocking_send(value).is_ok()
    }
}

impl<T: Send + 'static> peer::Receiver<T> for Receiver<T> {
    async fn recv(&mut self) -> Option<T> {
        self.0.recv().await
    }
    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_recv(context)
    }
}

impl peer::Gate for Gate {
    fn new() -> Self {
        Gate(Arc::new(Semaphore::new(0)))
    }
    async fn wait(&self) {
        let _ = self.0.acquire().await;
    }
    fn open(&self) {
        self.0.close();
    }
}

impl peer::Mutex for Mutex {
    fn new(value: u64) -> Self {
        Mutex(tokio::sync::Mutex::new(value))
    }
    async fn increment(&self) -> u64 {
        let mut counter = self.0.lock().await;
        *counter += 1;
        *counter
    }
}

async fn serve(mut connection: tokio::net::TcpStream) {
    let mut buffer = [0u8; 4096];
    while let Ok(count) = connection.read(&mut buffer).await {
        if count == 0 || connection.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
}

impl peer::Peer for Tokio {
    type Task<T: Send + 'static> = Task<T>;
    type Sender<T: Send + 'static> = Sender<T>;
    type Receiver<T: Send + 'static> = Receiver<T>;
    type Gate = Gate;
    type Mutex = Mutex;

    fn run<F: Future<Output = ()> + Send + 'static>(workers: usize, root: F) {
        let mut builder = if workers == 1 {
            tokio::runtime::Builder::new_current_thread()
        } else {
            tokio::runtime::Builder::new_multi_thread()
        };
        if workers > 1 {
            builder.worker_threads(workers);
        }
        let runtime = builder.enable_all().build().unwrap();
        runtime.block_on(async { tokio::spawn(root).await.unwrap() });
        runtime.shutdown_background();
    }
    fn spawn<F>(future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Task(tokio::spawn(future))
    }
    fn detach<T: Send + 'static>(task: Task<T>) {
        drop(task);
    }
    fn yield_now() -> impl Future<Output = ()> + Send {
        tokio::task::yield_now()
    }
    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        tokio::time::sleep(duration)
    }
    fn channel<T: Send + 'static>(capacity: usize) -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        (Sender(sender), Receiver(receiver))
    }
    async fn echo(once: bool) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
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
            tokio::spawn(async move {
                serve(connection).await;
                if open.fetch_sub(1, Ordering::Relaxed) == 1 && once {
                    std::process::exit(0);
                }
            });
        }
    }
}

fn main() {
    harness::main::<Tokio>();
}
