//! Our own limits instead of the library's, each with its reason in `limits.rs`.

use std::{io, sync::Arc};

use proto::limits::SILENCE_TIMEOUT;
use quinn::{
    ClientConfig, EndpointConfig, ServerConfig, TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};

use super::{limits, pace::Steady};
use crate::tls::{self, Pin};

/// What both ends have in common.
fn transport() -> Result<TransportConfig, io::Error> {
    let mut transport = TransportConfig::default();
    // Silence ends a connection as it does on TCP; our pings keep a quiet one alive, and addresses in routers, too.
    let idle = SILENCE_TIMEOUT.try_into().map_err(io::Error::other)?;
    transport.max_idle_timeout(Some(idle)).keep_alive_interval(None);
    transport.max_concurrent_uni_streams(VarInt::from_u32(0)).datagram_receive_buffer_size(None);
    // Starts with the 1,200 bytes that every network carries, and finds out what more this one does.
    transport.initial_mtu(1200).min_mtu(1200);
    transport.congestion_controller_factory(Arc::new(Steady::default()));
    // Two streams of one priority do not exist; and nobody on the way need see round trips.
    transport.send_fairness(false).allow_spin(false);
    Ok(transport)
}

/// The tool's side, for the one relay with this pin.
///
/// # Errors
/// None that input causes.
pub(super) fn client(pin: Pin) -> io::Result<ClientConfig> {
    let mut transport = transport()?;
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(limits::TOOL_STREAM_WINDOW))
        .receive_window(VarInt::from_u32(limits::TOOL_WINDOW))
        .send_window(limits::TOOL_SEND_WINDOW);
    // No session is resumed, so there is no early data.
    let crypto = tls::pinned_client_config(pin).map_err(io::Error::other)?;
    let crypto = QuicClientConfig::try_from(crypto).map_err(io::Error::other)?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// The relay's side.
///
/// # Errors
/// When `tls` cannot do QUIC: it needs TLS 1.3 and AES-128-GCM.
pub(super) fn server(tls: &rustls::ServerConfig) -> io::Result<ServerConfig> {
    let mut transport = transport()?;
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(limits::STREAMS))
        .stream_receive_window(VarInt::from_u32(limits::RELAY_STREAM_WINDOW))
        .receive_window(VarInt::from_u32(limits::STRANGER_WINDOW))
        .send_window(limits::RELAY_SEND_WINDOW);
    let mut tls = tls.clone();
    // Nobody resumes: a tool connects once in a session. And nothing is believed that may be repeated.
    (tls.send_tls13_tickets, tls.max_early_data_size) = (0, 0);
    let crypto = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport))
        .migration(true)
        .max_incoming(limits::INCOMING_MAX)
        .incoming_buffer_size(limits::INCOMING_LEN_MAX)
        .incoming_buffer_size_total(limits::INCOMING_TOTAL_MAX);
    Ok(config)
}

/// What all connections of one socket have in common.
pub(super) fn endpoint() -> EndpointConfig {
    EndpointConfig::default()
}
