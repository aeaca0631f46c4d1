//! Every size, time and count of the protocol, each with its reason.
//!
//! Sizes are in bytes, times are [`Duration`]s.
//! A limit that only one server knows (a queue of the manager, say) is in that server's configuration instead.

use std::time::Duration;

/// Payload of one outer frame: small enough that input waits at most 260 ms behind one on a 1 Mbit/s line.
pub const FRAME_PAYLOAD_MAX: usize = 32 * 1024;
/// Header of an outer frame: type 1 + lane 1 + flags 1 + length 2.
pub const FRAME_HEADER_LEN: usize = 5;
/// What sealing adds to a payload: sequence 8 + tag 16.
pub const SEAL_OVERHEAD: usize = 24;
/// Plain bytes that fit into one sealed frame.
pub const SEALED_PLAIN_MAX: usize = FRAME_PAYLOAD_MAX - SEAL_OVERHEAD;

/// A ticket in its text form; one with four relays is about 950 bytes, and it travels in every hello.
pub const TICKET_LEN_MAX: usize = 1024;
/// Relays named in one ticket: the active one, the spare and two more; a fifth would not fit [`TICKET_LEN_MAX`].
pub const TICKET_RELAYS_MAX: usize = 4;
/// An introduction in its text form; names of 64 characters and the longest reason in UTF-8 fit with room.
pub const INTRODUCTION_LEN_MAX: usize = 2048;
/// Life of a ticket: longer than the whole monthly budget of 99.9 % (43.2 min), so a manager outage hurts nobody.
pub const TICKET_LIFE: Duration = Duration::from_hours(1);
/// Longest session, whatever renews its tickets.
pub const SESSION_LIFE_MAX: Duration = Duration::from_hours(8);
/// Clocks of manager and relay may differ by this much.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_mins(2);

/// TLS handshake of one connection, from accept to finished.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// From TLS finished to a complete hello.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// A side waits this long at the relay for the other to come.
pub const PEER_TIMEOUT: Duration = Duration::from_mins(1);
/// A side whose peer left waits this long at the relay for it to come back; the tools themselves give up then, too.
pub const REJOIN_TIMEOUT: Duration = Duration::from_mins(2);
/// A write that makes no progress this long ends the connection.
pub const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Pause between keep-alive pings; [`PING_JITTER`] is added at random so that relays see no waves.
pub const PING_INTERVAL: Duration = Duration::from_secs(15);
/// See [`PING_INTERVAL`].
pub const PING_JITTER: Duration = Duration::from_secs(5);
/// A link with no byte received for this long is dead: two missed pings and a slow pong.
pub const SILENCE_TIMEOUT: Duration = Duration::from_secs(45);
/// Pause between pings while something is being said: who works notices a dead relay at once.
pub const LIVELY_PING_INTERVAL: Duration = Duration::from_millis(500);
/// A connection over which something is being said is dead after this long without a byte: two missed answers.
pub const LIVELY_SILENCE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// The same while a write waits for the network: on a slow line answers come late behind what is sent. Where the system
/// knows that the line is dead, it is not waited for.
pub const LIVELY_STALL_TIMEOUT: Duration = Duration::from_secs(6);
/// A connection counts as one over which something is being said for this long after a frame.
pub const LIVELY_FOR: Duration = Duration::from_secs(5);
/// From peer present to both confirmations of the key exchange.
pub const PROVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a question is shown to the customer before silence counts as "no".
pub const CONSENT_TIMEOUT: Duration = Duration::from_mins(2);

/// Header by which a load balancer names who connected: opening 16, and 520 for addresses and what it adds to them.
pub const PROXY_HEADER_LEN_MAX: usize = 536;

/// Bytes the relay holds for one direction before it stops reading from the other side.
pub const RELAY_QUEUE_MAX: usize = 512 * 1024;

