//! The management server: decides and remembers.
//!
//! It issues reception numbers, brings two tools together, and keeps what happened. It never sees the secret half of a
//! number, a key of a session, or a picture. Any number of managers may share one PostgreSQL database; nothing that
//! must last is in their memory.
//! One folder is one slice: `api` (routes), `page` (the site's), `state` (decisions), `store` (rows), `sweep` (what
//! time does), `metrics`. `site` has what every page shares, `list` what every list does.
#![expect(clippy::doc_markdown, reason = "SQLite, PostgreSQL and OpenAPI are names, not code")]

pub mod app;

pub mod config;

pub mod router;

pub mod error;

pub mod extract;

pub mod bearer;

pub mod throttle;

pub mod signing_key;

pub mod column_key;

pub mod fold;

pub mod metrics;

pub mod db;

pub mod list;

pub mod audit;

pub mod admin;

pub mod company;

pub mod contract;

pub mod halt;

pub mod availability;

pub mod request;

pub mod role;

pub mod group;
pub mod operator;
pub mod organisation;

pub mod login;

pub mod provider;

pub mod token;

pub mod manage;

pub mod reception;

pub mod session;

pub mod device;

pub mod category;

pub mod relays;

pub mod events;

pub mod live;

pub mod statistics;

pub mod mail;

pub mod outward;

pub mod webhook;

pub mod manual;

pub mod notice;

pub mod terms;

pub mod settings;

pub mod site;

pub mod example;

pub mod serve;

pub mod cli;

pub use app::App;
