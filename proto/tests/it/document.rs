//! The tables of PROTOCOL.md say what the code says.

use std::time::Duration;

use proto::{
    api::{login, reception, relay, session},
    close::CloseReason,
    frame::{FrameType, Lane},
    grant::GrantKind,
    input::Input,
    limits,
    message::{Message, ScreenAck},
    screen::cursor::CursorShape,
};

const PROTOCOL: &str = include_str!("../../PROTOCOL.md");
const OPERATIONS: &str = include_str!("../../src/screen/ops.rs");
const LIMITS: &str = include_str!("../../src/limits.rs");

/// Rows of the first table under a heading, cut into their cells.
fn table(heading: &str) -> Vec<Vec<String>> {
    let start = format!("\n## {heading}\n");
    let (_, after) = PROTOCOL.split_once(&start).unwrap_or_else(|| panic!("no heading {heading} in PROTOCOL.md"));
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('`', "")).collect();
    let rows = after.lines().skip_while(|line| !line.starts_with('|'));
    rows.take_while(|line| line.starts_with('|')).skip(2).map(cells).collect()
}

#[test]
fn close_reasons_are_the_table() {
    let rows: Vec<(String, String)> =
        table("Close reasons").into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    let reasons: Vec<(String, String)> =
        CloseReason::ALL.iter().map(|reason| (reason.code().to_string(), reason.as_str().to_owned())).collect();
    assert_eq!(rows, reasons);
}

#[test]
fn frame_types_are_the_table() {
    let rows: Vec<String> = table("Frame types").into_iter().map(|row| format!("{} {}", row[0], row[1])).collect();
    let name = |kind: FrameType| format!("{:#04x} {kind:?}", kind.code());
    let types: Vec<String> = (0..=u8::MAX).filter_map(FrameType::from_code).map(name).collect();
    assert_eq!(rows, types);
}

#[test]
fn lanes_are_the_table() {
    let rows = table("Lanes and credit");
    for (row, lane) in rows.iter().zip(Lane::ALL) {
        let expected = [
            lane.code().to_string(),
            lane.as_str().to_owned(),
            lane.credit().to_string(),
            lane.message_len_max().to_string(),
        ];
        assert_eq!(row[..4], expected);
    }
    assert_eq!(rows.len(), Lane::ALL.len());
}

#[test]
fn limits_are_the_table() {
    let size = |value: usize| value.to_string();
    let secs = |time: Duration| format!("{} s", time.as_secs());
    let millis = |time: Duration| format!("{} ms", time.as_millis());
    macro_rules! values {
        ($($form:ident: $($name:ident)*;)*) => { vec![$($((stringify!($name), $form(limits::$name))),*),*] };
    }
    let count = |value: u64| value.to_string();
    let mut expected = values! {
        size: FRAME_PAYLOAD_MAX FRAME_HEADER_LEN SEAL_OVERHEAD SEALED_PLAIN_MAX TICKET_LEN_MAX TICKET_RELAYS_MAX
            INTRODUCTION_LEN_MAX PROXY_HEADER_LEN_MAX RELAY_QUEUE_MAX MESSAGE_LEN_MAX SCREEN_MESSAGE_LEN_MAX TEXT_LEN_MAX
            REASON_LEN_MAX CASE_NUMBER_LEN_MAX CUSTOMER_NAME_LEN_MAX NOTE_LEN_MAX TOOL_NAME_LEN_MAX MONITORS_MAX
            MONITOR_NAME_LEN_MAX DEVICE_FACTS_MAX DEVICE_FACT_LEN_MAX API_BODY_MAX RELAY_BODY_MAX HEARTBEAT_SESSIONS_MAX REPORT_EVENTS_MAX;
        count: CREDIT_CONTROL CREDIT_INPUT CREDIT_SCREEN CREDIT_BULK RATCHET_EVERY PICTURE_PIXELS_MAX;
        secs: TICKET_LIFE SESSION_LIFE_MAX CLOCK_SKEW_MAX TLS_HANDSHAKE_TIMEOUT HELLO_TIMEOUT PEER_TIMEOUT
            WRITE_STALL_TIMEOUT PING_INTERVAL PING_JITTER SILENCE_TIMEOUT PROVE_TIMEOUT CONSENT_TIMEOUT
            RECEPTION_LIFE_MIN RECEPTION_LIFE RECEPTION_LIFE_MAX LOCATOR_REST REJOIN_TIMEOUT LIVELY_FOR;
        millis: LIVELY_PING_INTERVAL LIVELY_SILENCE_TIMEOUT LIVELY_STALL_TIMEOUT;
    };
    expected.extend([
        ("PICTURE_EDGE_MAX", limits::PICTURE_EDGE_MAX.to_string()),
        ("CURSOR_EDGE_MAX", limits::CURSOR_EDGE_MAX.to_string()),
        ("RECEPTIONS_OPEN_MAX", limits::RECEPTIONS_OPEN_MAX.to_string()),
        ("UNPROVED_MAX", limits::UNPROVED_MAX.to_string()),
    ]);
    let declared: Vec<&str> = LIMITS
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ")?.split_once(':'))
        .map(|(name, _)| name)
        .collect();
    let rows = table("Limits");
    for name in &declared {
        let (_, value) = expected.iter().find(|(other, _)| other == name).unwrap_or_else(|| panic!("{name} is new"));
        let row = rows.iter().find(|row| row[0] == **name).unwrap_or_else(|| panic!("| `{name}` | {value} |"));
        assert_eq!(&row[1], value, "{name}");
    }
    assert_eq!(rows.len(), declared.len(), "no limit stands in the table only");
}

