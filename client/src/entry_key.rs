//! The proof key of the number that is being entered.
//!
//! A manager may store an entry whose answer is lost; it answers it again for the same proof key only. So the key
//! outlives the press of "connect" that drew it, and the customer who presses again, or types the same number again,
//! gets the session that is there already. It is in memory only. Before it the typed number, after it `enter.rs`.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use proto::{number::Locator, ticket::ProofKey};
use rand_core::CryptoRngCore;
use tokio::time::Instant;

/// How long a number keeps its key after it was entered: 90 s, in which a manager answers an entry again, after the
/// last try of that press, which is over 58 s after its beginning (`enter.rs`), and 2 s to spare. Source:
/// `session.joining_max` of the manager, its default.
pub const KEPT_MAX: Duration = Duration::from_secs(150);

/// The key of the number that was entered last; a clone is the same one.
///
/// Guarantees: a number that is entered again within [`KEPT_MAX`] has the key that it had, until its operator was met;
/// any other entry has a new key. One key is kept at most, until the next number, the meeting or the end of the
/// program, and is wiped when nobody has it any more. A number is known by the digits that the manager gets: the secret
/// ones are not kept here, and whoever mistyped only those keeps the key.
#[derive(Debug, Clone, Default)]
pub struct EntryKey(Arc<Mutex<Option<Kept>>>);

#[derive(Debug)]
struct Kept {
    locator: Locator,
    proof_key: Arc<ProofKey>,
    entered_at: Instant,
}

impl EntryKey {
    /// No number was entered yet.
    pub fn none() -> Self {
        Self::default()
    }

    /// The key for a number that is entered now.
    pub fn of(&self, locator: Locator, now: Instant, rng: &mut impl CryptoRngCore) -> Arc<ProofKey> {
        let mut kept = self.kept();
        let is_same =
            |kept: &Kept| kept.locator == locator && now.saturating_duration_since(kept.entered_at) < KEPT_MAX;
        let same = kept.take().filter(is_same).map(|kept| kept.proof_key);
        let proof_key = same.unwrap_or_else(|| Arc::new(ProofKey::random(rng)));
        *kept = Some(Kept { locator, proof_key: Arc::clone(&proof_key), entered_at: now });
        proof_key
    }

    /// The operator was met: the number is used, and nothing is entered with its key any more.
    pub fn forget(&self) {
        *self.kept() = None;
    }

    /// No await while the guard lives.
    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::*;

    /// The public half of the key for a number that is entered `secs` after `begun`.
    fn entered(entry_key: &EntryKey, locator: &str, begun: Instant, secs: u64) -> [u8; 32] {
        entry_key.of(locator.parse().unwrap(), begun + Duration::from_secs(secs), &mut OsRng).public()
    }

    #[test]
    fn a_number_that_is_entered_again_keeps_its_key_until_its_time_is_over() {
        let (entry_key, begun) = (EntryKey::none(), Instant::now());
        let key = entered(&entry_key, "412905", begun, 0);
        assert_eq!(entered(&entry_key.clone(), "412905", begun, 149), key, "the next visit has it too");
        assert_eq!(entered(&entry_key, "412905", begun, 298), key, "its time is counted from the last entry");
        let next = entered(&entry_key, "412905", begun, 448);
        assert_ne!(next, key, "a manager does not answer again any more");
        assert_eq!(entered(&entry_key, "412905", begun, 449), next);
    }

    #[test]
    fn another_number_has_another_key_and_so_has_the_first_one_after_it() {
        let (entry_key, begun) = (EntryKey::none(), Instant::now());
        let first = entered(&entry_key, "412905", begun, 0);
        let other = entered(&entry_key, "412906", begun, 1);
        let again = entered(&entry_key, "412905", begun, 2);
        assert!(first != other && other != again && first != again, "one key is kept and no more");
    }

    #[test]
    fn a_number_whose_operator_was_met_has_a_new_key() {
        let (entry_key, begun) = (EntryKey::none(), Instant::now());
        let key = entered(&entry_key, "412905", begun, 0);
        entry_key.clone().forget();
        assert_ne!(entered(&entry_key, "412905", begun, 1), key);
    }
}
