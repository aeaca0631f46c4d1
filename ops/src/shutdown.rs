//! How a server stops: it drains at the first signal and stops at once at the second.

use std::io;

use tokio_util::sync::CancellationToken;
use tracing::info;

/// The two steps of stopping. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    draining: CancellationToken,
    forced: CancellationToken,
}

impl Shutdown {
    /// Nothing is asked for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens to SIGTERM and SIGINT on a task of its own: the first one drains, the second one forces.
    /// The task ends when [`Shutdown::forced`] is cancelled.
    ///
    /// # Errors
    /// The system refuses to install a signal handler.
    pub fn listen(&self) -> io::Result<()> {
        let mut signals = Signals::install()?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            while !shutdown.forced.is_cancelled() {
                tokio::select! {
                    biased;
                    () = shutdown.forced.cancelled() => break,
                    name = signals.next() => shutdown.signalled(name),
                }
            }
        });
        Ok(())
    }

    /// Cancelled once the server should take nothing new and let what runs come to its end.
    pub fn draining(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// Cancelled once the server should stop at once.
    pub fn forced(&self) -> CancellationToken {
        self.forced.clone()
    }

    /// Starts draining.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Stops at once; what drains is told too.
    pub fn force(&self) {
        self.draining.cancel();
        self.forced.cancel();
    }

    fn signalled(&self, signal: &'static str) {
        if self.draining.is_cancelled() {
            info!(event = "shutdown.forced", reason = signal, "Stopping at once");
            self.force();
        } else {
            info!(event = "shutdown.draining", reason = signal, "Draining; a second signal stops at once");
            self.drain();
        }
    }
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn install() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "Ctrl-C",
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_drains_and_the_second_forces() {
        let shutdown = Shutdown::new();

        shutdown.signalled("SIGTERM");
        assert!(shutdown.draining().is_cancelled() && !shutdown.forced().is_cancelled());

        shutdown.signalled("SIGINT");
        assert!(shutdown.forced().is_cancelled());
    }

    #[test]
    fn forcing_also_drains() {
        let shutdown = Shutdown::new();

        shutdown.force();

        assert!(shutdown.draining().is_cancelled());
    }
}
