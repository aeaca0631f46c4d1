//! What an account may do in effect, over whom, and which labels it has, for its page: the same rule as at its next request.

use super::list::Row;
use crate::{
    db::Tx,
    group::store::{self as groups, Group},
    login::SiteLogin,
    organisation::store::{Organisation, full_names},
    role::{self, Permission, Permissions, Reach},
    site::{Problem, Words, frame::role_name},
};

/// What an account may do.
pub(super) struct Effective {
    /// The role that the company's own role narrows.
    pub(super) base: Option<&'static str>,
    /// Over whom.
    pub(super) reach: String,
    /// What it may.
    pub(super) allowed: Vec<&'static str>,
    /// What it may not.
    pub(super) refused: Vec<&'static str>,
    /// Its groups: id and name.
    pub(super) groups: Vec<(String, String)>,
}

/// Reads it; `tree` and `all` are the organisations and groups that whoever looks sees.
pub(super) async fn read(
    tx: &mut Tx,
    login: &SiteLogin,
    row: &Row,
    tree: &[Organisation],
    all: &[Group],
) -> Result<Effective, Problem> {
    let words = Words::of(login.lang);
    let base = row.role();
    let (mut reach, mut permissions): (Reach, Permissions) = (base.reach(), base.permissions());
    let own = match &row.role_id {
        Some(role_id) => role::store::find(tx, login.company_id, role_id).await?,
        None => None,
    };
    if let Some(own) = &own {
        (reach, permissions) = (own.reach.min(reach), own.permissions.and(permissions));
    }
    let ids = groups::of_account(tx, &row.operator_id).await?;
    let of_account = all.iter().filter(|group| ids.contains(&group.id));
    let name = |may: bool| {
        let those = Permission::ALL.into_iter().filter(move |permission| permissions.has(*permission) == may);
        those.map(|permission| permission.name(words)).collect()
    };
    Ok(Effective {
        base: own.is_some().then(|| role_name(base, words)),
        reach: reach_of(row, reach, tree, words),
        allowed: name(true),
        refused: name(false),
        groups: of_account.map(|group| (group.id.clone(), group.name.clone())).collect(),
    })
}

/// Over whom, with the organisation by its full name.
fn reach_of(row: &Row, reach: Reach, tree: &[Organisation], words: &'static Words) -> String {
    let w = &words.operators;
    match (reach, &row.organisation_id) {
        (Reach::Company | Reach::Own, _) => reach.name(words).to_owned(),
        // Who belongs to no organisation has nobody but themselves.
        (Reach::Organisation, None) => w.reach_nowhere.to_owned(),
        (Reach::Organisation, Some(id)) => {
            let name = full_names(tree).remove(id).or_else(|| row.organisation.clone());
            w.reach_below(name.unwrap_or_default())
        }
    }
}
