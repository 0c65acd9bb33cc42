// SPDX-License-Identifier: MIT

//! async-channel behind the traits of `Peer`: the channel of smol and, by its own name, of
//! async-std. It has several receivers, which tokio's has not, but no rendezvous.

use crate::peer;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

pub struct Sender<T>(async_channel::Sender<T>);
/// On the heap, because the receiver must not move while it is polled.
pub struct Receiver<T>(Pin<Box<async_channel::Receiver<T>>>);

pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = async_channel::bounded(capacity.max(1));
    (Sender(sender), Receiver(Box::pin(receiver)))
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
        self.0.send_blocking(value).is_ok()
    }
}

impl<T: Send + 'static> peer::Receiver<T> for Receiver<T> {
    fn recv(&mut self) -> impl Future<Output = Option<T>> + Send {
        let receiver = &self.0;
        async move { receiver.recv().await.ok() }
    }
    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        use smol::stream::Stream;
        self.0.as_mut().poll_next(context)
    }
}

#[derive(Clone)]
pub struct Gate(async_channel::Sender<()>, async_channel::Receiver<()>);

impl peer::Gate for Gate {
    fn new() -> Self {
        let (sender, receiver) = async_channel::bounded(1);
        Gate(sender, receiver)
    }
    async fn wait(&self) {
        let _ = self.1.recv().await;
    }
    fn open(&self) {
        self.0.close();
    }
}
