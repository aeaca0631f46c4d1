//! What a QUIC connection may hold at either end, each with its reason. Sizes are in bytes.

/// Streams of one connection: one for each lane, opened by the tool.
pub const STREAMS: u32 = 4;
/// Bytes of one lane that a relay holds before it has read them. The tools' credit bounds a lane from end to end, so
/// this is only what may be under way on one hop: as much as the queue behind it, and 40 Mbit/s over 100 ms.
pub const RELAY_STREAM_WINDOW: u32 = 512 * 1024;
/// The same for all lanes together: one that stands still leaves the two urgent ones all that their credit allows.
pub const RELAY_WINDOW: u32 = RELAY_STREAM_WINDOW + URGENT_CREDIT;
/// The same before a tool is admitted: eight hellos.
pub const STRANGER_WINDOW: u32 = 10 * 1024;
/// Bytes that a relay keeps until a tool has acknowledged them; 80 Mbit/s over 100 ms.
pub const RELAY_SEND_WINDOW: u64 = 1024 * 1024;
/// Bytes of one lane that a tool holds before it has read them; 160 Mbit/s over 100 ms. What it may hold at all is the
/// credit of the lane.
pub const TOOL_STREAM_WINDOW: u32 = 2 * 1024 * 1024;
/// The same for all lanes together.
pub const TOOL_WINDOW: u32 = TOOL_STREAM_WINDOW + URGENT_CREDIT;
/// Bytes that a tool keeps until the relay has acknowledged them: what goes next is to be decided late, so no more than
/// 40 Mbit/s over 100 ms.
pub const TOOL_SEND_WINDOW: u64 = 512 * 1024;
/// Connection attempts of strangers that a relay has not looked at yet.
pub const INCOMING_MAX: usize = 1024;
/// Bytes of one such attempt beyond its first packet: a handshake's first words, several times over.
pub const INCOMING_LEN_MAX: u64 = 64 * 1024;
/// Bytes of all such attempts.
pub const INCOMING_TOTAL_MAX: u64 = 8 * 1024 * 1024;
/// Handshakes with addresses that may be forged; once there are more, each new stranger must first prove its own.
pub const UNPROVED_MAX: usize = 200;
/// A relay's certificates. A relay may send three packets of 1,200 bytes for each one that it got from an address that
/// is not proved; a longer chain costs every tool a round trip more.
pub const CERTIFICATES_LEN_MAX: usize = 3 * 1200;

/// The credit of the control and input lanes.
const URGENT_CREDIT: u32 = 512 * 1024 + 64 * 1024;
const _: () = assert!(
    URGENT_CREDIT as u64 == proto::limits::CREDIT_CONTROL + proto::limits::CREDIT_INPUT,
    "both are the same credit"
);
