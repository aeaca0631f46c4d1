//! The rows of the boards as they are shown.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use proto::device::DeviceFact;
use sha2::{Digest as _, Sha256};

use super::store::{OpenNumber, ROWS_MAX, RunningSession, WAITING};
use crate::{
    app::App,
    device::Device,
    login::SiteLogin,
    role::Permission,
    site::{Words, time},
};

/// What a board shows: its rows, and whether there are more.
pub(super) struct Board<L> {
    /// The rows.
    pub lines: Vec<L>,
    /// Whether there are more than are shown.
    pub more: bool,
    /// The time of the rows, for the counters of the browser.
    pub now_ms: i64,
    /// Names exactly these rows, whatever the counters say.
    pub tag: String,
}

/// One open number.
pub(super) struct NumberLine {
    /// The first digits, and dots for the rest.
    pub number: String,
    /// Its state in words.
    pub state: &'static str,
    /// How it is drawn.
    pub class: &'static str,
    /// When it was issued.
    pub issued: String,
    /// Time that is left.
    pub left: String,
    /// Time since it was issued.
    pub waited: String,
    /// Whom it is for, or who issued it.
    pub who: String,
    /// Name, model and system of the device when a device management started it; otherwise empty.
    pub device: String,
    /// Whether who looks may cancel it.
    pub may_act: bool,
    /// Whether it can be extended: one that waits for an operator cannot.
    pub may_extend: bool,
    /// The row.
    pub row: OpenNumber,
}

/// One running session.
pub(super) struct SessionLine {
    /// Name of the device.
    pub device: String,
    /// Its system.
    pub system: String,
    /// Its state in words.
    pub state: &'static str,
    /// How it is drawn.
    pub class: &'static str,
    /// When it began.
    pub began: String,
    /// Time since then.
    pub elapsed: String,
    /// The relay that it is sent to first.
    pub relay: String,
    /// What the customer allows.
    pub permissions: Vec<&'static str>,
    /// Whether who looks may end it.
    pub may_act: bool,
    /// The row.
    pub row: RunningSession,
}

impl Board<NumberLine> {
    /// Open numbers.
    pub(super) fn of_numbers(app: &App, login: &SiteLogin, mut rows: Vec<OpenNumber>) -> Self {
        let (words, zone, now_ms) = (Words::of(login.lang), login.zone(), app.now_ms());
        let more = cut(&mut rows);
        let tag = tag(login, &format!("{rows:?}{more}"));
        let lines = rows.into_iter().map(|row| NumberLine::new(app, login, words, &zone, row)).collect();
        Self { lines, more, now_ms, tag }
    }
}

impl Board<SessionLine> {
    /// Running sessions, with what customers allow and the names of relays.
    pub(super) fn of_sessions(
        app: &App,
        login: &SiteLogin,
        mut rows: Vec<RunningSession>,
        permissions: &BTreeMap<String, Vec<String>>,
        relays: &BTreeMap<String, String>,
    ) -> Self {
        let now_ms = app.now_ms();
        let more = cut(&mut rows);
        let tag = tag(login, &format!("{rows:?}{more}{permissions:?}{relays:?}"));
        let line = |row: RunningSession| {
            let allowed = permissions.get(&row.session_id).map(Vec::as_slice).unwrap_or_default();
            SessionLine::new(login, row, allowed, relays, now_ms)
        };
        Self { lines: rows.into_iter().map(line).collect(), more, now_ms, tag }
    }
}

/// Takes away the row that only says that there are more.
fn cut<T>(rows: &mut Vec<T>) -> bool {
    let max = usize::try_from(ROWS_MAX).unwrap_or(usize::MAX);
    let more = max < rows.len();
    rows.truncate(max);
    more
}

/// Names the rows for one login in one language; tells nothing of them.
fn tag(login: &SiteLogin, rows: &str) -> String {
    let hash = Sha256::new_with_prefix(login.csrf.as_bytes())
        .chain_update(login.lang.tag())
        .chain_update(login.permissions.to_string())
        .chain_update(rows);
    format!("\"{}\"", hex::encode(hash.finalize()))
}

/// Whether a role may do something about a row: its own always, others' with the permission to.
pub(super) fn may_act(login: &SiteLogin, operator_id: &str) -> bool {
    login.may(Permission::LiveAct)
        || (login.may(Permission::ReceptionIssue) && login.operator_id.to_string() == operator_id)
}

/// What is there of these, in one line.
fn joined(texts: [&str; 3]) -> String {
    texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" / ")
}

impl NumberLine {
    fn new(app: &App, login: &SiteLogin, words: &'static Words, zone: &TimeZone, row: OpenNumber) -> Self {
        let now_ms = app.now_ms();
        let locator = row.reception_id.parse().ok().and_then(|id| app.locators.open(&row.locator_sealed, id));
        let shown: String = locator.map(|locator| locator.as_str().chars().take(3).collect()).unwrap_or_default();
        let (state, class) = match row.state.as_str() {
            "entered" => (words.receptions.entered, "good"),
            WAITING => (words.live.taking, "warning"),
            _ => (words.live.waiting, "warning"),
        };
        let may_act = may_act(login, &row.operator_id);
        let device = Device::stored(row.managed.as_deref());
        let device = device.map_or_else(String::new, |device| joined([device.label(), &device.model, &device.os]));
        let who: &str = if row.operator_name.is_empty() { words.live.anybody } else { &row.operator_name };
        Self {
            who: who.to_owned(),
            device,
            number: format!("{shown:•<3}-•••-••••"),
            state,
            class,
            issued: time::seconds(row.issued_at_ms, zone),
            left: time::duration(row.expires_at_ms.saturating_sub(now_ms)),
            waited: time::duration(now_ms.saturating_sub(row.issued_at_ms)),
            may_act,
            may_extend: may_act && row.state != WAITING,
            row,
        }
    }
}

impl SessionLine {
    fn new(
        login: &SiteLogin,
        row: RunningSession,
        allowed: &[String],
        relays: &BTreeMap<String, String>,
        now_ms: i64,
    ) -> Self {
        let words = Words::of(login.lang);
        let facts: Vec<DeviceFact> = serde_json::from_str(&row.device).unwrap_or_default();
        let managed = Device::stored(row.managed.as_deref());
        // What the customer sent, or else what the device management says.
        let fact = |kind: &str, told: fn(&Device) -> &str| {
            let sent = facts.iter().find(|fact| fact.kind.as_str() == kind).map(|fact| fact.value.as_str());
            let told = sent.or(managed.as_ref().map(told)).filter(|text| !text.is_empty());
            told.unwrap_or("–").to_owned()
        };
        let relay_ids: Vec<String> = serde_json::from_str(&row.relay_ids).unwrap_or_default();
        let relay = relay_ids.first().and_then(|id| relays.get(id));
        Self {
            device: fact("host_name", Device::label),
            system: fact("os_name", |device| device.os.as_str()),
            state: words.sessions.get(&format!("state_{}", row.state)).unwrap_or(words.sessions.state_joining),
            class: if row.connected_at_ms.is_some() { "good" } else { "warning" },
            began: time::seconds(row.entered_at_ms, &login.zone()),
            elapsed: time::duration(now_ms.saturating_sub(row.entered_at_ms)),
            relay: relay.cloned().unwrap_or_else(|| "–".to_owned()),
            permissions: allowed.iter().filter_map(|kind| words.live.get(&format!("permission_{kind}"))).collect(),
            may_act: may_act(login, &row.operator_id),
            row,
        }
    }
}
