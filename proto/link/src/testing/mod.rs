//! A pair of sealed links in memory, for tests of the tools: real keys, real frames, no socket. Works with paused time.
//!
//! [`sealed_pair`] is a good network. [`sealed_pair_with_faults`] has somebody in the middle who does to the frames what
//! a test asks for: a cut, a freeze, or the deeds of an evil relay.

mod board;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use proto::{
    frame::FrameType,
    id::{RelayId, SessionId},
    limits::{FRAME_HEADER_LEN, WRITE_STALL_TIMEOUT},
    role::Role,
    seal::{
        SessionKeys,
        handshake::{Handshake, Step},
    },
};
use tokio::{
    io::{AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, split},
    sync::watch,
};

pub use self::board::{Board, Door};
use crate::{
    framed::{self, FrameReader, WireFrame},
    sealed::Sealed,
    stall::Stalling,
    tcp::Connection,
    transport::Transport,
};

/// Bytes the pair's network holds in each direction: what two socket buffers would.
const NETWORK_LEN: usize = 256 * 1024;
/// The session of every pair.
const SESSION_ID: SessionId = SessionId::from_bytes([1; 16]);
/// What the manager signed about it.
const INTRODUCTION: &str = "introduction";

/// What the one in the middle does with one sealed frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Flips one bit of the last byte.
    Alter,
    /// Does not pass it on.
    Drop,
    /// Passes it on twice.
    Duplicate,
    /// Passes it on after the next one.
    Reorder,
    /// Sends it back to where it came from.
    Reflect,
    /// Changes the outer header: the lane.
    ChangeLane,
}

/// The one in the middle; a clone is the same one.
#[derive(Debug, Clone)]
pub struct Faults {
    from_customer: Direction,
    from_operator: Direction,
    cut: watch::Sender<bool>,
    left: watch::Sender<Option<Role>>,
}

#[derive(Debug, Clone)]
struct Direction {
    frozen: watch::Sender<bool>,
    lingers: watch::Sender<bool>,
    next: Arc<Mutex<VecDeque<Fault>>>,
    passed: watch::Sender<u64>,
}

/// Two tools that share a secret: `(customer, operator)`. Must be called inside a runtime.
pub fn sealed_pair() -> (Sealed, Sealed) {
    let (customer_io, operator_io) = duplex(NETWORK_LEN);
    let (customer_keys, operator_keys) = keys();
    (start(customer_io, customer_keys, Role::Customer), start(operator_io, operator_keys, Role::Operator))
}

/// As [`sealed_pair`], with somebody in the middle.
pub fn sealed_pair_with_faults() -> (Sealed, Sealed, Faults) {
    let (customer_io, customer_far) = duplex(NETWORK_LEN);
    let (operator_io, operator_far) = duplex(NETWORK_LEN);
    let faults = Faults {
        from_customer: Direction::new(),
        from_operator: Direction::new(),
        cut: watch::Sender::new(false),
        left: watch::Sender::new(None),
    };
    tokio::spawn(faults.clone().stand_between(customer_far, operator_far));
    let (customer_keys, operator_keys) = keys();
    let customer = start(customer_io, customer_keys, Role::Customer);
    let operator = start(operator_io, operator_keys, Role::Operator);
    (customer, operator, faults)
}

impl Faults {
    /// Does this to the next sealed frame that `from` sends; more of them queue up.
    pub fn on_next(&self, from: Role, fault: Fault) {
        self.direction(from).queue().push_back(fault);
    }

    /// Passes nothing on from this side, or does again. What is sent meanwhile waits.
    pub fn freeze(&self, from: Role, frozen: bool) {
        self.direction(from).frozen.send_replace(frozen);
    }

    /// Keeps the close of this side's connection to itself, or passes it on after all.
    pub fn linger(&self, from: Role, lingers: bool) {
        self.direction(from).lingers.send_replace(lingers);
    }

    /// Whose connection was closed first, as far as it was passed on.
    pub fn left_first(&self) -> Option<Role> {
        *self.left.borrow()
    }

    /// Cuts both connections.
    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Sealed frames of this side that were passed on or tampered with so far.
    pub fn passed(&self, from: Role) -> u64 {
        *self.direction(from).passed.borrow()
    }

    const fn direction(&self, from: Role) -> &Direction {
        match from {
            Role::Customer => &self.from_customer,
            Role::Operator => &self.from_operator,
        }
    }

    async fn stand_between(self, customer: DuplexStream, operator: DuplexStream) {
        let (from_customer, to_customer) = split(customer);
        let (from_operator, to_operator) = split(operator);
        let (back_to_customer, back_to_operator) = (tokio::sync::mpsc::channel(64), tokio::sync::mpsc::channel(64));
        let mut cut = self.cut.subscribe();
        tokio::select! {
            // A dropped sender of the switch cannot happen: `self` holds it.
            _switched = cut.wait_for(|cut| *cut) => {}
            () = self.from_customer.pass(
                Ends { from: from_customer, to: to_operator, back: back_to_customer.0, others: back_to_operator.1 },
            ) => drop(self.left.send_replace(Some(Role::Customer))),
            () = self.from_operator.pass(
                Ends { from: from_operator, to: to_customer, back: back_to_operator.0, others: back_to_customer.1 },
            ) => drop(self.left.send_replace(Some(Role::Operator))),
        }
    }
}

