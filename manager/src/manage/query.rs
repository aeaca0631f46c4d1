//! What stands behind the `?` of a list: declared once for the document and for the check.
//!
//! The site takes what it cannot read as nothing, because people type into addresses; a program is told.

use std::marker::PhantomData;

use axum::{extract::FromRequestParts, http::request::Parts};
use jiff::civil::Date;
use utoipa::{
    IntoParams,
    openapi::{
        Required,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type},
    },
};

use crate::{
    app::App,
    error::{ApiError, ApiResult},
    list::{Asked, Column, Cursor, Listing, Params},
};

/// Longest text of a filter, in characters.
const TEXT_LEN_MAX: usize = 200;
/// Longest cursor, in characters.
const CURSOR_LEN_MAX: usize = 600;
/// Most rows of a page.
const SIZE_MAX: i64 = 200;

/// A filter of a list.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// What it does.
    pub what: &'static str,
}

/// What a filter may be.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Any text.
    Text,
    /// A day (`2026-04-01`) in the company's time zone.
    Day,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A number from 0 on.
    Count,
    /// `past` of an answer.
    Past,
}

/// The filter of a list that looks for words in its newest rows only.
pub const PAST: Filter = Filter {
    name: "past",
    kind: Kind::Past,
    what: "`past` of an answer: look in what is older than that one looked in",
};

/// A list, or another thing that can be asked for with filters.
pub trait Asking: Send + Sync {
    /// Its filters.
    const FILTERS: &'static [Filter];
    /// What it can be ordered by; without any it has no pages.
    const COLUMNS: &'static [Column];
}

/// The filters, the order and the place of a request, all of which can be read.
#[derive(Debug)]
pub struct ListQuery<L> {
    /// As the lists of the site read them.
    pub params: Params,
    size: Option<i64>,
    list: PhantomData<L>,
}

impl<L: Listing> ListQuery<L> {
    /// The order and the place.
    pub fn asked(&self) -> Asked {
        let asked = Asked::read::<L>(&self.params);
        Asked { size: self.size.unwrap_or(asked.size), ..asked }
    }
}

impl<L: Asking> FromRequestParts<App> for ListQuery<L> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> ApiResult<Self> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs: Vec<(String, String)> = serde_html_form::from_str(query)
            .map_err(|_unreadable| ApiError::bad_request("what stands behind the ? cannot be read"))?;
        let mut size = None;
        for (name, value) in &pairs {
            if name == "size" && !L::COLUMNS.is_empty() {
                size = Some(read_size(value)?);
            } else {
                check::<L>(name, value)?;
            }
        }
        Ok(Self { params: Params::parse(query), size, list: PhantomData })
    }
}

impl<L: Asking> IntoParams for ListQuery<L> {
    fn into_params(_place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = |max: usize| ObjectBuilder::new().schema_type(Type::String).max_length(Some(max));
        let mut params: Vec<Parameter> = L::FILTERS.iter().map(parameter).collect();
        if !L::COLUMNS.is_empty() {
            let sorts = L::COLUMNS.iter().flat_map(|column| [column.key.to_owned(), format!("-{}", column.key)]);
            let sort = text(TEXT_LEN_MAX).max_length(None).enum_values(Some(sorts));
            let size = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(SIZE_MAX));
            let place = || text(CURSOR_LEN_MAX).pattern(Some("^[0-9A-Za-z]+~[^\\u0000]*$"));
            params.push(built("sort", "The order; with - the other way round than usual", sort));
            params.push(built("size", "Rows of a page; 50 without", size));
            params.push(built("after", "`after` of the answer before: the next page", place()));
            params.push(built("before", "`before` of the answer before: the page before", place()));
        }
        params
    }
}

fn parameter(filter: &Filter) -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::String);
    let schema = match filter.kind {
        Kind::Text => schema.max_length(Some(TEXT_LEN_MAX)).pattern(Some("^[^\\u0000]*$")),
        Kind::Day => schema.format(Some(SchemaFormat::KnownFormat(KnownFormat::Date))),
        Kind::OneOf(values) => schema.enum_values(Some(values.iter().copied())),
        Kind::Count => ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).maximum(Some(1_000_000)),
        Kind::Past => ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).maximum(Some(i64::MAX)),
    };
    built(filter.name, filter.what, schema)
}

fn built(name: &str, what: &str, schema: ObjectBuilder) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(what))
        .schema(Some(schema))
        .build()
}

fn read_size(value: &str) -> ApiResult<i64> {
    value
        .parse()
        .ok()
        .filter(|size| (1..=SIZE_MAX).contains(size))
        .ok_or(ApiError::bad_request("size must be from 1 to 200"))
}

/// Refuses a parameter that cannot be read, or that there is not.
fn check<L: Asking>(name: &str, value: &str) -> ApiResult<()> {
    let place = matches!(name, "after" | "before") && !L::COLUMNS.is_empty();
    if place {
        let cursor: Result<Cursor, ()> = value.parse();
        return cursor.map(drop).map_err(|()| ApiError::bad_request(format!("{name} is no cursor of an answer")));
    }
    if name == "sort" && !L::COLUMNS.is_empty() {
        let key = value.strip_prefix('-').unwrap_or(value);
        let known = L::COLUMNS.iter().any(|column| column.key == key);
        return known.then_some(()).ok_or(ApiError::bad_request("sort is none of the columns of this list"));
    }
    let filter = L::FILTERS.iter().find(|filter| filter.name == name);
    let Some(filter) = filter else {
        return Err(ApiError::bad_request("there is a parameter that this route does not have"));
    };
    let (good, what) = match filter.kind {
        Kind::Text => {
            (value.chars().count() <= TEXT_LEN_MAX && !value.contains('\0'), "a text of at most 200 characters")
        }
        Kind::Day => (value.parse::<Date>().is_ok() && value.len() == 10, "a day such as 2026-04-01"),
        Kind::OneOf(values) => (values.contains(&value), "one of its values"),
        Kind::Past => (value.parse::<i64>().is_ok_and(|past| 0 <= past), "`past` of an answer"),
        Kind::Count => (value.parse::<u32>().is_ok_and(|count| count <= 1_000_000), "a number from 0 to 1000000"),
    };
    if good { Ok(()) } else { Err(ApiError::bad_request(format!("{name} must be {what}"))) }
}
