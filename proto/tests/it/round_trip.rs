//! What is said is what is heard: messages through seal and frames, bodies through JSON.

use proptest::prelude::*;
use proto::{
    api::{
        error::{ErrorBody, ErrorCode},
        login::{LoginAnswer, LoginRequest, NoticeBody},
        reception::{
            EnterAnswer, EnterRequest, Event, IssueRequest, Pairing, ReceptionBody, ReceptionList, ReceptionState,
            RelayAddress,
        },
        relay::{HeartbeatAnswer, HeartbeatRequest, ReportAnswer, ReportEvent, ReportRequest, ReportWhat, TicketKey},
        session::{ConsentAnswer, ConsentRequest, DeviceRequest, EndRequest, SessionBody, SessionList, SessionState},
    },
    close::CloseReason,
    device::{DeviceFact, DeviceFactKind},
    frame::Lane,
    grant::GrantKind,
    id::{CompanyId, OperatorId, ReceptionId, RelayId, SessionId},
    input::Input,
    message::Message,
    role::Role,
    ticket::ProofKey,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::session::{from_wire, sealed_sides, to_wire};

const ID: &str = "abababababababababababababababab";
const KEY: &str = "0707070707070707070707070707070707070707070707070707070707070707";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_of_all_lanes_come_out_as_they_went_in(
        sends in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..3_000).prop_map(Message::Screen),
                ".{0,80}".prop_map(|text| Message::Input(Input::Text(text))),
                any::<u64>().prop_map(|nonce| Message::Echo { nonce }),
                (prop::sample::select(Lane::ALL.as_slice()), any::<u64>())
                    .prop_map(|(lane, taken)| Message::Credit { lane, taken }),
                any::<[u64; 4]>().prop_map(|next| Message::Received { next }),
            ],
            0..20,
        ),
        piece in 1..2_000usize,
    ) {
        let [(mut sealer, _), (_, mut opener)] = sealed_sides();
        let wire: Vec<u8> = sends.iter().flat_map(|message| to_wire(&mut sealer, message, piece)).collect();
        prop_assert_eq!(from_wire(&mut opener, &wire), sends);
    }
}

/// Checks that a body is written as `json` and read back as it was, also when a newer side adds a field.
fn body<T: Serialize + DeserializeOwned>(body: &T, json: &Value) {
    assert_eq!(&serde_json::to_value(body).unwrap(), json);
    let read: T = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(&serde_json::to_value(&read).unwrap(), json);
    let mut newer = json.clone();
    newer.as_object_mut().unwrap().insert("from_the_future".to_owned(), json!([1]));
    let read: T = serde_json::from_str(&newer.to_string()).unwrap();
    assert_eq!(&serde_json::to_value(&read).unwrap(), json);
}

fn pairing() -> (Pairing, Value) {
    let pairing = Pairing {
        session_id: SessionId::from_bytes([0xab; 16]),
        introduction: "v4.public.i".to_owned(),
        ticket: "v4.public.t".to_owned(),
        relays: vec![RelayAddress {
            relay_id: RelayId::from_bytes([0xab; 16]),
            address: "relay1.example.jp:443".to_owned(),
            spki: KEY.to_owned(),
        }],
    };
    let json = json!({
        "session_id": ID,
        "introduction": "v4.public.i",
        "ticket": "v4.public.t",
        "relays": [{"relay_id": ID, "address": "relay1.example.jp:443", "spki": KEY}],
    });
    (pairing, json)
}

#[test]
fn login_bodies_are_as_documented() {
    let request = LoginRequest {
        company: "midori".into(),
        user: "hanako".into(),
        password: "pass word".into(),
        code: Some("123456".into()),
    };
    let whole = json!({"company": "midori", "user": "hanako", "password": "pass word", "code": "123456"});
    body(&request, &whole);
    let without = LoginRequest { code: None, ..request };
    body(&without, &json!({"company": "midori", "user": "hanako", "password": "pass word"}));
    let answer = LoginAnswer {
        token: "t".into(),
        expires_at_ms: 2,
        operator_id: OperatorId::from_bytes([0xab; 16]),
        operator_name: "佐藤 花子".into(),
        company_id: CompanyId::from_bytes([0xab; 16]),
        company_name: "みどり電機".into(),
        notices: vec![NoticeBody { notice_id: ID.into(), title: "停止".into(), important: true, ends_at_ms: 3 }],
    };
    let json = json!({
        "token": "t", "expires_at_ms": 2, "operator_id": ID, "operator_name": "佐藤 花子",
        "company_id": ID, "company_name": "みどり電機",
        "notices": [{ "notice_id": ID, "title": "停止", "important": true, "ends_at_ms": 3 }],
    });
    body(&answer, &json);
}

