//! Against rustls, which every tool has at the other end, and against whoever changes bytes on the way.

use std::{
    io::{Read as _, Write as _},
    sync::{Arc, Mutex},
};

use proptest::prelude::*;
use rustls::{
    ClientConnection, ServerConfig, ServerConnection, SupportedCipherSuite, crypto::aws_lc_rs as provider,
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use crate::tls::{Pin, pinned_client_config};

/// The server's secrets: of the other end, and our own.
#[derive(Debug, Default)]
struct Secrets(Mutex<[Vec<u8>; 2]>);

impl rustls::KeyLog for Secrets {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        let place = ["CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"].iter().position(|known| *known == label);
        if let Some(place) = place {
            self.0.lock().unwrap()[place] = secret.to_vec();
        }
    }
}

/// A tool's rustls after the handshake, and our record layer at the other end.
struct Ends {
    tool: ClientConnection,
    opener: Opener,
    sealer: Sealer,
}

fn certificate() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["relay.invalid".to_owned()]).unwrap();
    (made.cert.der().clone(), PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap())
}

fn ends(suite: SupportedCipherSuite) -> Ends {
    let (cert, key) = certificate();
    let mut crypto = provider::default_provider();
    crypto.cipher_suites = vec![suite];
    let crypto = Arc::new(crypto);
    let certified = CertifiedKey::from_der(vec![cert.clone()], key, &crypto).unwrap();
    let secrets = Arc::new(Secrets::default());
    let mut config = ServerConfig::builder_with_provider(crypto)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    config.key_log = Arc::<Secrets>::clone(&secrets);
    config.send_tls13_tickets = 0;
    let mut relay = ServerConnection::new(Arc::new(config)).unwrap();
    let client = pinned_client_config(Pin::of_certificate(&cert).unwrap()).unwrap();
    let mut tool = ClientConnection::new(Arc::new(client), "relay.invalid".try_into().unwrap()).unwrap();
    while tool.is_handshaking() || relay.is_handshaking() || tool.wants_write() {
        let mut wire = Vec::new();
        while tool.wants_write() {
            tool.write_tls(&mut wire).unwrap();
        }
        let mut there = wire.as_slice();
        while !there.is_empty() {
            relay.read_tls(&mut there).unwrap();
            relay.process_new_packets().unwrap();
        }
        let mut wire = Vec::new();
        while relay.wants_write() {
            relay.write_tls(&mut wire).unwrap();
        }
        hear(&mut tool, &wire);
    }
    let [theirs, ours] = secrets.0.lock().unwrap().clone();
    let opener = Opener::new(suite.suite(), &theirs).unwrap();
    Ends { tool, opener, sealer: Sealer::new(suite.suite(), &ours).unwrap() }
}

/// Gives the tool bytes of the wire; what it understood.
fn hear(tool: &mut ClientConnection, mut wire: &[u8]) -> Vec<u8> {
    let mut heard = Vec::new();
    while !wire.is_empty() {
        tool.read_tls(&mut wire).unwrap();
        let state = tool.process_new_packets().unwrap();
        let mut data = vec![0; state.plaintext_bytes_to_read()];
        tool.reader().read_exact(&mut data).unwrap();
        heard.extend(data);
    }
    heard
}

/// What the tool has to send.
fn said(tool: &mut ClientConnection) -> Vec<u8> {
    let mut wire = Vec::new();
    while tool.wants_write() {
        tool.write_tls(&mut wire).unwrap();
    }
    wire
}

/// Opens every record of `wire`.
fn open_all(opener: &mut Opener, mut wire: &[u8], plain: &mut Room) -> Result<Vec<Opened>, RecordError> {
    let mut all = Vec::new();
    while let Some(len) = record_len(wire)? {
        let (record, rest) = wire.split_at(len);
        all.push(opener.open(record, plain)?);
        wire = rest;
    }
    assert!(wire.is_empty(), "only whole records");
    Ok(all)
}

/// Our two halves, one against the other.
fn our_ends() -> (Opener, Sealer) {
    let (suite, secret) = (CipherSuite::TLS13_AES_128_GCM_SHA256, [7; 32]);
    (Opener::new(suite, &secret).unwrap(), Sealer::new(suite, &secret).unwrap())
}

