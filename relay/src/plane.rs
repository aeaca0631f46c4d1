//! The relay's threads, apart so that no kind of work can starve another.
//!
//! - The *data plane*: one thread for each processor, each with a runtime of its own that waits for the sockets of its
//!   connections and for nothing else. Here frames are forwarded.
//! - The *door*: as many threads, for what strangers may ask for: accepts, TLS handshakes, tickets; and for QUIC. A
//!   handshake is half a millisecond of arithmetic, in which no frame could move; a flood of them fills the door and
//!   stops there, and how many may be under way is bounded for the sake of QUIC.
//! - *Control* (heartbeats, reports, metrics, certificates, draining) stays where [`Relay::serve`](crate::Relay::serve)
//!   was called.
//!
//! An admitted connection by TCP moves from the door to the data plane, always to the thread of its session's other
//! side: what one side sends is then written to the other without a lock that is contended, a wake-up of another thread,
//! or keys in another processor's cache. A session's thread is the one with the fewest connections when its first side
//! comes. That is why one listener deals connections out instead of one for each thread (`SO_REUSEPORT`): the system's
//! hash knows no sessions and would part most of them.
//!
//! An admitted connection by QUIC stays at the door, where its packets and acknowledgements are worked on anyway: to
//! hand each frame to the data plane and back would wake two threads more, and took 62 % of a processor for 200 sessions
//! of the recorded mix instead of 43 % (`loadtest bench relay`).

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

/// All threads but the one of the control work. Dropping it stops them and drops their tasks.
pub(crate) struct Threads {
    planes: Arc<Planes>,
    door: Handle,
    door_runtime: Option<Runtime>,
    running: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

/// The data-plane threads.
pub(crate) struct Planes(Vec<Plane>);

struct Plane {
    runtime: Handle,
    connections: Arc<AtomicUsize>,
}

/// A connection's place at a thread, counted there until it is dropped.
pub(crate) struct AtPlane(Arc<AtomicUsize>);

impl Threads {
    /// Starts `count` threads of the data plane, and as many for the door.
    ///
    /// # Errors
    /// The system gives no thread or nothing to wait with.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let door = Builder::new_multi_thread().worker_threads(count).thread_name("door").enable_all().build()?;
        let mut started = Self {
            planes: Arc::new(Planes(Vec::new())),
            door: door.handle().clone(),
            door_runtime: Some(door),
            running: Vec::new(),
            stop: stop.clone(),
        };
        let mut planes = Vec::new();
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            planes.push(Plane { runtime: runtime.handle().clone(), connections: Arc::default() });
            let stopped = stop.clone().cancelled_owned();
            let thread = thread::Builder::new().name(format!("data-{number}"));
            started.running.push(thread.spawn(move || runtime.block_on(stopped))?);
        }
        started.planes = Arc::new(Planes(planes));
        Ok(started)
    }

    /// Where connections are accepted and shake hands.
    pub(crate) const fn door(&self) -> &Handle {
        &self.door
    }

    /// The data plane.
    pub(crate) fn planes(&self) -> Arc<Planes> {
        Arc::clone(&self.planes)
    }

    /// Stops every thread, drops what still runs there, and waits until that is done.
    pub(crate) async fn stop(mut self) {
        let (door, running) = (self.door_runtime.take(), std::mem::take(&mut self.running));
        self.stop.cancel();
        let ended = tokio::task::spawn_blocking(move || {
            drop(door);
            for thread in running {
                if thread.join().is_err() {
                    tracing::error!(event = "plane.broken", "A thread of the data plane panicked");
                }
            }
        });
        if let Err(error) = ended.await {
            tracing::error!(event = "plane.broken", error = %error, "The data plane did not stop");
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(door) = self.door_runtime.take() {
            door.shutdown_background();
        }
    }
}

impl Planes {
    /// The thread with the fewest connections. Two that ask at once may get the same one.
    pub(crate) fn choose(&self) -> usize {
        let idlest = self.0.iter().enumerate().min_by_key(|(_, plane)| plane.connections.load(Ordering::Relaxed));
        idlest.map_or(0, |(number, _)| number)
    }

    /// The runtime of a thread, and a place there. Numbers come from [`Self::choose`].
    pub(crate) fn take(&self, number: usize) -> Option<(&Handle, AtPlane)> {
        let plane = self.0.get(number)?;
        plane.connections.fetch_add(1, Ordering::Relaxed);
        Some((&plane.runtime, AtPlane(Arc::clone(&plane.connections))))
    }
}

impl Drop for AtPlane {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_go_to_the_thread_with_the_fewest() {
        let threads = Threads::start(3).unwrap();
        let planes = threads.planes();

        let mut places: Vec<_> = (0..6).map(|_| planes.take(planes.choose()).unwrap().1).collect();
        let counts = |planes: &Planes| planes.0.iter().map(|plane| plane.connections.load(Ordering::Relaxed)).collect();
        let even: Vec<usize> = counts(&planes);
        drop(places.swap_remove(1));

        assert_eq!(even, [2, 2, 2]);
        assert_eq!(planes.choose(), 1);
        threads.stop().await;
    }

    #[tokio::test]
    async fn a_connection_runs_on_its_thread_and_is_dropped_when_that_stops() {
        let threads = Threads::start(2).unwrap();
        let planes = threads.planes();
        let (runtime, place) = planes.take(1).unwrap();

        let named = runtime.spawn(async { thread::current().name().map(str::to_owned) });
        let endless = runtime.spawn(async move {
            let _place = place;
            std::future::pending::<()>().await;
        });
        assert_eq!(named.await.unwrap().as_deref(), Some("data-1"));
        threads.stop().await;

        assert!(endless.await.unwrap_err().is_cancelled());
        assert_eq!(planes.choose(), 0, "its place is given back");
    }
}