/// Unacknowledged message bytes on the control lane: one cursor shape of the largest size fits.
pub const CREDIT_CONTROL: u64 = 512 * 1024;
/// Unacknowledged message bytes on the input lane: hundreds of events.
pub const CREDIT_INPUT: u64 = 64 * 1024;
/// Unacknowledged message bytes on the screen lane: one raw 4K picture fits compressed.
pub const CREDIT_SCREEN: u64 = 8 * 1024 * 1024;
/// Unacknowledged message bytes on the bulk lane.
pub const CREDIT_BULK: u64 = 1024 * 1024;

/// Longest message on the control, input and bulk lanes; a cursor shape of 256×256 px fits into control.
pub const MESSAGE_LEN_MAX: usize = 320 * 1024;
/// Longest message on the screen lane: a full noisy 4K picture, 3 bytes a pixel, does not compress.
pub const SCREEN_MESSAGE_LEN_MAX: usize = 32 * 1024 * 1024;
/// Frames under one key before the ratchet turns: far below the bounds of `ChaCha20-Poly1305`.
pub const RATCHET_EVERY: u64 = 1 << 24;

/// Committed text in one input message, in bytes of UTF-8.
pub const TEXT_LEN_MAX: usize = 4 * 1024;
/// Reason shown to the customer, in bytes of UTF-8.
pub const REASON_LEN_MAX: usize = 300;
/// Longest number of a case, in characters: longer than those of the ticket systems that help desks have.
pub const CASE_NUMBER_LEN_MAX: usize = 64;
/// Longest name of a customer, in characters, as that of an account.
pub const CUSTOMER_NAME_LEN_MAX: usize = 64;
/// Longest note about a session, in characters: a page of text.
pub const NOTE_LEN_MAX: usize = 2000;
/// Name and version of a tool, in bytes of UTF-8.
pub const TOOL_NAME_LEN_MAX: usize = 64;
/// Monitors of one customer.
pub const MONITORS_MAX: usize = 16;
/// Name of a monitor's output, in bytes of UTF-8.
pub const MONITOR_NAME_LEN_MAX: usize = 64;
/// Longest edge of a picture, in pixels.
pub const PICTURE_EDGE_MAX: u32 = 16_384;
/// Pixels of a picture: 8K, so that a decoder allocates at most 132 MiB.
pub const PICTURE_PIXELS_MAX: u64 = 7680 * 4320;
/// Longest edge of a cursor shape, in pixels.
pub const CURSOR_EDGE_MAX: u16 = 256;
/// Facts in one device report, and the length of each in bytes.
pub const DEVICE_FACTS_MAX: usize = 64;
/// See [`DEVICE_FACTS_MAX`].
pub const DEVICE_FACT_LEN_MAX: usize = 256;

/// Shortest, usual and longest life of a reception number.
pub const RECEPTION_LIFE_MIN: Duration = Duration::from_mins(1);
/// See [`RECEPTION_LIFE_MIN`].
pub const RECEPTION_LIFE: Duration = Duration::from_mins(10);
/// See [`RECEPTION_LIFE_MIN`].
pub const RECEPTION_LIFE_MAX: Duration = Duration::from_hours(1);
/// Open reception numbers of one operator.
pub const RECEPTIONS_OPEN_MAX: u32 = 3;
/// Entries that end without a proved secret before the number is burned.
pub const UNPROVED_MAX: u32 = 3;
/// A locator is not given out again for this long.
pub const LOCATOR_REST: Duration = Duration::from_hours(24);

/// Body of an API request of a tool or a browser.
pub const API_BODY_MAX: usize = 64 * 1024;
/// Body of a relay's heartbeat or report: 20,000 session ids in JSON are 700 KB, 500 events less.
pub const RELAY_BODY_MAX: usize = 1024 * 1024;
/// Live sessions in one heartbeat: more than one relay carries.
pub const HEARTBEAT_SESSIONS_MAX: usize = 20_000;
/// Events in one report.
pub const REPORT_EVENTS_MAX: usize = 500;
