//! Proves the whole: real servers and real tools on this machine, driven from outside.
//!
//! Reading order: [`world`] starts the three servers ([`managers`] one manager or two), [`browser`] is one at the site, [`desktop`] a customer's X11 desktop, [`tool`] the two tools in
//! headless mode, [`editor`] types with them; [`demo`] runs one support session with all of them; [`figures`], [`memory`],
//! [`process`] and `private` measure;
//! [`trace`] judges what a server asked the kernel for; [`evil`] is a relay and a manager gone bad; [`load`] makes many
//! sessions at once, [`bench`] measures what the relay costs, [`run`] plays a scenario, [`fault`] lets relays die under
//! load, [`report`] shows what was found.
//! Everything listens on loopback only, is bounded in time, and is ended by its process id.

pub mod bench;
pub mod browser;
pub mod copy;
pub mod demo;
pub mod desktop;
pub mod editor;
pub mod evil;
pub mod fault;
pub mod figures;
pub mod keep;
pub mod load;
pub mod managers;
pub mod memory;
pub mod meter;
pub mod picture;
mod private;
pub mod process;
pub mod progress;
pub mod proxy;
pub mod report;
pub mod run;
pub mod stage;
pub mod tool;
pub mod trace;
pub mod world;
