//! What a tool keeps of a running session, so that it can rejoin it when it is started again.
//!
//! A bookmark says where the session is and holds what the tool needs to come back, also without the manager. It opens
//! no frame that was sealed: the other tool and a new exchange of keys are needed for that
//! (`proto/src/seal/rejoin.rs`). It lies in one file that only this user reads (`shelf.rs`).

mod shelf;

use std::sync::Arc;

use proto::{
    api::{
        UnixMillis,
        reception::{Pairing, RelayAddress},
    },
    id::ReceptionId,
    introduction::Introduction,
    role::Role,
    seal::rejoin::RejoinSecret,
    ticket::{ProofKey, Ticket},
};
use serde::{Deserialize, Serialize};

pub use self::shelf::{Found, Hold, Kept, Shelf};

/// Longest bookmark in bytes: ticket, introduction and four relays are 4 KiB.
pub const BOOKMARK_LEN_MAX: usize = 16 * 1024;
/// The form of the file; another one is not read.
const VERSION: u8 = 1;

/// See the module. Prints as nothing.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bookmark {
    version: u8,
    /// Which tool's it is.
    pub role: Role,
    /// The session, its newest ticket and the relays.
    pub pairing: Pairing,
    /// The key whose hash is in the ticket.
    #[serde(with = "proof_key")]
    pub proof_key: Arc<ProofKey>,
    /// With it new keys are made.
    #[serde(with = "secret")]
    pub secret: RejoinSecret,
    /// How often the tool was started again in this session.
    pub restarts: u32,
    /// The manager's address, and the bearer token there.
    pub manager: (String, String),
    /// When the customer allowed the view; nothing before that.
    pub viewed_at_ms: Option<UnixMillis>,
    /// The customer has paused.
    pub is_paused: bool,
    /// The reception, as the operator's tool knows it.
    pub reception_id: Option<ReceptionId>,
}

/// Bytes that are no bookmark of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a bookmark: {0}")]
pub struct NotABookmark(String);

impl Bookmark {
    /// A bookmark of a session that runs from now.
    pub const fn new(
        role: Role,
        pairing: Pairing,
        proof_key: Arc<ProofKey>,
        secret: RejoinSecret,
        manager: (String, String),
    ) -> Self {
        Self {
            version: VERSION,
            role,
            pairing,
            proof_key,
            secret,
            restarts: 0,
            manager,
            viewed_at_ms: None,
            is_paused: false,
            reception_id: None,
        }
    }

    /// Who helps whom.
    ///
    /// # Errors
    /// None for one that was read or whose tool knew it.
    pub fn introduction(&self) -> Result<Introduction, NotABookmark> {
        Introduction::read(&self.pairing.introduction).map_err(|error| NotABookmark(error.to_string()))
    }

    /// A renewed ticket, and its relays.
    pub fn renew(&mut self, ticket: String, relays: Vec<RelayAddress>) {
        (self.pairing.ticket, self.pairing.relays) = (ticket, relays);
    }

    /// Its bytes.
    ///
    /// # Errors
    /// [`NotABookmark`] when it is longer than [`BOOKMARK_LEN_MAX`].
    pub fn encode(&self) -> Result<zeroize::Zeroizing<Vec<u8>>, NotABookmark> {
        let bytes = serde_json::to_vec(self).map_err(|error| NotABookmark(error.to_string()))?;
        if BOOKMARK_LEN_MAX < bytes.len() {
            return Err(NotABookmark(format!("{} bytes are too many", bytes.len())));
        }
        Ok(bytes.into())
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`NotABookmark`], also when its ticket or introduction cannot be read or are of another session.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotABookmark> {
        if BOOKMARK_LEN_MAX < bytes.len() {
            return Err(NotABookmark(format!("{} bytes are too many", bytes.len())));
        }
        let read: Self = serde_json::from_slice(bytes).map_err(|error| NotABookmark(error.to_string()))?;
        let about = [read.ticket()?.session_id, read.introduction()?.session_id];
        if read.version != VERSION || about.iter().any(|session_id| *session_id != read.pairing.session_id) {
            return Err(NotABookmark("another version or session".to_owned()));
        }
        Ok(read)
    }

    /// Whether the session is over by now, whatever the tools do.
    pub(crate) fn is_over(&self, now_ms: UnixMillis) -> bool {
        self.ticket().is_ok_and(|ticket| ticket.hard_end_at_ms <= now_ms)
    }

    fn ticket(&self) -> Result<Ticket, NotABookmark> {
        Ticket::read(&self.pairing.ticket).map_err(|error| NotABookmark(error.to_string()))
    }
}

impl std::fmt::Debug for Bookmark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bookmark(…)")
    }
}

mod proof_key {
    use serde::{Deserializer, Serializer, de::Error as _};

    use super::{Arc, Deserialize as _, ProofKey};

