//! What a device management tells of a device, and how far a start has come.

use proto::{
    api::UnixMillis,
    id::{CompanyId, OperatorId, ReceptionId},
};
use serde::{Deserialize, Serialize};

use crate::{company::is_shown, fold::fold_all};

/// Applications of a device at most.
pub const APPLICATIONS_MAX: usize = 300;
/// Characters of the id of a device, and of the name of an application, at most.
pub const ID_LEN_MAX: usize = 128;
/// Characters of every other value at most.
pub const VALUE_LEN_MAX: usize = 64;

/// A device as its device management describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its id in the device management, 1 to 128 characters, always the same for the same device.
    #[schema(max_length = 128, min_length = 1)]
    pub id: String,
    /// Its name, for people; may be empty.
    #[serde(default)]
    #[schema(max_length = 64)]
    pub name: String,
    /// Maker and model.
    #[serde(default)]
    #[schema(max_length = 64)]
    pub model: String,
    /// Operating system and version.
    #[serde(default)]
    #[schema(max_length = 64)]
    pub os: String,
    /// Serial number.
    #[serde(default)]
    #[schema(max_length = 64)]
    pub serial: String,
}

/// An application that is installed on a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// Its name, 1 to 128 characters.
    #[schema(max_length = 128, min_length = 1)]
    pub name: String,
    /// Its version; may be empty.
    #[serde(default)]
    #[schema(max_length = 64)]
    pub version: String,
}

/// How far a start has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartState {
    /// No operator has taken its number yet.
    Waiting,
    /// An operator has; its reception says more.
    Taken,
    /// Nobody took it in its time.
    Expired,
    /// It was called off, or the device was started anew.
    Cancelled,
}

/// A reception that a device management started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The id that its reception has, or will have.
    pub reception_id: ReceptionId,
    /// Whose device it is.
    pub company_id: CompanyId,
    /// The token that started it.
    pub token_id: String,
    /// The device.
    pub device: Device,
    /// What is installed on it.
    pub applications: Vec<Application>,
    /// Who uses it; may be empty.
    pub customer_name: String,
    /// The number of the case in another system; may be empty.
    pub case_number: String,
    /// Shown to the customer.
    pub reason: String,
    /// The only account that may take it.
    pub operator_id: Option<OperatorId>,
    /// The group whose accounts may take it.
    pub group_id: Option<String>,
    /// Its digits, sealed.
    pub locator_sealed: String,
    /// How far it has come.
    pub state: StartState,
    /// When it was started.
    pub started_at_ms: UnixMillis,
    /// How long its number lives.
    pub life_ms: i64,
    /// When nobody can take it any more.
    pub expires_at_ms: UnixMillis,
}

impl StartState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Taken, Self::Expired, Self::Cancelled];

    /// The value of the column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Taken => "taken",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the column.
    pub fn stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl Device {
    /// What it is found by.
    pub fn search(&self) -> String {
        fold_all(self.texts())
    }

    /// What people call it: its name, or else its id.
    pub fn label(&self) -> &str {
        if self.name.is_empty() { &self.id } else { &self.name }
    }

    /// Reads the column; nothing when it is empty or of another version.
    pub fn stored(text: Option<&str>) -> Option<Self> {
        serde_json::from_str(text?).ok()
    }

    /// Every text of it.
    pub fn texts(&self) -> [&str; 5] {
        [&self.id, &self.name, &self.model, &self.os, &self.serial]
    }

    /// What is wrong with it: the field, and what it should be.
    fn wrong(&self) -> Option<String> {
        if self.id.is_empty() || self.id.trim() != self.id || !is_line(&self.id, ID_LEN_MAX) {
            return Some(format!(
                "device.id must be one line of 1 to {ID_LEN_MAX} characters without spaces around it"
            ));
        }
        let fields = [("name", &self.name), ("model", &self.model), ("os", &self.os), ("serial", &self.serial)];
        let wrong = fields.into_iter().find(|(_, value)| !is_line(value, VALUE_LEN_MAX));
        wrong.map(|(name, _)| format!("device.{name} must be one line of at most {VALUE_LEN_MAX} characters"))
    }
}

/// What is wrong with a device and its applications: the field, and what it should be.
pub fn wrong(device: &Device, applications: &[Application]) -> Option<String> {
    if let Some(wrong) = device.wrong() {
        return Some(wrong);
    }
    if APPLICATIONS_MAX < applications.len() {
        let found = applications.len();
        return Some(format!("applications must have at most {APPLICATIONS_MAX} entries, this has {found}"));
    }
    applications.iter().enumerate().find_map(|(place, application)| {
        if application.name.is_empty() || !is_line(&application.name, ID_LEN_MAX) {
            return Some(format!("applications[{place}].name must be one line of 1 to {ID_LEN_MAX} characters"));
        }
        let good = is_line(&application.version, VALUE_LEN_MAX);
        (!good).then(|| format!("applications[{place}].version must be one line of at most {VALUE_LEN_MAX} characters"))
    })
}

/// Whether a text is one visible line.
pub fn is_line(text: &str, max: usize) -> bool {
    text.chars().count() <= max && text.chars().all(is_shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(id: &str) -> Device {
        Device { id: id.to_owned(), ..Device::default() }
    }

    #[test]
    fn a_device_has_an_id_and_lines() {
        assert_eq!(wrong(&device("a-1"), &[]), None);
        for id in ["", " a", "a\n", "a\u{202E}b", "a\0", &"x".repeat(129)] {
            assert!(wrong(&device(id), &[]).unwrap().starts_with("device.id must be"), "{id:?}");
        }
        let long = Device { serial: "あ".repeat(65), ..device("a") };
        assert!(wrong(&long, &[]).unwrap().starts_with("device.serial must be"));
    }

    #[test]
    fn the_application_that_is_wrong_is_named() {
        let one = |name: &str, version: &str| Application { name: name.to_owned(), version: version.to_owned() };
        let wrong = |applications: &[Application]| wrong(&device("a"), applications);
        assert_eq!(wrong(&vec![one("表計算", "1.2"); APPLICATIONS_MAX]), None);
        assert!(
            wrong(&vec![one("x", ""); APPLICATIONS_MAX + 1]).unwrap().contains("at most 300 entries, this has 301")
        );
        assert!(wrong(&[one("x", ""), one("", "")]).unwrap().starts_with("applications[1].name"));
        assert!(wrong(&[one("x", "1\t2")]).unwrap().starts_with("applications[0].version"));
    }

    #[test]
    fn a_device_comes_back_from_its_column_and_is_called_by_its_name() {
        let named = Device { name: "営業3号".to_owned(), ..device("a") };
        let text = serde_json::to_string(&named).unwrap();
        assert_eq!(Device::stored(Some(&text)), Some(named.clone()));
        assert_eq!((named.label(), device("a").label()), ("営業3号", "a"));
        assert_eq!(Device::stored(None), None);
        for state in StartState::ALL {
            assert_eq!(StartState::stored(state.as_str()), Some(state));
        }
    }
}
