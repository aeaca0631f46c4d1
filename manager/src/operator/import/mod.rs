//! Accounts by CSV: a file is read, shown as what it would do, and done as a whole or not at all.
//!
//! `read` makes records of a file, `plan` decides what each record means against the accounts that there are, `apply`
//! does it in one transaction, `page` shows it. Between the look and the deed others may have changed accounts, so the
//! plan is made anew in the transaction that does it.

mod apply;
pub mod page;
pub mod plan;
pub mod read;
pub mod store;

/// The largest file, in bytes.
pub const FILE_LEN_MAX: usize = 16 * 1024 * 1024;
/// Records of one file at most.
pub const RECORDS_MAX: usize = 100_000;
/// Accounts that one file may change: so many are done well within the time of a request (`http.request_timeout`).
pub const CHANGES_MAX: usize = 2_000;
/// Mistakes that are told; the others are counted.
pub const SHOWN_MAX: usize = 1_000;
/// Records that a page shows; a file has the others.
pub const LINES_MAX: usize = 100;
/// How long a file waits to be run.
pub const LIFE_MS: i64 = 60 * 60 * 1000;

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Every record is a new account.
    #[default]
    Add,
    /// Every record is an account that there is; columns that the file lacks stay as they are.
    Update,
    /// Accounts that there are not are added, others updated.
    Both,
    /// Every record is an account that goes; only its id counts.
    Delete,
}

impl Mode {
    /// Every mode, in the order of the form.
    pub const ALL: [Self; 4] = [Self::Add, Self::Update, Self::Both, Self::Delete];

    /// The value in forms and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Update => "update",
            Self::Both => "add_update",
            Self::Delete => "delete",
        }
    }

    /// Reads the value.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }
}
