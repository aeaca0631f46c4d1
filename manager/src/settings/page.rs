//! What the pages of settings share: the form, and the page that asks once more.

use askama::Template;

use super::fields::{Fields, Mistakes};
use crate::site::Frame;

/// The form of a sheet.
#[derive(Debug, Clone)]
pub struct SheetForm {
    /// Where it goes.
    pub address: &'static str,
    /// What stands in it.
    pub fields: Fields,
    /// What is wrong with it.
    pub mistakes: Mistakes,
    /// The hash of what it was filled from.
    pub seen: String,
}

/// A value before and after.
#[derive(Debug, Clone)]
pub struct Line {
    /// What it is called.
    pub name: &'static str,
    /// Before.
    pub old: String,
    /// After.
    pub new: String,
}

/// What a change means, before it is made.
#[derive(Template)]
#[template(path = "settings/confirm.html")]
pub struct ConfirmPage {
    /// The frame.
    pub frame: Frame,
    /// The sheet.
    pub title: &'static str,
    /// Where the form goes.
    pub address: &'static str,
    /// What changes.
    pub lines: Vec<Line>,
    /// For whom.
    pub effects: Vec<String>,
    /// What must be confirmed apart.
    pub warnings: Vec<String>,
    /// Whether that was forgotten.
    pub not_sure: bool,
    /// What was typed.
    pub pairs: Vec<(&'static str, String)>,
    /// The hash of what the form was filled from.
    pub seen: String,
}

impl SheetForm {
    /// What stands in a field.
    pub fn text(&self, key: &str) -> &str {
        self.fields.text(key)
    }

    /// Whether a box is ticked.
    pub fn is_on(&self, key: &str) -> bool {
        self.fields.is_on(key)
    }

    /// Whether something stands in a field whose name begins so, or is wrong with it.
    pub fn has_any(&self, begin: &str) -> bool {
        self.fields.has_any(begin) || self.mistakes.keys().any(|key| key.starts_with(begin))
    }

    /// What is wrong with a field.
    pub fn mistake(&self, key: &str) -> Option<&str> {
        self.mistakes.get(key).map(String::as_str)
    }
}
