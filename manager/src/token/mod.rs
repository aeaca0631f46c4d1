//! Tokens with which other programs call the API in the name of a company.
//!
//! Guarantees: a token does what its scopes say and its maker may do, asked anew for every request: when the maker is
//! stopped, deleted or must set a password first, loses the permission, or the company is suspended, the next request is
//! refused. It is shown once and stored as its hash, lives a year at most, and can be revoked.
//! No token makes tokens, sets or resets a password, changes a second factor, sends a link for a password, or touches an
//! account that administers others: no scope is for any of it, and `operator::edit` refuses it whatever asks.
//! It opens no page of the site and no route of the tools.

pub mod caller;
pub mod page;
pub mod scope;
pub mod store;

pub use self::{
    caller::By,
    scope::{Scope, Scopes},
};
