//! What the network answers to packets that find nobody: that nobody listens where they went.
//!
//! A relay that was killed says nothing by UDP, but its system answers the next packet to it with "port unreachable"
//! (ICMP). Linux tells a socket of that when it is asked to; elsewhere this is silent, and so is a death.
//!
//! Anybody on the way can make such an answer up, and a firewall that is set anew may give one by mistake. So one of
//! them costs nothing: a connection is given up when a second one comes and nothing of the relay in between, and that
//! costs a move to another relay, or another dial of this one. Every other answer (no way to that host or network, too
//! long a packet) is what comes and goes while a network changes, and is no news.

use std::{io, net::UdpSocket};

use quinn::{Connection, VarInt};

/// The other end is gone; should it live all the same, it hears that this one has left.
const GONE: VarInt = super::CUT;

/// When refusals say that the other end is gone.
#[derive(Debug, Default)]
struct Doubt {
    /// Packets that had come when the last one was refused.
    heard: Option<u64>,
}

/// The ear for what is said about packets of one socket to one address.
#[derive(Debug)]
pub(super) struct Refusals(Option<ear::Ear>);

impl Refusals {
    /// Listens. Without the system's help it hears nothing. Must be called inside a runtime.
    pub(super) fn of(socket: &UdpSocket, address: std::net::SocketAddr) -> Self {
        let ear = ear::Ear::open(socket, address);
        if let Err(error) = &ear {
            tracing::debug!(%error, "A dead relay will be noticed by its silence only");
        }
        Self(ear.ok())
    }

    /// Waits until packets were refused; several that were since the last time count once. Cancel-safe.
    pub(super) async fn next(&self) {
        match &self.0 {
            Some(ear) => ear.next().await,
            None => std::future::pending().await,
        }
    }

    /// Cuts the connection when nobody is at its other end any more. Ends with the connection.
    pub(super) async fn watch(self, connection: Connection) {
        let mut doubt = Doubt::default();
        loop {
            tokio::select! {
                biased;
                _ended = connection.closed() => return,
                () = self.next() => {}
            }
            if doubt.refused(connection.stats().udp_rx.datagrams) {
                tracing::debug!(event = "quic.refused", "Nobody listens at the other end any more");
                return connection.close(GONE, b"");
            }
        }
    }
}

impl Doubt {
    /// Takes a refusal, when so many packets had come from the other end; whether it is gone.
    fn refused(&mut self, heard: u64) -> bool {
        self.heard.replace(heard) == Some(heard)
    }
}

/// The error of a dial that was refused.
pub(super) fn refused() -> io::Error {
    io::ErrorKind::ConnectionRefused.into()
}

#[cfg(target_os = "linux")]
mod ear {
    use std::{
        io::{self, IoSliceMut},
        net::{IpAddr, SocketAddr},
        os::fd::AsRawFd as _,
    };