    pub(super) fn serialize<S: Serializer>(key: &Arc<ProofKey>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&zeroize::Zeroizing::new(hex::encode(*key.seed())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<ProofKey>, D::Error> {
        let text = zeroize::Zeroizing::new(String::deserialize(deserializer)?);
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        hex::decode_to_slice(&*text, &mut *seed).map_err(D::Error::custom)?;
        Ok(Arc::new(ProofKey::from_seed(&seed)))
    }
}

mod secret {
    use proto::seal::rejoin::SECRET_LEN;
    use serde::{Deserializer, Serializer, de::Error as _};

    use super::{Deserialize as _, RejoinSecret};

    pub(super) fn serialize<S: Serializer>(secret: &RejoinSecret, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&zeroize::Zeroizing::new(hex::encode(*secret.to_bytes())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RejoinSecret, D::Error> {
        let text = zeroize::Zeroizing::new(String::deserialize(deserializer)?);
        let mut bytes = zeroize::Zeroizing::new([0; SECRET_LEN]);
        hex::decode_to_slice(&*text, &mut *bytes).map_err(D::Error::custom)?;
        Ok(RejoinSecret::from_bytes(&bytes))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use proto::{
        id::{RelayId, SessionId},
        ticket::{SigningKey, TicketRelay, proof_key_hash},
    };
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

    use super::*;

    pub(crate) const MANAGER: &str = "https://support.example.jp";
    pub(crate) const HARD_END_MS: UnixMillis = 1_700_028_800_000;

    /// The customer's bookmark of a session.
    pub(crate) fn bookmark(session: u8) -> Bookmark {
        let (key, session_id) = (SigningKey::from_seed("key", [7; 32]).unwrap(), SessionId::from_bytes([session; 16]));
        let proof_key = Arc::new(ProofKey::random(&mut ChaCha20Rng::from_seed([session; 32])));
        let relay = RelayAddress {
            relay_id: RelayId::from_bytes([1; 16]),
            address: "127.0.0.1:443".to_owned(),
            spki: "cd".repeat(32),
        };
        let ticket = Ticket {
            session_id,
            role: Role::Customer,
            proof_key_hash: proof_key_hash(&proof_key.public()),
            relays: vec![TicketRelay { relay_id: relay.relay_id, spki: relay.spki.clone() }],
            rate_max: 1,
            issued_at_ms: HARD_END_MS - 28_800_000,
            expires_at_ms: HARD_END_MS - 25_200_000,
            hard_end_at_ms: HARD_END_MS,
        };
        let introduction = Introduction {
            session_id,
            company_name: "みどり電機サポート".to_owned(),
            operator_name: "佐藤 花子".to_owned(),
            reason: String::new(),
            ceiling: Vec::new(),
        };
        let pairing = Pairing {
            session_id,
            introduction: introduction.sign(&key).unwrap(),
            ticket: ticket.sign(&key).unwrap(),
            relays: vec![relay],
        };
        let manager = (MANAGER.to_owned(), "token".to_owned());
        Bookmark::new(Role::Customer, pairing, proof_key, RejoinSecret::from_bytes(&[9; 40]), manager)
    }

    #[test]
    fn what_was_written_is_read_and_nothing_of_it_is_printed() {
        let written = bookmark(3);
        let read = Bookmark::decode(&written.encode().unwrap()).unwrap();

        assert_eq!(read.pairing, written.pairing);
        assert_eq!(read.proof_key.public(), written.proof_key.public());
        assert_eq!(*read.secret.to_bytes(), *written.secret.to_bytes());
        assert_eq!(read.encode().unwrap(), written.encode().unwrap());
        assert_eq!(read.introduction().unwrap().company_name, "みどり電機サポート");
        assert_eq!(format!("{read:?}"), "Bookmark(…)");
    }

    #[test]
    fn another_version_or_session_is_no_bookmark() {
        let mut other = bookmark(3);
        other.version = 2;
        assert!(Bookmark::decode(&other.encode().unwrap()).is_err());
        let mut mixed = bookmark(3);
        mixed.pairing.ticket = bookmark(4).pairing.ticket;
        assert!(Bookmark::decode(&mixed.encode().unwrap()).is_err());
    }

    #[test]
    fn one_that_is_too_long_is_neither_written_nor_read() {
        let mut long = bookmark(3);
        long.manager.1 = "x".repeat(BOOKMARK_LEN_MAX);
        assert!(long.encode().is_err());
        assert!(Bookmark::decode(&vec![b' '; BOOKMARK_LEN_MAX + 1]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_bookmark_that_is_written_again_or_an_error(place: usize, byte: u8, cut: usize) {
            let mut bytes = bookmark(3).encode().unwrap().to_vec();
            let place = place % bytes.len();
            bytes[place] = byte;
            bytes.truncate(cut % (4 * bytes.len()));
            if let Ok(read) = Bookmark::decode(&bytes) {
                prop_assert!(Bookmark::decode(&read.encode().unwrap()).is_ok());
            }
        }
    }
}
