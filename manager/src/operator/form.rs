//! The form of an account: what was typed, what is wrong with it, and what can be chosen.

use proto::id::OperatorId;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{
    edit::{self, EditError, Values},
    fields::{self, Typed, Wrong},
    list::Row,
};
use crate::{
    db::Tx,
    login::SiteLogin,
    organisation::store::Organisation,
    role::{self, Role},
    site::{Problem, Words, frame::role_name},
};

/// A role that can be chosen.
pub(super) struct RoleChoice {
    pub(super) value: String,
    pub(super) name: String,
}

/// What was typed into the form of an account.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filled {
    pub(super) user: String,
    pub(super) name: String,
    pub(super) kana: String,
    pub(super) email: String,
    pub(super) role: String,
    pub(super) organisation: String,
    pub(super) groups: Vec<String>,
    pub(super) version: i64,
    /// One's own, with an own address that is new.
    pub(super) password: Zeroizing<String>,
}

/// What is wrong with it, by field.
#[derive(Debug, Clone, Default)]
pub(super) struct Mistakes {
    pub(super) user: Option<&'static str>,
    pub(super) name: Option<&'static str>,
    pub(super) kana: Option<&'static str>,
    pub(super) email: Option<&'static str>,
    pub(super) password: Option<&'static str>,
    pub(super) role: Option<&'static str>,
    pub(super) organisation: Option<&'static str>,
    /// What is wrong with no field.
    pub(super) all: Option<&'static str>,
}

impl Filled {
    /// What stands in the form before anybody types.
    pub(super) fn of(row: &Row) -> Self {
        Self {
            user: row.user_id.clone(),
            name: row.name.clone(),
            kana: row.kana.clone(),
            email: row.email.clone(),
            role: row.role_id.clone().unwrap_or_else(|| row.role.clone()),
            organisation: row.organisation_id.clone().unwrap_or_default(),
            groups: Vec::new(),
            version: row.version,
            password: Zeroizing::default(),
        }
    }
}

impl Filled {
    /// Whether a group is ticked.
    pub(super) fn has_group(&self, group_id: &str) -> bool {
        self.groups.iter().any(|id| id == group_id)
    }
}

impl Mistakes {
    pub(super) const fn is_empty(&self) -> bool {
        self.user.is_none()
            && self.name.is_none()
            && self.kana.is_none()
            && self.email.is_none()
            && self.password.is_none()
            && self.role.is_none()
            && self.organisation.is_none()
            && self.all.is_none()
    }
}

/// The roles that can be chosen, the product's first.
pub(super) async fn role_choices(tx: &mut Tx, login: &SiteLogin) -> Result<Vec<RoleChoice>, Problem> {
    let words = Words::of(login.lang);
    let product = Role::ALL
        .into_iter()
        .map(|role| RoleChoice { value: role.to_string(), name: role_name(role, words).to_owned() });
    let company = role::store::of_company(tx, login.company_id).await?;
    let company = company.into_iter().map(|role| RoleChoice { value: role.role_id, name: role.name });
    Ok(product.chain(company).collect())
}

pub(super) async fn moved(
    tx: &mut Tx,
    login: &SiteLogin,
    operator_id: OperatorId,
    before: &str,
    into: Option<&Organisation>,
    now: i64,
) -> Result<(), Problem> {
    let into = into.map(|into| (into.id.as_str(), into.name.as_str()));
    match edit::place_in(tx, login, operator_id, before, into, now).await {
        Ok(()) => Ok(()),
        Err(EditError::Db(error)) => Err(error.into()),
        Err(_) => Err(Problem::Internal),
    }
}

/// What was typed as values, and what is wrong with it.
pub(super) async fn read_values(
    tx: &mut Tx,
    login: &SiteLogin,
    filled: &Filled,
    words: &'static Words,
) -> Result<(Option<Values>, Mistakes), Problem> {
    let w = &words.operators;
    let typed = Typed { name: &filled.name, kana: &filled.kana, email: &filled.email, role: &filled.role };
    let mut mistakes = Mistakes::default();
    let wrong = match fields::read(tx, login, typed).await? {
        Ok(values) => return Ok((Some(values), mistakes)),
        Err(wrong) => wrong,
    };
    for field in wrong {
        match field {
            Wrong::Name => mistakes.name = Some(w.name_wrong),
            Wrong::Kana => mistakes.kana = Some(w.kana_wrong),
            Wrong::Email => mistakes.email = Some(w.email_wrong),
            Wrong::Role => mistakes.role = Some(w.role_wrong),
        }
    }
    Ok((None, mistakes))
}

/// Puts what stood against a change beside the field that it is about.
pub(super) fn place(error: EditError, mistakes: &mut Mistakes, words: &'static Words) -> Result<(), Problem> {
    let w = &words.operators;
    match error {
        EditError::Taken => mistakes.user = Some(w.user_taken),
        EditError::NoSeat => mistakes.all = Some(w.no_seat),
        EditError::TooWide => mistakes.role = Some(w.role_too_wide),
        EditError::LastAdmin => mistakes.all = Some(w.last_admin),
        EditError::Oneself => mistakes.all = Some(w.oneself),
        EditError::Unproved => mistakes.password = Some(w.password_wrong),
        EditError::ByToken => return Err(Problem::Forbidden),
        EditError::NoMail => mistakes.all = Some(w.no_mail),
        EditError::Changed => return Err(Problem::Changed { back: "/operators".to_owned() }),
        EditError::Db(error) => return Err(error.into()),
    }
    Ok(())
}
