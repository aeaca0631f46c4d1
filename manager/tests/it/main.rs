//! The manager from outside: its routes, its rows on both engines, its command line.
#![cfg(test)]
#![expect(clippy::doc_markdown, reason = "SQLite and PostgreSQL are names, not code")]

mod testing;

mod asvs;
mod audit;
mod bounds;
mod breaches;
mod browser;
mod bulk;
mod cases;
mod cli;
mod company_settings;
mod config;
mod corpus;
mod devices;
mod doors;
mod events;
mod example;
mod fields;
mod forms;
mod imports;
mod lists;
mod live;
mod lives;
mod login;
mod mail;
mod manage;
mod manage_changes;
mod matrix;
mod migrations;
mod notices;
mod organisations;
mod proof;
mod provider;
mod reads;
mod reception;
mod relays;
mod renewal;
mod repeat;
mod roles;
mod saved;
mod server;
mod session;
mod settings;
mod site;
mod statistics;
mod store;
mod subtree;
mod system;
mod upgrades;
mod webhooks;
