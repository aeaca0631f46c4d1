//! Sessions: proved, consented, device facts, end, history.

use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};

use super::{UnixMillis, reception::RelayAddress};
use crate::{close::CloseReason, device::DeviceFact, grant::GrantKind, id::SessionId};

/// `POST` (either tool): both confirmations of the key exchange held. Repeatable.
pub const SESSION_PROVED: &str = "/v1/sessions/{session_id}/proved";
/// `POST` (customer): the customer gave a grant, [`ConsentRequest`]; the first `view` connects the session. Repeatable.
pub const SESSION_CONSENT: &str = "/v1/sessions/{session_id}/consent";
/// `POST` (customer): device facts the customer agreed to send, [`DeviceRequest`].
pub const SESSION_DEVICE: &str = "/v1/sessions/{session_id}/device";
/// `POST` (either tool): the session ended, [`EndRequest`]. Repeatable; the first reason counts.
pub const SESSION_END: &str = "/v1/sessions/{session_id}/end";
/// `POST` (either tool): a fresh ticket for the same proof key, with the relays of now, → [`RenewAnswer`]. A sign of life.
/// At most one in a second for each tool.
pub const SESSION_TICKET: &str = "/v1/sessions/{session_id}/ticket";
/// `GET` (operator): own sessions, newest first, [`SessionList`]. Query `limit` (1–200, 50 when absent).
pub const SESSIONS: &str = "/v1/sessions";
/// `GET`, `PUT` (operator): case number, category, result, customer and note of an own session, [`CaseRequest`] →
/// [`CaseBody`].
pub const SESSION_CASE: &str = "/v1/sessions/{session_id}/case";
/// `GET` (operator): the categories that the company offers, [`CategoryList`].
pub const CATEGORIES: &str = "/v1/categories";

/// Body of [`SESSION_CONSENT`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ConsentRequest {
    /// What was granted, refused, taken back or lapsed.
    pub kind: GrantKind,
    /// What the customer did, or what happened without them.
    pub answer: ConsentAnswer,
}

/// What a customer did with a grant, or what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConsentAnswer {
    /// Gave it.
    Granted,
    /// Said no, or nothing in time.
    Refused,
    /// Took it back.
    TakenBack,
    /// The customer did nothing: the operator's tool was started again, and with that the grant was over.
    Lapsed,
}

/// Body of [`SESSION_DEVICE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeviceRequest {
    /// At most [`crate::limits::DEVICE_FACTS_MAX`] facts.
    pub facts: Vec<DeviceFact>,
}

/// Body of [`SESSION_END`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EndRequest {
    /// Why, as the sender knows it.
    pub reason: CloseReason,
}

/// Answer of [`SESSION_TICKET`]. Prints without its ticket.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RenewAnswer {
    /// Admission to the relays (`proto/src/ticket.rs`).
    pub ticket: String,
    /// The relays of the ticket in the same order, with their addresses. Both tools are told the same order.
    pub relays: Vec<RelayAddress>,
    /// When the ticket stops admitting.
    pub expires_at_ms: UnixMillis,
}

impl std::fmt::Debug for RenewAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut answer = f.debug_struct("RenewAnswer");
        answer.field("relays", &self.relays).field("expires_at_ms", &self.expires_at_ms).finish_non_exhaustive()
    }
}

/// Answer of [`SESSIONS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SessionList {
    /// Newest first.
    pub sessions: Vec<SessionBody>,
}

/// One row of the support log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SessionBody {
    /// Its id.
    pub session_id: SessionId,
    /// Where it stands.
    pub state: SessionState,
    /// Name of the operator at that time.
    pub operator_name: String,
    /// Shown to the customer.
    pub reason: String,
    /// When the number was entered.
    pub entered_at_ms: UnixMillis,
    /// When the customer allowed the view, if that happened.
    pub connected_at_ms: Option<UnixMillis>,
    /// When it ended, if it has.
    pub ended_at_ms: Option<UnixMillis>,
    /// From connected to ended; only for sessions that connected and ended.
    pub duration_ms: Option<i64>,
    /// Why it ended.
    pub end_reason: Option<CloseReason>,
    /// Device facts the customer agreed to send. A kind that this version does not know is left out when it is read.
    #[serde(deserialize_with = "known_facts")]
    pub device: Vec<DeviceFact>,
}

/// Body of `PUT` [`SESSION_CASE`]: what is absent is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({ "case_number": "T-1024", "result": "resolved", "note": "", "version": 0 }))]
pub struct CaseRequest {
    /// The number of the case in the help desk's own system. One line, at most
    /// [`crate::limits::CASE_NUMBER_LEN_MAX`] characters.
    #[serde(default)]
    pub case_number: String,
    /// One of [`CATEGORIES`].
    #[serde(default)]
    pub category_id: Option<String>,
    /// What came of it.
    #[serde(default)]
    pub result: Option<CaseResult>,
    /// Who was helped. One line, at most [`crate::limits::CUSTOMER_NAME_LEN_MAX`] characters.
    #[serde(default)]
    pub customer_name: String,
    /// Anything else, at most [`crate::limits::NOTE_LEN_MAX`] characters.
    #[serde(default)]
    pub note: String,
    /// The version that was read; another one means that somebody else wrote meanwhile.
    pub version: i64,
}

/// What is written about a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CaseBody {
    /// The number of the case in the help desk's own system.
    pub case_number: String,
    /// One of the company's categories.
    pub category_id: Option<String>,
    /// Its name.
    pub category: Option<String>,
    /// What came of it.
    pub result: Option<CaseResult>,
    /// Who was helped.
    pub customer_name: String,
    /// Anything else.
    pub note: String,
    /// Counts changes.
    pub version: i64,
}

/// What came of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CaseResult {
    /// Solved.
    Resolved,
    /// Goes on.
    Ongoing,
    /// Given to somebody else.
    HandedOver,
    /// Not solved.
    Unresolved,
}

impl CaseResult {
    /// Every result.
    pub const ALL: [Self; 4] = [Self::Resolved, Self::Ongoing, Self::HandedOver, Self::Unresolved];

    /// The name in the API, in files and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::Ongoing => "ongoing",
            Self::HandedOver => "handed_over",
            Self::Unresolved => "unresolved",
        }
    }

    /// The result of a name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|result| result.as_str() == name)
    }
}

/// Answer of [`CATEGORIES`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CategoryList {
    /// By name.
    pub categories: Vec<CategoryBody>,
}

/// One category of a company.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CategoryBody {
    /// Its id.
    pub category_id: String,
    /// Its name.
    pub name: String,
}

/// States of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Entered; the tools are on their way to the relay.
    Joining,
    /// Both sides are at the relay.
    Proving,
    /// The secret is proved; the customer is asked.
    Consenting,
    /// The customer allowed the view.
    Connected,
    /// Over.
    Ended,
}

fn known_facts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<DeviceFact>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Fact {
        Known(DeviceFact),
        Unknown(IgnoredAny),
    }

    let facts = Vec::<Fact>::deserialize(deserializer)?;
    let known = |fact| match fact {
        Fact::Known(fact) => Some(fact),
        Fact::Unknown(IgnoredAny) => None,
    };
    Ok(facts.into_iter().filter_map(known).collect())
}