/// What one direction reads from and writes to.
struct Ends {
    from: ReadHalf<DuplexStream>,
    to: WriteHalf<DuplexStream>,
    back: tokio::sync::mpsc::Sender<Bytes>,
    others: tokio::sync::mpsc::Receiver<Bytes>,
}

impl Direction {
    fn new() -> Self {
        Self {
            frozen: watch::Sender::new(false),
            lingers: watch::Sender::new(false),
            next: Arc::default(),
            passed: watch::Sender::new(0),
        }
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<Fault>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes frames on until one end closes.
    async fn pass(&self, ends: Ends) {
        let Ends { from, mut to, back, mut others } = ends;
        let mut reader = FrameReader::new(from);
        let mut frozen = self.frozen.subscribe();
        let mut held = None;
        loop {
            let frame = tokio::select! {
                Some(reflected) = others.recv() => {
                    if framed::write_all(&mut to, &[reflected]).await.is_err() {
                        return;
                    }
                    continue;
                }
                frame = reader.next() => frame,
            };
            let Ok(Some(frame)) = frame else {
                // A dropped sender of the switch cannot happen: the direction holds it.
                let mut lingers = self.lingers.subscribe();
                let _lifted = lingers.wait_for(|lingers| !*lingers).await.is_ok();
                // A clean close passes on what it means: the other side's reader sees the end.
                drop(to.shutdown().await);
                return;
            };
            if frozen.wait_for(|frozen| !*frozen).await.is_err() {
                return;
            }
            let pieces = self.meddle(&frame, &mut held, &back);
            if framed::write_all(&mut to, &pieces).await.is_err() {
                return;
            }
        }
    }

    /// What goes out for a frame that came in.
    fn meddle(
        &self,
        frame: &WireFrame,
        held: &mut Option<Bytes>,
        back: &tokio::sync::mpsc::Sender<Bytes>,
    ) -> Vec<Bytes> {
        let wire = frame.wire.clone();
        if frame.header.kind != FrameType::Sealed {
            return vec![wire];
        }
        self.passed.send_modify(|passed| *passed = passed.saturating_add(1));
        if let Some(earlier) = held.take() {
            return vec![wire, earlier];
        }
        let fault = self.queue().pop_front();
        match fault {
            None => vec![wire],
            Some(Fault::Alter) => vec![flipped(&wire, wire.len().saturating_sub(1))],
            Some(Fault::ChangeLane) => vec![flipped(&wire, 1)],
            Some(Fault::Drop) => Vec::new(),
            Some(Fault::Duplicate) => vec![wire.clone(), wire],
            Some(Fault::Reorder) => {
                *held = Some(wire);
                Vec::new()
            }
            Some(Fault::Reflect) => {
                // A full channel loses the frame, which is a fault too.
                drop(back.try_send(wire));
                Vec::new()
            }
        }
    }
}

fn flipped(wire: &Bytes, place: usize) -> Bytes {
    let mut wire = BytesMut::from(wire.as_ref());
    debug_assert!(FRAME_HEADER_LEN <= wire.len(), "a frame has a header");
    if let Some(byte) = wire.get_mut(place) {
        *byte ^= 1;
    }
    wire.freeze()
}

fn start(io: DuplexStream, keys: SessionKeys, role: Role) -> Sealed {
    let connection = Connection::new(Stalling::new(io, WRITE_STALL_TIMEOUT), [0; 32], Transport::Tcp);
    Sealed::start(connection, keys, role, RelayId::from_bytes([7; 16]), None)
}

/// Lets two sides prove the same secret to each other.
#[expect(clippy::expect_used, reason = "for tests only, with one fixed secret on both sides")]
fn keys() -> (SessionKeys, SessionKeys) {
    let begin = |role| {
        Handshake::start(role, b"3381", SESSION_ID, INTRODUCTION, &mut rand_core::OsRng).expect("a secret is given")
    };
    let (customer, from_customer) = begin(Role::Customer);
    let (operator, from_operator) = begin(Role::Operator);
    let go_on = |handshake: Handshake, payload: &[u8]| match handshake.on(payload) {
        Ok(Step::Continue { handshake, send }) => Some((handshake, send)),
        Ok(Step::Done { .. }) | Err(_) => None,
    };
    let finish = |handshake: Handshake, payload: &[u8]| match handshake.on(payload) {
        Ok(Step::Done { keys }) => Some(keys),
        Ok(Step::Continue { .. }) | Err(_) => None,
    };
    let (customer, confirms_customer) = go_on(customer, &from_operator).expect("an element is the first step");
    let (operator, confirms_operator) = go_on(operator, &from_customer).expect("an element is the first step");
    let customer = finish(customer, &confirms_operator).expect("both know the secret");
    let operator = finish(operator, &confirms_customer).expect("both know the secret");
    (customer, operator)
}
