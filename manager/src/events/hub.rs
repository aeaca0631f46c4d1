//! Who is listening at this manager, and how they are woken.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use proto::id::OperatorId;
use tokio::sync::watch;

/// The open streams of this manager. Clones share them.
#[derive(Clone, Default)]
pub struct Hub(Arc<Mutex<BTreeMap<OperatorId, Listeners>>>);

struct Listeners {
    /// Counts up at each wake-up.
    wake: watch::Sender<u64>,
    /// The newest event that the safety look has seen.
    seen_seq: i64,
    open: u16,
}

/// One open stream; it counts until it is dropped.
pub struct Listener {
    hub: Hub,
    operator_id: OperatorId,
    wake: watch::Receiver<u64>,
}

impl Hub {
    /// Counts one more stream of an operator; `None` when there are `max` already.
    pub fn listen(&self, operator_id: OperatorId, max: u16) -> Option<Listener> {
        let mut table = self.lock();
        let listeners =
            table.entry(operator_id).or_insert_with(|| Listeners { wake: watch::Sender::new(0), seen_seq: 0, open: 0 });
        if max <= listeners.open {
            return None;
        }
        listeners.open = listeners.open.saturating_add(1);
        Some(Listener { hub: self.clone(), operator_id, wake: listeners.wake.subscribe() })
    }

    /// Tells the streams of an operator to look for new events.
    pub fn wake(&self, operator_id: OperatorId) {
        if let Some(listeners) = self.lock().get(&operator_id) {
            listeners.wake.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Tells every stream to look: what was missed is not known.
    pub fn wake_all(&self) {
        for listeners in self.lock().values() {
            listeners.wake.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Wakes the streams of an operator when `last_seq` is news to this manager.
    pub(super) fn saw(&self, operator_id: OperatorId, last_seq: i64) {
        if let Some(listeners) = self.lock().get_mut(&operator_id)
            && listeners.seen_seq < last_seq
        {
            listeners.seen_seq = last_seq;
            listeners.wake.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Whose streams are open.
    pub(super) fn operators(&self) -> Vec<OperatorId> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<OperatorId, Listeners>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// Waits for the next wake-up; one that came since the last call counts. Cancel-safe.
    pub async fn woken(&mut self) {
        // The sender lives as long as its last listener.
        if self.wake.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut table = self.hub.lock();
        if let Some(listeners) = table.get_mut(&self.operator_id) {
            listeners.open = listeners.open.saturating_sub(1);
            if listeners.open == 0 {
                table.remove(&self.operator_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOMEBODY: OperatorId = OperatorId::from_bytes([1; 16]);

    #[test]
    fn streams_are_counted_until_they_are_dropped() {
        let hub = Hub::default();
        let first = hub.listen(SOMEBODY, 2);
        let second = hub.listen(SOMEBODY, 2);
        assert!(first.is_some() && second.is_some());
        assert!(hub.listen(SOMEBODY, 2).is_none());
        drop(first);
        assert!(hub.listen(SOMEBODY, 2).is_some());
        drop(second);
        assert!(hub.operators().is_empty());
    }

    #[tokio::test]
    async fn a_wake_up_before_the_wait_is_not_lost() {
        let hub = Hub::default();
        let mut listener = hub.listen(SOMEBODY, 1).unwrap();
        hub.wake(SOMEBODY);
        listener.woken().await;
        hub.saw(SOMEBODY, 7);
        listener.woken().await;
        hub.saw(SOMEBODY, 7);
        assert!(!listener.wake.has_changed().unwrap());
    }
}
