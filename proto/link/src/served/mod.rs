//! The relay's end of a connection: a tool's TLS 1.3 over TCP, accepted.
//!
//! The handshake (`handshake.rs`) is rustls's. After it the traffic secrets are ours (`record.rs`), and data goes the
//! shortest way: one large read into a buffer of the thread, each record opened from there to where its frames are cut
//! (`reader.rs`); frames sealed into another buffer of the thread, and one write (`writer.rs`). A connection itself holds
//! only what cannot be gone yet: part of a record, part of a frame, the rest of a write. So an idle one holds its keys and
//! its socket.
//!
//! Guarantees: no wait here is without end but [`RecordReader::fill`], and no buffer without bound. Any number of tasks
//! may call [`RecordWriter::send`] one after the other, on any thread; nothing here blocks a thread. A connection may go
//! on at another runtime than the one of its handshake: [`Served::move_to`].

mod handshake;

mod reader;

mod writer;

use std::{io, sync::Arc};

use tokio::{net::TcpStream, runtime::Handle};

pub use self::{
    handshake::{AcceptError, accept},
    reader::RecordReader,
    writer::RecordWriter,
};
use crate::record;

/// Bytes asked for in one read: what a busy sender has ready, and little enough to stay in the processor's cache.
const READ_LEN: usize = 128 * 1024;
/// Room of the thread's read buffer: a read behind a record that is not whole.
const SCRATCH_LEN: usize = READ_LEN + record::HEADER_LEN + record::BODY_MAX;
/// A thread's buffer of sealed records that grew beyond this is given back.
const KEPT_MAX: usize = 2 * SCRATCH_LEN;

/// A tool's connection, before its first frame.
pub struct Served {
    /// Frames from the tool.
    pub reader: RecordReader,
    /// Frames to the tool.
    pub writer: RecordWriter,
    /// What a proof is bound to.
    pub exporter: [u8; 32],
}

impl Served {
    /// Goes on at another runtime: from now on that one waits for the socket. Nothing that was read is lost.
    ///
    /// # Errors
    /// The socket cannot be waited for there, and is closed.
    pub fn move_to(self: Box<Self>, runtime: &Handle) -> io::Result<Box<Self>> {
        let Self { mut reader, mut writer, exporter } = *self;
        drop(writer.socket);
        let socket = Arc::into_inner(reader.socket).ok_or_else(|| io::Error::other("the socket is in use"))?;
        let socket = socket.into_std()?;
        let socket = {
            let _entered = runtime.enter();
            Arc::new(TcpStream::from_std(socket)?)
        };
        reader.socket = Arc::clone(&socket);
        writer.socket = socket;
        Ok(Box::new(Self { reader, writer, exporter }))
    }

    /// Closes so that what was written last arrives: says the end, then reads until the other end has said it too.
    /// A close with unread bytes would make the kernel cut off our last words. The caller sets the deadline.
    pub async fn farewell(&mut self) {
        if self.writer.close().is_ok() {
            self.reader.drain().await;
        }
    }
}

/// Not having to wait is no error, and neither is having moved something before.
fn given(tried: io::Result<Option<usize>>, count: Option<usize>) -> io::Result<Option<usize>> {
    match tried {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(count),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(count),
        tried => tried,
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the stream ended without a word")
}

#[cfg(test)]
mod tests;
