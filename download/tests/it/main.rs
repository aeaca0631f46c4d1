//! The download server from outside: over TLS, byte by byte.

#![cfg(test)]

mod config;
mod files;
mod pages;
mod run;
mod strangers;
