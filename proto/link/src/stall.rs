//! A byte stream whose writes must make progress.
//!
//! A write or flush that moves no byte for the given time fails with [`io::ErrorKind::TimedOut`]. A slow receiver that
//! takes a few bytes now and then is slow, not stalled. The time counts only while somebody waits for the write.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// See the module.
pub struct Stalling<S> {
    io: S,
    patience: Duration,
    timer: Pin<Box<Sleep>>,
    waiting: bool,
}

impl<S> Stalling<S> {
    /// Gives `io` this patience. Must be called inside a runtime with time.
    pub fn new(io: S, patience: Duration) -> Self {
        Self { io, patience, timer: Box::pin(tokio::time::sleep(patience)), waiting: false }
    }

    /// The stream inside.
    pub const fn get_ref(&self) -> &S {
        &self.io
    }

    /// Ends the wait when there was progress; else fails when the time is over.
    fn judge<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.waiting = false;
            return done;
        }
        if !self.waiting {
            self.waiting = true;
            let deadline = Instant::now() + self.patience;
            self.timer.as_mut().reset(deadline);
        }
        match self.timer.as_mut().poll(cx) {
            Poll::Ready(()) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "a write made no progress in time")))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.io).poll_write(cx, buf);
        this.judge(cx, done)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.judge(cx, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.io).poll_flush(cx);
        this.judge(cx, done)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.io).poll_shutdown(cx);
        this.judge(cx, done)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_write_without_progress_fails_after_its_patience() {
        let (near, _far) = duplex(16);
        let mut near = Stalling::new(near, Duration::from_secs(15));
        let begun = Instant::now();

        let failed = near.write_all(&[0; 64]).await.unwrap_err();

        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), 15);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_receiver_is_not_a_stalled_one() {
        let (near, mut far) = duplex(16);
        let mut near = Stalling::new(near, Duration::from_secs(15));
        let slow = async {
            let mut taken = [0; 16];
            for _ in 0..16 {
                tokio::time::sleep(Duration::from_secs(14)).await;
                far.read_exact(&mut taken).await.unwrap();
            }
        };

        let (written, ()) = tokio::join!(near.write_all(&[0; 256]), slow);

        written.unwrap();
    }
}
