//! What must not be accepted is not, and what must not be printed is not.

use proptest::prelude::*;
use proto::{
    api::{
        error::{ErrorBody, ErrorCode},
        login::{LoginAnswer, LoginRequest},
        reception::{EnterAnswer, EnterRequest, Event, Pairing},
        session::{DeviceRequest, EndRequest, SessionBody},
    },
    close::CloseReason,
    device::DeviceFactKind,
    frame::Lane,
    id::{CompanyId, OperatorId},
    input::Input,
    limits,
    message::{Message, MessageError},
    seal::{SealError, handshake::ProveError},
};
use serde_json::json;

use crate::session::{SESSION_ID, exchange, sealed_sides};

#[test]
fn tools_with_different_secrets_or_introductions_get_no_keys() {
    for (secrets, introductions) in [
        ([b"3381".as_slice(), b"3382"], ["a", "a"]),
        ([b"3381", b"03381"], ["a", "a"]),
        ([b"3381", b"3381"], ["a", "b"]),
    ] {
        let ends = exchange(secrets, introductions).ends;
        assert!(ends.iter().all(|end| matches!(end, Err(ProveError::WrongSecret))));
    }
}

#[test]
fn a_frame_of_another_session_does_not_open() {
    let [(mut sealer, _), _] = sealed_sides();
    let other = exchange([b"3381"; 2], ["another introduction"; 2]).ends.map(Result::unwrap);
    let [_, operator] = other;
    let (_, mut opener) = operator.split(proto::role::Role::Operator);
    let frame = sealer.seal(Lane::Control, 0, b"x").unwrap();
    assert_eq!(opener.open(&frame), Err(SealError::Altered));
}

#[test]
fn what_a_newer_manager_says_is_left_out_and_the_rest_read() {
    let event: Event = serde_json::from_value(json!({"event": "moved", "where": 1})).unwrap();
    assert_eq!(event, Event::Unknown);
    let error: ErrorBody = serde_json::from_value(json!({"code": "too_hot", "message": "m"})).unwrap();
    assert_eq!(error.code, ErrorCode::Unknown);
    let end: EndRequest = serde_json::from_value(json!({"reason": "meteorite"})).unwrap();
    assert_eq!(end.reason, CloseReason::Unknown);
    let session: SessionBody = serde_json::from_value(json!({
        "session_id": SESSION_ID, "state": "ended", "operator_name": "", "reason": "", "entered_at_ms": 1,
        "connected_at_ms": null, "ended_at_ms": null, "duration_ms": null, "end_reason": "meteorite",
        "device": [{"kind": "fridge", "value": "full"}, {"kind": "language", "value": "ja"}],
    }))
    .unwrap();
    assert_eq!(session.end_reason, Some(CloseReason::Unknown));
    assert!(session.device.iter().map(|fact| fact.kind).eq([DeviceFactKind::Language]));
}

#[test]
fn the_manager_refuses_what_it_does_not_know() {
    assert!(serde_json::from_value::<DeviceRequest>(json!({"facts": [{"kind": "fridge", "value": "full"}]})).is_err());
    for body in [
        json!({"locator": "41290", "proof_key": ""}),
        json!({"locator": "412-905", "proof_key": ""}),
        json!({"locator": 412_905, "proof_key": ""}),
        json!({"proof_key": ""}),
        json!([]),
    ] {
        assert!(serde_json::from_value::<EnterRequest>(body).is_err());
    }
}

#[test]
fn bodies_print_no_password_token_ticket_or_name() {
    let login = LoginRequest { company: "canary".into(), user: "canary".into(), password: "canary".into(), code: None };
    let answer = LoginAnswer {
        token: "canary".into(),
        expires_at_ms: 0,
        operator_id: OperatorId::from_bytes([0; 16]),
        operator_name: "canary".into(),
        company_id: CompanyId::from_bytes([0; 16]),
        company_name: "canary".into(),
        notices: Vec::new(),
    };
    let pairing =
        Pairing { session_id: SESSION_ID, introduction: "canary".into(), ticket: "canary".into(), relays: vec![] };
    let entered = EnterAnswer { pairing, token: "canary".into() };
    let enter =
        EnterRequest { locator: "412905".parse().unwrap(), proof_key: String::new(), signature: Some("canary".into()) };
    let printed = format!("{login:?} {answer:?} {entered:?} {enter:?}");
    assert!(!printed.contains("canary") && !printed.contains("412905"), "{printed}");
}

proptest! {
    #[test]
    fn a_message_never_decodes_on_another_lane(text in ".{0,20}", lane in prop::sample::select(Lane::ALL.as_slice())) {
        let bytes = Message::Input(Input::Text(text)).encode().unwrap();
        let expected = if lane == Lane::Input { None } else { Some(MessageError::WrongLane) };
        prop_assert_eq!(Message::decode(&bytes, lane).err(), expected);
    }

    #[test]
    fn a_screen_message_is_bounded_by_what_it_brings(claim in 0..u32::MAX, brought in 0..64usize) {
        let claim = usize::try_from(claim).unwrap();
        let mut bytes = vec![17];
        let mut rest = claim;
        while 0x7f < rest {
            bytes.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        bytes.push(u8::try_from(rest).unwrap());
        bytes.extend(vec![0; brought]);
        let decoded = Message::decode(&bytes, Lane::Screen);
        prop_assert_eq!(decoded.is_ok(), claim == brought);
        prop_assert!(bytes.len() < limits::SCREEN_MESSAGE_LEN_MAX);
    }
}
