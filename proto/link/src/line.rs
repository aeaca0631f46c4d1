//! What the system knows about a line to a relay: whether what this end sends is still answered there.
//!
//! On a slow line the answers of the relay wait behind what is sent, and on one that loses packets behind what is sent
//! again, and look like silence. The other end acknowledges packets meanwhile; on a dead line nobody does. Linux tells
//! that apart over TCP, and the library over QUIC. Elsewhere nothing is known.

use proto::limits::LIVELY_SILENCE_TIMEOUT;
use tokio::time::Instant;

use crate::quic::pace;

/// A second handle of a connection, for questions only. It keeps the socket open, so it must be dropped with the
/// connection.
#[derive(Debug)]
pub struct Line(Handle);

#[derive(Debug)]
enum Handle {
    Unknown,
    Tcp(told::Handle),
    Quic(quinn::Connection),
}

/// What is known about a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Nothing that tells a dead line from a slow one.
    Nothing,
    /// Not long ago something new was acknowledged: what this end sends arrives, and so does what is answered.
    Answers,
    /// What is out is not answered although it was sent again and again.
    Dead,
}

impl Line {
    /// A line about which nothing is known.
    pub const UNKNOWN: Self = Self(Handle::Unknown);

    /// The line of this socket.
    pub(crate) fn of(stream: &tokio::net::TcpStream) -> Self {
        let handle = told::Handle::of(stream);
        if let Err(error) = &handle {
            tracing::debug!(%error, "A dead line will look like a slow one");
        }
        Self(handle.map_or(Handle::Unknown, Handle::Tcp))
    }

    /// The line of this connection.
    pub(crate) const fn of_quic(connection: quinn::Connection) -> Self {
        Self(Handle::Quic(connection))
    }

    /// What is known now. It is not dead when the other end says that it has no room.
    pub fn told(&self) -> Told {
        match &self.0 {
            Handle::Tcp(handle) if handle.is_dead() => Told::Dead,
            Handle::Unknown | Handle::Tcp(_) => Told::Nothing,
            Handle::Quic(connection) => {
                let until = pace::answered_at(connection).map(|at| Instant::from_std(at) + LIVELY_SILENCE_TIMEOUT);
                if until.is_some_and(|until| Instant::now() < until) { Told::Answers } else { Told::Nothing }
            }
        }
    }
}

#[cfg(target_os = "linux")]
mod told {
    use std::io;

    use nix::{getsockopt_impl, libc, sockopt_impl, sys::socket::getsockopt};

    /// Timeouts in a row, each twice as long as the one before and the first longer than a round trip, that say that a
    /// line is dead: with one packet of ten lost each way, one wait of thirty gets so far.
    const TIMEOUTS: u8 = 2;

    /// The beginning of what Linux tells about a TCP connection. It has been the same since there is such a thing.
    /// Source: `struct tcp_info` in `linux/tcp.h`; the system fills as much as there is room for.
    #[repr(C)]
    #[derive(Debug, Clone, Copy)]
    #[expect(unreachable_pub, reason = "the macro below makes its question as public as that")]
    pub struct Info {
        states: [u8; 2],
        /// Times in a row that the wait for an acknowledgement ran out; none once something new is acknowledged.
        timeouts: u8,
        /// Questions in a row, with nothing else out, whether the other end has room; none once one is answered. What does
        /// not get out of this machine shows here, too.
        probes: u8,
        /// Backoff, options and window scales.
        others: [u8; 4],
        /// Timeouts and segment sizes.
        sizes: [u32; 4],
        /// Segments that are out.
        unacknowledged: u32,
    }

    sockopt_impl!(
        /// `TCP_INFO`.
        Ask,
        GetOnly,
        libc::IPPROTO_TCP,
        libc::TCP_INFO,
        Info
    );

    #[derive(Debug)]
    pub(super) struct Handle(socket2::Socket);

    impl Handle {
        pub(super) fn of(stream: &tokio::net::TcpStream) -> io::Result<Self> {
            socket2::SockRef::from(stream).try_clone().map(Self)
        }

        #[cfg(test)]
        pub(super) fn is_open(&self) -> bool {
            const ESTABLISHED: u8 = 1;
            getsockopt(&self.0, Ask).unwrap().states[0] == ESTABLISHED
        }

        pub(super) fn is_dead(&self) -> bool {
            getsockopt(&self.0, Ask).is_ok_and(Info::is_dead)
        }
    }

    impl Info {
        pub(super) const fn is_dead(self) -> bool {
            (0 < self.unacknowledged && TIMEOUTS <= self.timeouts) || TIMEOUTS <= self.probes
        }

        #[cfg(test)]
        pub(super) const fn made_up(timeouts: u8, unacknowledged: u32, probes: u8) -> Self {
            Self { states: [0; 2], timeouts, probes, others: [0; 4], sizes: [0; 4], unacknowledged }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod told {
    use std::io;

    /// Nothing is told here.
    #[derive(Debug)]
    pub(super) enum Handle {}

    impl Handle {
        pub(super) fn of(_stream: &tokio::net::TcpStream) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(super) fn is_dead(&self) -> bool {
            match *self {}
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
        time::timeout,
    };

    use super::*;

    #[test]
    fn a_line_is_dead_when_the_time_of_packets_has_run_out_twice_or_two_probes_are_not_answered() {
        let told = told::Info::made_up;

        assert!(told(2, 1, 0).is_dead());
        assert!(told(0, 0, 2).is_dead());
        assert!(!told(1, 1, 0).is_dead(), "a lost packet");
        assert!(!told(0, 40, 0).is_dead(), "a slow line");
        assert!(!told(0, 0, 1).is_dead(), "the other end has no room");
        assert!(!told(2, 0, 0).is_dead(), "nothing is out");
        let line = Line::UNKNOWN;
        assert_eq!(line.told(), Told::Nothing);
    }

    #[tokio::test]
    async fn who_takes_nothing_but_acknowledges_is_not_dead() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (mut near, (mut far, _)) = (near.unwrap(), far.unwrap());
        let line = Line::of(&near);
        let Handle::Tcp(handle) = &line.0 else { panic!("Linux tells") };
        assert!(handle.is_open(), "the beginning of what is told is what it should be");

        let mut sent = 0usize;
        while let Ok(written) = timeout(Duration::from_millis(50), near.write(&[7; 8 * 1024])).await {
            sent += written.unwrap();
        }
        assert_eq!(line.told(), Told::Nothing, "it has no room after {sent} bytes");

        let mut taken = vec![0; sent];
        far.read_exact(&mut taken).await.unwrap();
        drop((near, far));
        assert_eq!(line.told(), Told::Nothing);
    }
}
