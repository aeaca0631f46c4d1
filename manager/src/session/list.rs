//! The support log as a list: filters, order, and the file.

use std::borrow::Cow;

use jiff::tz::TimeZone;

use crate::{
    db::{
        DbResult, Tx,
        select::{Select, contains},
    },
    device::Device,
    fold::fold,
    list::{Asked, Column, Indexed, Kind, Listing, Newest, Params, Reach},
    login::SiteLogin,
    operator::list::below,
    site::time,
};

/// What can be asked of the support log.
#[derive(Debug, Clone)]
pub struct SupportLog {
    login: SiteLogin,
    search: Option<String>,
    since: Option<i64>,
    until: Option<i64>,
    past: Option<i64>,
    state: Option<String>,
    reason: Option<String>,
    operator_id: Option<String>,
    organisation: Option<String>,
    group: Option<String>,
    duration_min_ms: Option<i64>,
    category: Option<String>,
    result: Option<String>,
    device: Option<String>,
    region: Option<String>,
    one: Option<String>,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    /// Its id.
    pub session_id: String,
    /// The reception it came from.
    pub reception_id: String,
    /// The account.
    pub operator_id: String,
    /// Its name at that time.
    pub operator_name: String,
    /// What the customer was told.
    pub reason: String,
    /// Its state.
    pub state: String,
    /// When the number was entered.
    pub entered_at_ms: i64,
    /// When the customer allowed the view.
    pub connected_at_ms: Option<i64>,
    /// When it ended.
    pub ended_at_ms: Option<i64>,
    /// From connected to ended.
    pub duration_ms: Option<i64>,
    /// Why it ended.
    pub end_reason: Option<String>,
    /// What the customer sent about the device, JSON.
    pub device: String,
    /// Whether the customer allowed control.
    pub controlled: bool,
    /// The number of the case.
    pub case_number: String,
    /// Who was helped.
    pub customer_name: String,
    /// The name of the category.
    pub category: Option<String>,
    /// What came of it; empty when nobody wrote it.
    pub result: String,
    /// Anything else.
    pub note: String,
    /// The device as its device management described it, when that started it, JSON.
    pub managed: Option<String>,
    /// What was installed on it then, JSON.
    pub applications: Option<String>,
    /// Where both tools met first: `jp`, `eu`, `us`, or `none` when nobody has said where that relay is; empty when no
    /// relay told.
    pub region: String,
    /// Where else they met, spare connections included; with a space between.
    pub other_regions: String,
}

impl SupportLog {
    /// Reads the filters.
    pub fn read(params: &Params, login: &SiteLogin) -> Self {
        let zone = login.zone();
        let text = |name| params.text(name).map(str::to_owned);
        let minutes = params.text("minutes").and_then(|minutes| minutes.parse::<i64>().ok());
        Self {
            login: login.clone(),
            search: text("q"),
            since: params.day("from", &zone),
            until: params.day_end("to", &zone),
            past: params.number("past"),
            state: text("state"),
            reason: text("reason"),
            operator_id: text("operator"),
            group: params.text("group").map(str::to_owned),
            organisation: text("organisation"),
            duration_min_ms: minutes.map(|minutes| minutes.saturating_mul(60_000)),
            category: text("category"),
            result: text("result"),
            device: text("device"),
            region: text("region"),
            one: None,
        }
    }

    /// The condition of the longest sessions, as the index of their order has it.
    async fn long(&self, tx: &mut Tx, duration_min_ms: i64) -> DbResult<Indexed> {
        let select = "SELECT s.session_id FROM sessions s WHERE s.company_id =";
        Indexed::look(tx, select, self.login.company_id, "COALESCE(s.duration_ms, 0) >=", duration_min_ms).await
    }

    /// The list of one session, if the role of who asks reaches it.
    pub fn one(session_id: &str, login: &SiteLogin) -> Self {
        Self { one: Some(session_id.to_owned()), ..Self::read(&Params::default(), login) }
    }
}

/// Where a word is looked for.
const NEWEST: Newest = Newest {
    select: "SELECT entered_at_ms FROM sessions WHERE company_id =",
    column: "entered_at_ms",
    key: "s.entered_at_ms",
};