fn before() -> Room {
    let mut room = Room::default();
    room.extend_from_slice(b"before");
    room
}

fn bytes(len: usize) -> Bytes {
    (0..len).map(|place| u8::try_from(place % 251).unwrap()).collect()
}

#[test]
fn a_tool_and_our_record_layer_understand_each_other_under_every_suite() {
    for suite in provider::DEFAULT_CIPHER_SUITES.iter().filter(|suite| suite.tls13().is_some()) {
        let Ends { mut tool, mut opener, mut sealer } = ends(*suite);
        for len in [0, 1, PLAIN_MAX - 1, PLAIN_MAX, PLAIN_MAX + 1, 3 * PLAIN_MAX] {
            let data = bytes(len);
            tool.writer().write_all(&data).unwrap();
            let mut plain = Room::default();
            open_all(&mut opener, &said(&mut tool), &mut plain).unwrap();
            assert_eq!(plain.as_ref(), data);

            let mut wire = Room::default();
            sealer.seal(&[data.slice(..len / 3), Bytes::new(), data.slice(len / 3..)], &mut wire).unwrap();
            assert_eq!(hear(&mut tool, &wire), data);
        }
    }
}

#[test]
fn keys_change_when_either_end_wants() {
    for suite in provider::DEFAULT_CIPHER_SUITES.iter().filter(|suite| suite.tls13().is_some()) {
        let Ends { mut tool, mut opener, mut sealer } = ends(*suite);
        for round in 0..3u8 {
            tool.refresh_traffic_keys().unwrap();
            tool.writer().write_all(&[round; 9]).unwrap();
            let mut plain = Room::default();
            let opened = open_all(&mut opener, &said(&mut tool), &mut plain).unwrap();
            assert_eq!(opened, [Opened::Rekeyed { asks: true }, Opened::Data]);
            assert_eq!(plain.as_ref(), [round; 9]);

            let mut wire = Room::default();
            sealer.rekey(&mut wire).unwrap();
            sealer.seal(&[Bytes::from(vec![round; 7])], &mut wire).unwrap();
            assert_eq!(hear(&mut tool, &wire), [round; 7]);
        }
    }
}

#[test]
fn an_end_is_understood_on_both_sides() {
    let Ends { mut tool, mut opener, mut sealer } = ends(provider::cipher_suite::TLS13_AES_128_GCM_SHA256);
    tool.send_close_notify();
    let mut plain = Room::default();
    assert_eq!(open_all(&mut opener, &said(&mut tool), &mut plain), Ok(vec![Opened::Closed]));

    let mut wire = Room::default();
    sealer.close(&mut wire).unwrap();
    tool.read_tls(&mut wire.as_ref()).unwrap();
    assert!(tool.process_new_packets().unwrap().peer_has_closed());
}

#[test]
fn a_key_is_changed_before_it_has_sealed_too_much() {
    let (mut opener, mut sealer) = our_ends();
    sealer.keys.sequence = REKEY_AFTER - 2;
    opener.keys.sequence = REKEY_AFTER - 2;

    let mut wire = Room::default();
    sealer.seal(&[bytes(2 * PLAIN_MAX)], &mut wire).unwrap();
    let mut plain = Room::default();
    let opened = open_all(&mut opener, &wire, &mut plain).unwrap();

    assert_eq!(opened, [Opened::Data, Opened::Rekeyed { asks: false }, Opened::Data]);
    assert_eq!((plain.len(), sealer.keys.sequence), (2 * PLAIN_MAX, 1));
}

#[test]
fn the_example_of_rfc_8448_is_opened() {
    let secret = hex::decode("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5").unwrap();
    let record = "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e\
                  1f5a6292a2977014bd1e3deae63aeebb21694915e4";
    let mut opener = Opener::new(CipherSuite::TLS13_AES_128_GCM_SHA256, &secret).unwrap();

    let mut plain = Room::default();
    let opened = opener.open(&hex::decode(record).unwrap(), &mut plain);

    assert_eq!(opened, Ok(Opened::Data));
    assert_eq!(plain.as_ref(), (0..50).collect::<Vec<u8>>());
}

