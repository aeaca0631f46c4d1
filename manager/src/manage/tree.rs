//! What accounts are sorted by: organisations, groups and roles.

use axum::{Json, extract::State};
use serde::Serialize;

use super::answer::Refused;
use crate::{
    app::App,
    error::ApiResult,
    group::store::{self as groups, Group},
    organisation::store::{self as organisations, Organisation},
    role::{
        Permission, Permissions, Role,
        store::{self as roles, Custom},
    },
    token::{By, scope::AccountsRead},
};

/// The organisations that the maker of the token reaches.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ManagedOrganisations {
    /// Each behind the one above it, by name.
    organisations: Vec<ManagedOrganisation>,
}

/// An organisation.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ManagedOrganisation {
    /// Its id.
    organisation_id: String,
    /// The one above it.
    parent_id: Option<String>,
    /// Its name, unique in the company.
    name: String,
    /// Anything else.
    note: String,
    /// Accounts that belong to it.
    members: i64,
    /// Counts changes; a change must name it.
    version: i64,
}

/// The groups of a company.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ManagedGroups {
    /// By name.
    groups: Vec<ManagedGroup>,
}

/// A group.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ManagedGroup {
    /// Its id.
    group_id: String,
    /// Its name, unique in the company.
    name: String,
    /// Accounts that have it.
    members: i64,
    /// Counts changes; a change must name it.
    version: i64,
}

/// The roles that an account can have.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ManagedRoles {
    /// Those of the product, then those of the company by name.
    roles: Vec<ManagedRole>,
}

/// A role.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ManagedRole {
    /// What an account names as its `role`.
    role: String,
    /// The name that the company gave it; null for a role of the product.
    name: Option<String>,
    /// The role of the product that bounds it.
    base: String,
    /// Over whom it goes: `own`, `organisation` or `company`.
    reach: String,
    /// What it allows, for example `reception.issue`.
    permissions: Vec<String>,
}

impl From<Organisation> for ManagedOrganisation {
    fn from(row: Organisation) -> Self {
        let Organisation { id, parent_id, name, note, version, members, .. } = row;
        Self { organisation_id: id, parent_id, name, note, members, version }
    }
}

impl From<Group> for ManagedGroup {
    fn from(row: Group) -> Self {
        Self { group_id: row.id, name: row.name, members: row.members, version: row.version }
    }
}

impl From<Role> for ManagedRole {
    fn from(role: Role) -> Self {
        Self {
            role: role.to_string(),
            name: None,
            base: role.to_string(),
            reach: role.reach().as_str().to_owned(),
            permissions: names(role.permissions()),
        }
    }
}

impl From<Custom> for ManagedRole {
    fn from(role: Custom) -> Self {
        Self {
            reach: role.reach.min(role.base.reach()).as_str().to_owned(),
            permissions: names(role.permissions.and(role.base.permissions())),
            base: role.base.to_string(),
            role: role.role_id,
            name: Some(role.name),
        }
    }
}

fn names(permissions: Permissions) -> Vec<String> {
    permissions.iter().map(|permission| permission.as_str().to_owned()).collect()
}

/// The organisations that the maker of the token reaches.
#[utoipa::path(
    get, path = "/v1/manage/organisations", tag = "manage", operation_id = "manage_organisations",
    security(("token" = ["accounts.read"])),
    responses((status = 200, body = ManagedOrganisations), Refused),
)]
pub(super) async fn organisations(
    State(app): State<App>,
    by: By<AccountsRead>,
) -> ApiResult<Json<ManagedOrganisations>> {
    by.need(Permission::OperatorView)?;
    let mut tx = app.db.read().await?;
    let tree = organisations::reached(&mut tx, &by).await?;
    Ok(Json(ManagedOrganisations { organisations: tree.into_iter().map(ManagedOrganisation::from).collect() }))
}

/// The groups of the company.
#[utoipa::path(
    get, path = "/v1/manage/groups", tag = "manage", operation_id = "manage_groups",
    security(("token" = ["accounts.read"])),
    responses((status = 200, body = ManagedGroups), Refused),
)]
pub(super) async fn groups(State(app): State<App>, by: By<AccountsRead>) -> ApiResult<Json<ManagedGroups>> {
    by.need(Permission::OperatorView)?;
    let mut tx = app.db.read().await?;
    let groups = groups::of_company(&mut tx, by.company_id).await?;
    Ok(Json(ManagedGroups { groups: groups.into_iter().map(ManagedGroup::from).collect() }))
}

/// The roles that an account can have.
#[utoipa::path(
    get, path = "/v1/manage/roles", tag = "manage", operation_id = "manage_roles",
    security(("token" = ["accounts.read"])),
    responses((status = 200, body = ManagedRoles), Refused),
)]
pub(super) async fn roles(State(app): State<App>, by: By<AccountsRead>) -> ApiResult<Json<ManagedRoles>> {
    by.need(Permission::OperatorView)?;
    let mut tx = app.db.read().await?;
    let company = roles::of_company(&mut tx, by.company_id).await?;
    let product = Role::ALL.into_iter().map(ManagedRole::from);
    Ok(Json(ManagedRoles { roles: product.chain(company.into_iter().map(ManagedRole::from)).collect() }))
}