#[test]
fn messages_are_the_table() {
    let kind = GrantKind::View;
    let shape = CursorShape { width: 0, height: 0, hot_x: 0, hot_y: 0, bgra: vec![] };
    let all = [
        Message::Greeting { version: 1, tool: String::new() },
        Message::Ask { kind, reason: String::new() },
        Message::Granted { kind },
        Message::Refused { kind, timed_out: false },
        Message::TakenBack { kind },
        Message::Paused { paused: false },
        Message::End { reason: CloseReason::OperatorEnded },
        Message::Echo { nonce: 0 },
        Message::Echoed { nonce: 0 },
        Message::Monitors { monitors: vec![], shared: 0 },
        Message::ChooseMonitor { monitor: 0 },
        Message::ResetScreen,
        Message::Check { update: 0, hash: 0 },
        Message::Checked { update: 0, exact: false },
        Message::CursorShape(shape),
        Message::CursorPosition { x: 0, y: 0, visible: false },
        Message::Input(Input::ReleaseAll),
        Message::Screen(vec![]),
        Message::ScreenAck(ScreenAck { update: 0, bytes_total: 0, decode_us: 0 }),
        Message::Credit { lane: Lane::Control, taken: 0 },
        Message::Received { next: [0; 4] },
    ];
    let said: Vec<[String; 3]> = all
        .iter()
        .map(|message| {
            let name = format!("{message:?}").split(['(', ' ']).next().unwrap().to_owned();
            [message.encode().unwrap()[0].to_string(), name, message.lane().as_str().to_owned()]
        })
        .collect();
    let rows: Vec<[String; 3]> =
        table("Messages").into_iter().map(|row| [row[0].clone(), row[1].clone(), row[2].clone()]).collect();
    assert_eq!(rows, said);
}

#[test]
fn every_operation_of_a_screen_update_is_in_a_table() {
    let rows = OPERATIONS.lines().filter_map(|line| line.strip_prefix("//! | ")?.split(" | ").nth(1));
    let named = |row: &&str| row.starts_with(|c: char| c.is_ascii_uppercase()) && row.contains(": ");
    let operations: Vec<&str> = rows.filter(named).filter_map(|row| row.split(',').next()).collect();
    assert!(operations.len() > 3, "{operations:?}");
    for operation in operations {
        assert!(PROTOCOL.contains(&format!(" | {operation},")), "{operation}");
    }
}

#[test]
fn every_path_of_the_api_is_in_the_table() {
    let rows: Vec<String> = table("API of the manager").into_iter().map(|row| row[1].clone()).collect();
    for path in [
        login::LOGIN,
        login::LOGOUT,
        reception::RECEPTIONS,
        reception::RECEPTION_CANCEL,
        reception::RECEPTION_EXTEND,
        reception::ENTER,
        reception::EVENTS,
        session::SESSION_PROVED,
        session::SESSION_CONSENT,
        session::SESSION_DEVICE,
        session::SESSION_TICKET,
        session::SESSION_END,
        session::SESSIONS,
        relay::HEARTBEAT,
        relay::REPORT,
    ] {
        let stands = |row: &&String| row.split([' ', '?']).nth(1) == Some(path);
        assert!(rows.iter().any(|row| stands(&row)), "{path}");
    }
}

#[test]
fn the_document_is_short_and_has_one_sentence_a_line() {
    assert!(PROTOCOL.lines().count() <= 680);
    let mut fenced = false;
    for line in PROTOCOL.lines() {
        fenced ^= line.starts_with("```");
        let two = !fenced && !line.starts_with('|') && line.contains(". ");
        assert!(!two || line.starts_with(|c: char| c.is_ascii_digit()), "two sentences in: {line}");
    }
}