#[test]
fn records_without_data_come_to_an_end() {
    let (mut opener, mut sealer) = our_ends();
    let mut plain = Room::default();
    let mut empty = |plain: &mut Room| {
        let mut wire = Room::default();
        let start = begin(&mut wire);
        sealer.encrypt(APPLICATION, start, &mut wire).unwrap();
        opener.open(&wire, plain)
    };

    for _ in 0..BARREN_MAX {
        assert_eq!(empty(&mut plain), Ok(Opened::Data));
    }
    assert_eq!(empty(&mut plain), Err(RecordError::Barren));
}

#[test]
fn contents_that_have_no_place_here_are_refused() {
    for (kind, content, expected) in [
        (HANDSHAKE, b"\x01\x00\x00\x01\x00".as_slice(), RecordError::Kind(HANDSHAKE)),
        (HANDSHAKE, b"\x18\x00\x00\x01\x02", RecordError::Kind(HANDSHAKE)),
        (HANDSHAKE, b"\x18\x00\x00\x01\x00\x18", RecordError::Kind(HANDSHAKE)),
        (ALERT, b"\x02\x28", RecordError::Alert(0x28)),
        (ALERT, b"\x02", RecordError::Kind(ALERT)),
        (20, b"\x01", RecordError::Kind(20)),
        (0, b"", RecordError::Kind(0)),
    ] {
        let (mut opener, mut sealer) = our_ends();
        let mut wire = Room::default();
        let start = begin(&mut wire);
        wire.extend_from_slice(content);
        sealer.encrypt(kind, start, &mut wire).unwrap();
        let mut plain = before();

        assert_eq!(opener.open(&wire, &mut plain), Err(expected));
        assert_eq!(plain.as_ref(), b"before");
    }
}

#[test]
fn a_record_is_refused_by_its_header() {
    assert_eq!(record_len(&[APPLICATION, 3, 3, 0x41]), Ok(None));
    assert_eq!(record_len(&[APPLICATION, 3, 3, 0x41, 0]), Ok(Some(HEADER_LEN + BODY_MAX)));
    assert_eq!(record_len(&[APPLICATION, 3, 3, 0x41, 1]), Err(RecordError::Length(BODY_MAX + 1)));
    assert_eq!(record_len(&[20, 3, 3, 0, 1]), Err(RecordError::Kind(20)));
}

proptest! {
    #[test]
    fn pieces_come_out_as_they_went_in(lens in prop::collection::vec(0usize..20_000, 0..8)) {
        let (mut opener, mut sealer) = our_ends();
        let pieces: Vec<Bytes> = lens.iter().map(|len| bytes(*len)).collect();
        let (mut wire, mut plain) = (before(), Room::default());

        sealer.seal(&pieces, &mut wire).unwrap();
        let opened = open_all(&mut opener, &wire[6..], &mut plain).unwrap();

        prop_assert_eq!(&wire[..6], b"before");
        prop_assert_eq!(opened.len(), plain.len().div_ceil(PLAIN_MAX));
        prop_assert_eq!(plain.as_ref(), pieces.concat());
    }

    #[test]
    fn a_record_with_any_bit_changed_is_refused(len in 0usize..100, place: prop::sample::Index, bit in 0u8..8) {
        let (mut opener, mut sealer) = our_ends();
        let (mut wire, mut plain) = (Room::default(), before());
        sealer.seal(&[bytes(len + 1)], &mut wire).unwrap();
        let place = place.index(wire.len());
        wire[place] ^= 1 << bit;

        prop_assert_eq!(opener.open(&wire, &mut plain), Err(RecordError::Tag));
        prop_assert_eq!(plain.as_ref(), b"before");
    }

    #[test]
    fn any_bytes_are_a_record_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let (mut opener, _) = our_ends();
        let mut plain = Room::default();
        prop_assert!(opener.open(&bytes, &mut plain).is_err());
        prop_assert!(plain.is_empty());
    }
}