#[test]
fn reception_bodies_are_as_documented() {
    let request = IssueRequest { proof_key: KEY.into(), reason: "印刷".into(), life_secs: Some(600), locator: None };
    body(&request, &json!({"proof_key": KEY, "reason": "印刷", "life_secs": 600}));
    let short: IssueRequest = serde_json::from_value(json!({"proof_key": KEY})).unwrap();
    assert_eq!((short.reason.as_str(), short.life_secs), ("", None));

    let states = [
        (ReceptionState::Issued, "issued"),
        (ReceptionState::Entered, "entered"),
        (ReceptionState::Proved, "proved"),
        (ReceptionState::Expired, "expired"),
        (ReceptionState::Cancelled, "cancelled"),
        (ReceptionState::Burned, "burned"),
    ];
    for (state, name) in states {
        let reception = ReceptionBody {
            reception_id: ReceptionId::from_bytes([0xab; 16]),
            locator: "412905".parse().unwrap(),
            state,
            reason: String::new(),
            issued_at_ms: 1,
            expires_at_ms: 2,
            unproved_count: 0,
        };
        let json = json!({
            "reception_id": ID, "locator": "412905", "state": name, "reason": "",
            "issued_at_ms": 1, "expires_at_ms": 2, "unproved_count": 0,
        });
        body(&reception, &json);
        body(&ReceptionList { receptions: vec![reception] }, &json!({"receptions": [json]}));
    }

    let unsigned = EnterRequest { locator: "412905".parse().unwrap(), proof_key: KEY.into(), signature: None };
    body(&unsigned, &json!({"locator": "412905", "proof_key": KEY}));
    let signed = EnterRequest { signature: Some("ab".repeat(64)), ..unsigned };
    body(&signed, &json!({"locator": "412905", "proof_key": KEY, "signature": "ab".repeat(64)}));
    let (pairing, json) = pairing();
    body(&pairing, &json);
    body(&EnterAnswer { pairing, token: "t".into() }, &json!({"pairing": json, "token": "t"}));
}

#[test]
fn an_entry_is_signed_for_its_number_by_its_key() {
    let key = ProofKey::from_seed(&[7; 32]);
    let request = EnterRequest::new("412905".parse().unwrap(), &key);
    assert!(request.is_signed());

    let other_key = ProofKey::from_seed(&[8; 32]).public_hex();
    let others = EnterRequest::new("412905".parse().unwrap(), &ProofKey::from_seed(&[8; 32])).signature;
    for wrong in [
        EnterRequest { locator: "412906".parse().unwrap(), ..request.clone() },
        EnterRequest { proof_key: other_key, ..request.clone() },
        EnterRequest { proof_key: "no key".into(), ..request.clone() },
        EnterRequest { signature: others, ..request.clone() },
        EnterRequest { signature: Some("00".into()), ..request.clone() },
        EnterRequest { signature: None, ..request },
    ] {
        assert!(!wrong.is_signed(), "{wrong:?}");
    }
}

#[test]
fn events_are_as_documented() {
    let reception_id = ReceptionId::from_bytes([0xab; 16]);
    let session_id = SessionId::from_bytes([0xab; 16]);
    let (pairing, json) = pairing();
    let reason = CloseReason::CustomerEnded;
    for (event, json) in [
        (Event::Entered { reception_id, pairing }, json!({"event": "entered", "reception_id": ID, "pairing": json})),
        (Event::Proved { reception_id, session_id }, json!({"event": "proved", "reception_id": ID, "session_id": ID})),
        (
            Event::Reopened { reception_id, session_id, unproved_count: 2 },
            json!({"event": "reopened", "reception_id": ID, "session_id": ID, "unproved_count": 2}),
        ),
        (Event::Burned { reception_id }, json!({"event": "burned", "reception_id": ID})),
        (Event::Expired { reception_id }, json!({"event": "expired", "reception_id": ID})),
        (Event::Cancelled { reception_id }, json!({"event": "cancelled", "reception_id": ID})),
        (Event::Ended { session_id, reason }, json!({"event": "ended", "session_id": ID, "reason": "customer_ended"})),
    ] {
        body(&event, &json);
    }
}

