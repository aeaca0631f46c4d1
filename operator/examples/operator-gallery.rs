//! Opens one page of the window with sample state, to look at it: `operator-gallery PAGE [ja|en]`.
//!
//! Pages: left, `not_rejoined`, `no_bookmark`, login, `login_error`, home, `home_empty`, `home_left`, number,
//! `number_unproved`, burned, meeting, asking, refused, session, control, `ask_dialog`, ended.

use std::sync::Arc;

use desk::{clock, lang::Lang, look};
use operator::{
    app::{
        App,
        event::{Event, FromSession, Left, Manager, Own, Verb},
    },
    failure::Failure,
    input::capture::Capture,
    login::Remembered,
    session::{self, Handle},
    text,
    ui::{Pages, View},
    window,
};
use proto::{
    api::{
        login::{LoginAnswer, NoticeBody},
        reception::{Event as Reception, Pairing, ReceptionBody, ReceptionState},
        session::{SessionBody, SessionState},
    },
    close::CloseReason,
    grant::GrantKind,
    id::{CompanyId, OperatorId, ReceptionId, SessionId},
    message::Monitor,
    number::ReceptionNumber,
    screen::{Damage, EncodeOptions, Encoder, Picture, Rect},
    ticket::ProofKey,
};
use rand_core::OsRng;
use tokio::{sync::mpsc, time::Instant};

const SESSION: SessionId = SessionId::from_bytes([9; 16]);

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let page = words.next().unwrap_or_else(|| "home".to_owned());
    let lang = words.next().and_then(|word| word.parse().ok()).unwrap_or(Lang::Ja);
    let view = view(&page, lang)?;
    let remembered = Remembered { company: "demo".into(), user: "yamada".into() };
    let mut pages = Pages::new(text::catalogue(lang)?, Capture::default(), remembered, jiff::tz::TimeZone::UTC);
    let mut dressed = false;
    eframe::run_ui_native("gallery", window::native_options(), move |ui, _frame| {
        if !dressed {
            look::apply(ui.ctx());
            dressed = true;
        }
        drop(pages.show(ui, &view, clock::now_ms()));
    })
    .map_err(|error| anyhow::anyhow!("{error}"))
}

fn view(page: &str, lang: Lang) -> anyhow::Result<View> {
    let mut app = App::default();
    let mut handle = None;
    let now = clock::now_ms();
    for event in events(page, lang, now)? {
        app.on(event, now);
    }
    if app.session.is_some() {
        handle = Some(handle_with_picture()?);
    }
    Ok(View { app: Arc::new(app), session: handle })
}

fn left(japanese: bool) -> Event {
    let say = |ja: &str, en: &str| if japanese { ja.to_owned() } else { en.to_owned() };
    Event::Left(Left {
        session_id: SESSION,
        reception_id: ReceptionId::from_bytes([3; 16]),
        company_name: say("サンプル商事", "Sample Trading Ltd."),
        operator_name: say("山田 花子", "Hanako Yamada"),
        reason: say("プリンターの設定を確認します", "Checking the printer settings"),
        viewed_at_ms: None,
        until_ms: i64::MAX,
    })
}

/// The pages of a session that an earlier process left.
fn left_by_an_earlier_process(page: &str, japanese: bool) -> Option<Vec<Event>> {
    let rejoin = Event::Wish(operator::app::event::Wish::Rejoin(SESSION));
    let session = |what| Event::Session(SESSION, what);
    Some(match page {
        "left" => vec![left(japanese)],
        "home_left" => vec![login(japanese), left(japanese), Event::Manager(Manager::History(Vec::new()))],
        "not_rejoined" => vec![left(japanese), rejoin, session(FromSession::Gone(CloseReason::PeerLost))],
        "no_bookmark" => {
            let history = Event::Manager(Manager::History(Vec::new()));
            vec![login(japanese), history, left(japanese), rejoin, session(FromSession::NoBookmark)]
        }
        _ => return None,
    })
}

fn events(page: &str, lang: Lang, now: i64) -> anyhow::Result<Vec<Event>> {
    let japanese = lang == Lang::Ja;
    if let Some(events) = left_by_an_earlier_process(page, japanese) {
        return Ok(events);
    }
    let failed = |code| Event::Manager(Manager::Failed(Verb::Login, Failure::new(code, "")));
    let session = |what| Event::Session(SESSION, what);
    let told = |event| Event::Manager(Manager::Told(event));
    let mut events = vec![login(japanese)];
    let number = || issued(3, "412-905-3381", japanese, now);
    let entered = || {
        let pairing =
            Pairing { session_id: SESSION, introduction: String::new(), ticket: String::new(), relays: Vec::new() };
        told(Reception::Entered { reception_id: ReceptionId::from_bytes([3; 16]), pairing })
    };
    let met = || session(FromSession::Met { safety_code: "482 913".into() });
    let running = || {
        [
            entered(),
            met(),
            session(FromSession::Granted(GrantKind::View)),
            session(FromSession::Monitors(vec![monitor(1, 0), monitor(2, 1920)], 1)),
        ]
    };
    match page {
        "login" => events.clear(),
        "login_error" => events = vec![failed("login_failed")],
        "home_empty" => events.push(Event::Manager(Manager::History(Vec::new()))),
        "number" => events.push(number()?),
        "number_unproved" => {
            let (reception_id, session_id) = (ReceptionId::from_bytes([3; 16]), SESSION);
            events.extend([number()?, entered(), session(FromSession::Gone(CloseReason::WrongSecret))]);
            events.push(told(Reception::Reopened { reception_id, session_id, unproved_count: 1 }));
        }
        "burned" => {
            let reception_id = ReceptionId::from_bytes([3; 16]);
            events.extend([number()?, told(Reception::Burned { reception_id })]);
        }
        "meeting" => events.extend([number()?, entered()]),
        "asking" => events.extend([number()?, entered(), met()]),
        "refused" => {
            let refused = FromSession::Refused { kind: GrantKind::View, timed_out: false };
            events.extend([number()?, entered(), met(), session(refused)]);
        }
        "session" => {
            events.push(number()?);
            events.extend(running());
        }
        "control" => {
            events.push(number()?);
            events.extend(running());
            events.push(session(FromSession::Granted(GrantKind::Control)));
        }
        "ended" => {
            events.push(number()?);
            events.extend(running());
            events.push(session(FromSession::Gone(CloseReason::CustomerEnded)));
        }
        _ => {
            events.extend([
                Event::Manager(Manager::History(history(japanese, now))),
                number()?,
                issued(4, "730-118-0246", japanese, now - 200_000)?,
                Event::Wish(operator::app::event::Wish::ShowHome),
            ]);
        }
    }
    Ok(events)
}