    use nix::{
        errno::Errno,
        libc,
        sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt},
    };
    use tokio::{io::Interest, net::UdpSocket};

    /// Answers that are read in one go: as many as the system keeps for a socket of the usual size.
    const READ_MAX: usize = 512;
    /// Room for everything that the system adds to an answer, several times over.
    const ADDED_LEN: usize = 512;

    /// A second handle of the socket, so that the library's own reads and writes stay as they are.
    #[derive(Debug)]
    pub(super) struct Ear {
        socket: UdpSocket,
        address: SocketAddr,
    }

    impl Ear {
        pub(super) fn open(socket: &std::net::UdpSocket, address: SocketAddr) -> io::Result<Self> {
            match address {
                SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4RecvErr, &true)?,
                SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvErr, &true)?,
            }
            let socket = socket.try_clone()?;
            socket.set_nonblocking(true)?;
            Ok(Self { socket: UdpSocket::from_std(socket)?, address })
        }

        pub(super) async fn next(&self) {
            // Cannot fail: it fails as its closure does, or when the runtime is gone.
            drop(self.socket.async_io(Interest::ERROR, || self.read()).await);
        }

        /// Takes what is there; [`io::ErrorKind::WouldBlock`] when no refusal is among it.
        fn read(&self) -> io::Result<()> {
            let mut is_refused = false;
            for _ in 0..READ_MAX {
                match self.read_one() {
                    Ok(of_ours) => is_refused |= of_ours,
                    Err(Errno::EINTR) => {}
                    Err(_no_more) => break,
                }
            }
            if is_refused { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
        }

        /// Takes one answer: whether a packet to the address was refused.
        fn read_one(&self) -> nix::Result<bool> {
            // Nothing of the packet itself is wanted.
            let (mut packet, mut added) = ([0; 0], [0; ADDED_LEN]);
            let mut packet = [IoSliceMut::new(&mut packet)];
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let answer = recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut packet, Some(&mut added), flags)?;
            let to = answer.address.as_ref().and_then(socket_addr);
            #[expect(clippy::wildcard_enum_match_arm, reason = "the system adds whatever else it was asked for")]
            let is_refusal = answer.cmsgs()?.any(|added| match added {
                ControlMessageOwned::Ipv4RecvErr(cause, _) | ControlMessageOwned::Ipv6RecvErr(cause, _) => {
                    is_refusal(&cause)
                }
                _ => false,
            });
            let is_ours = to.is_some_and(|to| (to.ip(), to.port()) == (self.address.ip(), self.address.port()));
            Ok(is_refusal && is_ours)
        }
    }

    /// Whether the network, and not this system itself, says that nobody listens.
    pub(super) fn is_refusal(cause: &libc::sock_extended_err) -> bool {
        let is_told = matches!(cause.ee_origin, libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6);
        is_told && i32::try_from(cause.ee_errno) == Ok(libc::ECONNREFUSED)
    }

    fn socket_addr(address: &SockaddrStorage) -> Option<SocketAddr> {
        let v4 = address.as_sockaddr_in().map(|found| (IpAddr::from(found.ip()), found.port()));
        let v6 = || address.as_sockaddr_in6().map(|found| (IpAddr::from(found.ip()), found.port()));
        v4.or_else(v6).map(SocketAddr::from)
    }
}

#[cfg(not(target_os = "linux"))]
mod ear {
    use std::{
        io,
        net::{SocketAddr, UdpSocket},
    };

    /// Nothing is heard here. On Windows and macOS the system tells only sockets that are tied to one address, and such
    /// a one does not move to another network.
    #[derive(Debug)]
    pub(super) enum Ear {}

    impl Ear {
        pub(super) fn open(_socket: &UdpSocket, _address: SocketAddr) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(super) async fn next(&self) {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_is_a_doubt_and_another_without_a_packet_in_between_an_end() {
        let mut doubt = Doubt::default();

        assert!(!doubt.refused(7));
        assert!(!doubt.refused(8), "the other end has said something since");
        assert!(doubt.refused(8));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_comes_and_goes_with_the_network_is_no_refusal() {
        use nix::libc;

        let cause = |ee_errno: i32, ee_origin| libc::sock_extended_err {
            ee_errno: ee_errno.unsigned_abs(),
            ee_origin,
            ee_type: 3,
            ee_code: 0,
            ee_pad: 0,
            ee_info: 0,
            ee_data: 0,
        };
        for told in [libc::SO_EE_ORIGIN_ICMP, libc::SO_EE_ORIGIN_ICMP6] {
            assert!(ear::is_refusal(&cause(libc::ECONNREFUSED, told)));
            for passing in [libc::EHOSTUNREACH, libc::ENETUNREACH, libc::EMSGSIZE, libc::EACCES, libc::EPROTO] {
                assert!(!ear::is_refusal(&cause(passing, told)), "{passing}");
            }
        }
        assert!(!ear::is_refusal(&cause(libc::ECONNREFUSED, libc::SO_EE_ORIGIN_LOCAL)));
    }
}