impl Listing for SupportLog {
    type Row = Row;
    const COLUMNS: &'static [Column] = &[
        Column { key: "began", sql: "s.entered_at_ms", kind: Kind::Number, descending: true },
        Column { key: "ended", sql: "COALESCE(s.ended_at_ms, 0)", kind: Kind::Number, descending: true },
        Column { key: "duration", sql: "COALESCE(s.duration_ms, 0)", kind: Kind::Number, descending: true },
        Column { key: "operator", sql: "s.operator_name", kind: Kind::Text, descending: false },
    ];
    const ID: &'static str = "s.session_id";
    const SELECT: &'static str = "s.session_id, s.reception_id, s.operator_id, s.operator_name, s.reason, s.state, \
        s.entered_at_ms, s.connected_at_ms, s.ended_at_ms, s.duration_ms, s.end_reason, s.device, \
        EXISTS (SELECT 1 FROM consents k WHERE k.session_id = s.session_id AND k.kind = 'control' AND k.answer = 'granted') \
        AS controlled, s.case_number, s.customer_name, \
        (SELECT y.name FROM categories y WHERE y.category_id = s.category_id) AS category, s.result, s.note, s.managed, \
        CASE WHEN s.managed IS NOT NULL THEN \
        (SELECT d.applications FROM device_starts d WHERE d.reception_id = s.reception_id) END AS applications, \
        s.region, s.other_regions";

    fn counted(&self) -> &'static str {
        let has_index =
            self.reason.is_some() || self.result.is_some() || self.category.is_some() || self.region.is_some();
        if has_index { "ORDER BY s.entered_at_ms DESC" } else { "" }
    }

    async fn reach(&self, tx: &mut Tx, _asked: &Asked) -> DbResult<Reach> {
        if self.search.is_none() {
            let indexed = match self.duration_min_ms {
                Some(duration) => Some(self.long(tx, duration).await?),
                None => None,
            };
            return Ok(Reach { indexed, ..Reach::default() });
        }
        let until = [self.until, self.past].into_iter().flatten().min();
        let reach = NEWEST.reach(tx, self.login.company_id, until).await?;
        // A period that is shorter is looked at whole.
        let past = reach.past.filter(|past| self.since < Some(*past));
        Ok(Reach { past, ..reach })
    }

    fn narrow(&self, select: &mut Select) {
        select
            .add("FROM sessions s JOIN operators o ON o.operator_id = s.operator_id")
            .add("LEFT JOIN organisations g ON g.organisation_id = o.organisation_id")
            .add("WHERE s.company_id =")
            .bind(self.login.company_id.to_string());
        self.login.narrow(select);
        if let Some(session_id) = &self.one {
            select.add("AND s.session_id =").bind(session_id);
        }
        if let Some(since) = self.since {
            select.add("AND s.entered_at_ms >=").bind(since);
        }
        if let Some(until) = self.until {
            select.add("AND s.entered_at_ms <").bind(until);
        }
        match self.state.as_deref() {
            Some("running") => {
                select.add("AND s.ended_at_ms IS NULL");
            }
            Some("connected") => {
                select.add("AND s.connected_at_ms IS NOT NULL");
            }
            Some("unconnected") => {
                select.add("AND s.connected_at_ms IS NULL AND s.ended_at_ms IS NOT NULL");
            }
            Some(_) | None => {}
        }
        if let Some(organisation_id) = &self.organisation {
            below(select, &self.login, organisation_id);
        }
        if let Some(group_id) = &self.group {
            select
                .add("AND EXISTS (SELECT 1 FROM account_group_members m WHERE m.operator_id = o.operator_id AND m.group_id =")
                .bind(group_id)
                .add(")");
        }
        if let Some(duration) = self.duration_min_ms {
            select.add("AND s.duration_ms >=").bind(duration);
        }
        match self.category.as_deref() {
            Some("none") => {
                select.add("AND s.category_id IS NULL");
            }
            Some(category_id) => {
                select.add("AND s.category_id =").bind(category_id);
            }
            None => {}
        }
        match self.result.as_deref() {
            Some("none") => {
                select.add("AND s.result = ''");
            }
            Some(result) => {
                select.add("AND s.result =").bind(result);
            }
            None => {}
        }
        for (is, wanted) in [
            ("AND s.end_reason =", &self.reason),
            ("AND s.operator_id =", &self.operator_id),
            ("AND s.managed_device =", &self.device),
            ("AND s.region =", &self.region),
        ] {
            if let Some(wanted) = wanted {
                select.add(is).bind(wanted);
            }
        }
        if let Some(search) = &self.search {
            select.add("AND s.search LIKE").bind(contains(&fold(search))).add("ESCAPE '!'");
        }
    }
}

/// Columns of the file.
pub const HEADS: [&str; 24] = [
    "session_id",
    "began",
    "connected",
    "ended",
    "duration_seconds",
    "operator",
    "reason",
    "state",
    "end_reason",
    "control",
    "device",
    "case_number",
    "customer",
    "category",
    "result",
    "note",
    "device_id",
    "device_name",
    "device_model",
    "device_os",
    "device_serial",
    "applications",
    "region",
    "other_regions",
];

/// Cells of one session in the file.
pub fn cells(row: &Row, zone: &TimeZone, cell: &mut dyn FnMut(Cow<'_, str>)) {
    let time = |at: Option<i64>| at.map(|at| time::machine(at, zone)).unwrap_or_default();
    cell(Cow::Borrowed(&row.session_id));
    for at in [Some(row.entered_at_ms), row.connected_at_ms, row.ended_at_ms] {
        cell(Cow::Owned(time(at)));
    }
    cell(Cow::Owned(row.duration_ms.map(|ms| (ms / 1000).to_string()).unwrap_or_default()));
    for text in [&row.operator_name, &row.reason, &row.state] {
        cell(Cow::Borrowed(text));
    }
    cell(Cow::Borrowed(row.end_reason.as_deref().unwrap_or_default()));
    cell(Cow::Borrowed(if row.controlled { "yes" } else { "no" }));
    cell(Cow::Borrowed(&row.device));
    cell(Cow::Borrowed(&row.case_number));
    cell(Cow::Borrowed(&row.customer_name));
    cell(Cow::Borrowed(row.category.as_deref().unwrap_or_default()));
    cell(Cow::Borrowed(&row.result));
    cell(Cow::Borrowed(&row.note));
    let managed = Device::stored(row.managed.as_deref()).unwrap_or_default();
    for text in managed.texts() {
        cell(Cow::Borrowed(text));
    }
    cell(Cow::Borrowed(row.applications.as_deref().unwrap_or_default()));
    for text in [&row.region, &row.other_regions] {
        cell(Cow::Borrowed(text));
    }
}
