//! Whose boards are open at this manager, and how they are woken.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use proto::id::{CompanyId, OperatorId};
use tokio::sync::watch;

/// The open boards of this manager. Clones share them.
#[derive(Clone, Default)]
pub struct Hub(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    companies: BTreeMap<CompanyId, Watched>,
    /// Open streams of each account.
    accounts: BTreeMap<OperatorId, u16>,
    open: u32,
}

struct Watched {
    /// The newest number of the company's audit record; 0 when it was not looked up yet.
    newest: watch::Sender<i64>,
    open: u32,
}

/// One open stream; it counts until it is dropped.
pub struct Listener {
    hub: Hub,
    company_id: CompanyId,
    operator_id: OperatorId,
    newest: watch::Receiver<i64>,
}

impl Hub {
    /// Counts one more stream; `None` when the account has `account_max` or this manager `max` already.
    pub fn listen(
        &self,
        company_id: CompanyId,
        operator_id: OperatorId,
        account_max: u16,
        max: u32,
    ) -> Option<Listener> {
        let mut table = self.lock();
        let account = table.accounts.get(&operator_id).copied().unwrap_or_default();
        if max <= table.open || account_max <= account {
            return None;
        }
        table.open = table.open.saturating_add(1);
        table.accounts.insert(operator_id, account.saturating_add(1));
        let watched =
            table.companies.entry(company_id).or_insert_with(|| Watched { newest: watch::Sender::new(0), open: 0 });
        watched.open = watched.open.saturating_add(1);
        Some(Listener { hub: self.clone(), company_id, operator_id, newest: watched.newest.subscribe() })
    }

    /// Wakes the streams of a company when `newest` is news. The first number after a stream was opened is none: a
    /// browser asks for the rows when its stream opens.
    pub(super) fn saw(&self, company_id: CompanyId, newest: i64) {
        if let Some(watched) = self.lock().companies.get(&company_id) {
            watched.newest.send_if_modified(|known| {
                let is_news = *known != 0 && *known != newest;
                *known = newest;
                is_news
            });
        }
    }

    /// Whose boards are open.
    pub(super) fn companies(&self) -> Vec<CompanyId> {
        self.lock().companies.keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// Waits for news; some that came since the last call count. Cancel-safe.
    pub async fn woken(&mut self) {
        // The sender lives as long as its last listener.
        if self.newest.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut table = self.hub.lock();
        table.open = table.open.saturating_sub(1);
        if let Some(open) = table.accounts.get_mut(&self.operator_id) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                table.accounts.remove(&self.operator_id);
            }
        }
        if let Some(watched) = table.companies.get_mut(&self.company_id) {
            watched.open = watched.open.saturating_sub(1);
            if watched.open == 0 {
                table.companies.remove(&self.company_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPANY: CompanyId = CompanyId::from_bytes([1; 16]);

    const fn somebody(n: u8) -> OperatorId {
        OperatorId::from_bytes([n; 16])
    }

    #[test]
    fn streams_are_bounded_per_account_and_in_all() {
        let hub = Hub::default();
        let first = hub.listen(COMPANY, somebody(1), 2, 3);
        let second = hub.listen(COMPANY, somebody(1), 2, 3);
        assert!(first.is_some() && second.is_some());
        assert!(hub.listen(COMPANY, somebody(1), 2, 3).is_none(), "of one account");
        let third = hub.listen(COMPANY, somebody(2), 2, 3);
        assert!(third.is_some() && hub.listen(COMPANY, somebody(3), 2, 3).is_none(), "in all");
        drop(first);
        assert!(hub.listen(COMPANY, somebody(3), 2, 3).is_some());
        drop((second, third));
        assert!(hub.companies().is_empty() && hub.lock().accounts.is_empty());
    }

    #[tokio::test]
    async fn only_news_wakes_and_none_is_lost_before_the_wait() {
        let hub = Hub::default();
        let mut listener = hub.listen(COMPANY, somebody(1), 1, 1).unwrap();
        hub.saw(COMPANY, 7);
        assert!(!listener.newest.has_changed().unwrap(), "the first number is where it begins");
        hub.saw(COMPANY, 8);
        listener.woken().await;
        hub.saw(COMPANY, 8);
        assert!(!listener.newest.has_changed().unwrap());
    }
}