fn login(japanese: bool) -> Event {
    let (company, operator) =
        if japanese { ("例示商事株式会社", "山田 花子") } else { ("Example Trading", "Hanako Yamada") };
    let title = if japanese {
        "メンテナンスのお知らせ（2026/12/20 01:00 〜 2026/12/20 03:00）"
    } else {
        "Maintenance (2026/12/20 01:00 – 2026/12/20 03:00)"
    };
    let notices =
        vec![NoticeBody { notice_id: "00".into(), title: title.into(), important: true, ends_at_ms: i64::MAX }];
    Event::Manager(Manager::LoggedIn(LoginAnswer {
        token: String::new(),
        expires_at_ms: 0,
        operator_id: OperatorId::from_bytes([1; 16]),
        operator_name: operator.into(),
        company_id: CompanyId::from_bytes([2; 16]),
        company_name: company.into(),
        notices,
    }))
}

fn issued(id: u8, number: &str, japanese: bool, now: i64) -> anyhow::Result<Event> {
    let number = ReceptionNumber::parse(number)?;
    let body = ReceptionBody {
        reception_id: ReceptionId::from_bytes([id; 16]),
        locator: number.locator(),
        state: ReceptionState::Issued,
        reason: if japanese { "プリンターの設定" } else { "Printer settings" }.into(),
        issued_at_ms: now - 55_000,
        expires_at_ms: now + 545_000,
        unproved_count: 0,
    };
    let own = Own { number, proof_key: Arc::new(ProofKey::random(&mut OsRng)) };
    Ok(Event::Manager(Manager::Issued(own, body)))
}

fn history(japanese: bool, now: i64) -> Vec<SessionBody> {
    let reasons = if japanese {
        ["メールの設定", "プリンターの設定", "", "表計算の使い方"]
    } else {
        ["Mail settings", "Printer settings", "", "Help with a spreadsheet"]
    };
    let ends =
        [CloseReason::OperatorEnded, CloseReason::CustomerEnded, CloseReason::WrongSecret, CloseReason::PeerLost];
    reasons
        .into_iter()
        .zip(ends)
        .zip([5_i64, 42, 95, 1500])
        .map(|((reason, end), minutes)| {
            let entered_at_ms = now - minutes * 60_000;
            let duration_ms = (end != CloseReason::WrongSecret).then_some(minutes * 13_000 + 61_000);
            SessionBody {
                session_id: SESSION,
                state: SessionState::Ended,
                operator_name: String::new(),
                reason: reason.into(),
                entered_at_ms,
                connected_at_ms: Some(entered_at_ms),
                ended_at_ms: Some(now),
                duration_ms,
                end_reason: Some(end),
                device: Vec::new(),
            }
        })
        .collect()
}

fn monitor(id: u8, x: i32) -> Monitor {
    Monitor { id, x, y: 0, width: 1920, height: 1080, name: format!("DP-{id}"), primary: id == 1 }
}

/// A session with a drawn desktop, without a customer behind it.
fn handle_with_picture() -> anyhow::Result<Handle> {
    let (news, _) = mpsc::channel(1);
    let (handle, _) = session::open(SESSION, news, Arc::new(|| {}));
    let mut picture = Picture::new(1920, 1080)?;
    picture.fill(picture.rect(), [150, 110, 60]);
    for (x, y, width, height) in [(160, 120, 900, 640), (760, 330, 980, 620)] {
        picture.fill(Rect { x, y, width, height }, [250, 250, 250]);
        picture.fill(Rect { x, y, width, height: 38 }, [90, 70, 50]);
        for line in 0..12u16 {
            let width = 300 + line * 97 % 420;
            picture.fill(Rect { x: x + 40, y: y + 80 + line * 40, width, height: 12 }, [190, 180, 170]);
        }
    }
    picture.fill(Rect { x: 0, y: 1032, width: 1920, height: 48 }, [60, 45, 35]);
    let mut encoder = Encoder::new(EncodeOptions::default());
    if let Some(update) = encoder.encode(picture.as_ref(), Damage::Unknown)? {
        let mut receiver = operator::screen::receive::Receiver::new(handle.screen.clone());
        receiver.on_screen(&update.bytes, Instant::now(), Instant::now);
        receiver.on_check(update.update, encoder.settled_hash());
        handle.screen.lock().figures.round_trip = Some(std::time::Duration::from_millis(23));
    }
    Ok(handle)
}