#[test]
fn session_bodies_are_as_documented() {
    for (answer, name) in [
        (ConsentAnswer::Granted, "granted"),
        (ConsentAnswer::Refused, "refused"),
        (ConsentAnswer::TakenBack, "taken_back"),
        (ConsentAnswer::Lapsed, "lapsed"),
    ] {
        body(&ConsentRequest { kind: GrantKind::View, answer }, &json!({"kind": "view", "answer": name}));
    }
    let fact = DeviceFact { kind: DeviceFactKind::OsName, value: "Debian".into() };
    let fact_json = json!({"kind": "os_name", "value": "Debian"});
    body(&DeviceRequest { facts: vec![fact.clone()] }, &json!({"facts": [fact_json]}));
    body(&EndRequest { reason: CloseReason::PeerLost }, &json!({"reason": "peer_lost"}));

    for (state, name) in [
        (SessionState::Joining, "joining"),
        (SessionState::Proving, "proving"),
        (SessionState::Consenting, "consenting"),
        (SessionState::Connected, "connected"),
        (SessionState::Ended, "ended"),
    ] {
        let session = SessionBody {
            session_id: SessionId::from_bytes([0xab; 16]),
            state,
            operator_name: "佐藤 花子".into(),
            reason: String::new(),
            entered_at_ms: 1,
            connected_at_ms: Some(2),
            ended_at_ms: None,
            duration_ms: None,
            end_reason: Some(CloseReason::Abnormal),
            device: vec![fact.clone()],
        };
        let json = json!({
            "session_id": ID, "state": name, "operator_name": "佐藤 花子", "reason": "", "entered_at_ms": 1,
            "connected_at_ms": 2, "ended_at_ms": null, "duration_ms": null, "end_reason": "abnormal",
            "device": [fact_json],
        });
        body(&session, &json);
        body(&SessionList { sessions: vec![session] }, &json!({"sessions": [json]}));
    }
}

#[test]
fn relay_bodies_are_as_documented() {
    let session_id = SessionId::from_bytes([0xab; 16]);
    let heartbeat = HeartbeatRequest {
        address: "relay1.example.jp:443".into(),
        spki: KEY.into(),
        version: "0.1.0".into(),
        draining: false,
        free_sessions: 5,
        sessions: vec![session_id],
    };
    let json = json!({
        "address": "relay1.example.jp:443", "spki": KEY, "version": "0.1.0", "draining": false,
        "free_sessions": 5, "sessions": [ID],
    });
    body(&heartbeat, &json);
    let answer = HeartbeatAnswer {
        ticket_keys: vec![TicketKey { key_id: "k".into(), public_key: KEY.into() }],
        revoked: vec![session_id],
        now_ms: 3,
        next_secs: 5,
    };
    let json = json!({
        "ticket_keys": [{"key_id": "k", "public_key": KEY}], "revoked": [ID], "now_ms": 3, "next_secs": 5,
    });
    body(&answer, &json);

    let event = |seq, what| ReportEvent { seq, session_id, at_ms: 9, what };
    let ended = ReportWhat::Ended { reason: CloseReason::OperatorEnded, customer_bytes: 7, operator_bytes: 8 };
    let report = ReportRequest {
        boot: ID.into(),
        events: vec![
            event(1, ReportWhat::Joined { role: Role::Customer }),
            event(2, ReportWhat::Paired),
            event(3, ended),
        ],
    };
    let json = json!({"boot": ID, "events": [
        {"seq": 1, "session_id": ID, "at_ms": 9, "what": "joined", "role": "customer"},
        {"seq": 2, "session_id": ID, "at_ms": 9, "what": "paired"},
        {"seq": 3, "session_id": ID, "at_ms": 9, "what": "ended", "reason": "operator_ended",
         "customer_bytes": 7, "operator_bytes": 8},
    ]});
    body(&report, &json);
    body(&ReportAnswer { stored_seq: 3 }, &json!({"stored_seq": 3}));
}

#[test]
fn refusals_are_as_documented() {
    let busy = ErrorBody { code: ErrorCode::Throttled, message: "wait".into(), retry_after_secs: Some(30) };
    body(&busy, &json!({"code": "throttled", "message": "wait", "retry_after_secs": 30}));
    let plain = ErrorBody { code: ErrorCode::NumberUnusable, message: "no".into(), retry_after_secs: None };
    body(&plain, &json!({"code": "number_unusable", "message": "no"}));
}
