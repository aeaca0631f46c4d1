//! The key that signs tickets and introductions: a seed in a file that only the manager reads, never in the database.
//!
//! The database knows the name of the key, so that every manager that serves it signs with the same one: a second
//! manager with a key of its own would make tickets that no relay takes and digits that no other manager reads.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use proto::{
    api::UnixMillis,
    ticket::{SigningKey, TicketError},
};
use rand_core::CryptoRngCore;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{
    audit::{self, Actor, AuditEvent},
    db::{Db, DbError},
    execute, fetch_one, fetch_optional,
};

/// Digits of a key's name.
const KEY_ID_LEN: usize = 16;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The file cannot be read or made.
    #[error("{}: {cause}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// Others than the owner may read it.
    #[error("{}: others may read this file; set its mode to 0600", file.display())]
    Exposed {
        /// The file.
        file: PathBuf,
    },
    /// It holds something else.
    #[error("{}: this file must hold 64 hexadecimal digits", file.display())]
    Content {
        /// The file.
        file: PathBuf,
    },
    /// The managers of this database sign with another key.
    #[error(
        "{}: the managers of this database sign with key {known}, not with {}; copy their file to this place, or, when \
         it is lost for good, run `uketsuke-manager key adopt`: numbers that are open become unusable then",
        file.display(),
        found.as_deref().unwrap_or("a new one")
    )]
    NotShared {
        /// The file.
        file: PathBuf,
        /// The name of the key in it; none when it is missing.
        found: Option<String>,
        /// The name of the key that the database knows.
        known: String,
    },
    /// The library refused the seed, which none causes.
    #[error("the seed makes no key: {0}")]
    Refused(#[from] TicketError),
}

/// Reads the key; a missing file is made with a new seed, once, whoever else starts at the same time.
///
/// # Errors
/// See [`SigningKeyError`].
pub fn load_or_make(file: &Path, rng: &mut impl CryptoRngCore) -> Result<SigningKey, SigningKeyError> {
    let failed = |cause| SigningKeyError::File { file: file.to_owned(), cause };
    if !file.try_exists().map_err(failed)? {
        make(file, rng).map_err(failed)?;
    }
    if fs::metadata(file).map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(SigningKeyError::Exposed { file: file.to_owned() });
    }
    let text = Zeroizing::new(fs::read_to_string(file).map_err(failed)?);
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim(), &mut *seed)
        .map_err(|_not_a_seed| SigningKeyError::Content { file: file.to_owned() })?;
    Ok(named(*seed)?)
}

/// Reads the key that the managers of this database share; the first one makes it.
///
/// # Errors
/// See [`SigningKeyError`], and what the database says.
pub async fn shared(file: &Path, db: &Db, rng: &mut impl CryptoRngCore) -> Result<SigningKey, SharedKeyError> {
    let known = {
        let mut tx = db.read().await?;
        fetch_optional!(&mut tx, (String,), "SELECT key_id FROM signing_key WHERE id = 1")?.map(|(key_id,)| key_id)
    };
    let is_there = file.try_exists().map_err(|cause| SigningKeyError::File { file: file.to_owned(), cause })?;
    if let (Some(known), false) = (&known, is_there) {
        return Err(not_shared(file, None, known).into());
    }
    let key = load_or_make(file, rng)?;
    let own = key.verifying_key().key_id().to_owned();
    let mut tx = db.begin().await?;
    // Two managers may begin at once: the row is made by one of them.
    let (known,) = fetch_one!(
        &mut tx,
        (String,),
        "INSERT INTO signing_key (id, key_id)
        VALUES (1, $1)
        ON CONFLICT (id) DO UPDATE
        SET key_id = signing_key.key_id
        RETURNING key_id",
        &own
    )?;
    tx.commit().await?;
    if known == own { Ok(key) } else { Err(not_shared(file, Some(own), &known).into()) }
}

/// Makes the key of this file the one that managers of this database share from now on. Gives its name, and the name of
/// the one before, if that was another.
///
/// # Errors
/// As [`shared`].
pub async fn adopt(
    file: &Path,
    db: &Db,
    now_ms: UnixMillis,
    rng: &mut impl CryptoRngCore,
) -> Result<(String, Option<String>), SharedKeyError> {
    let own = load_or_make(file, rng)?.verifying_key().key_id().to_owned();
    let mut tx = db.begin().await?;
    let before = fetch_optional!(&mut tx, (String,), "SELECT key_id FROM signing_key WHERE id = 1")?;
    let before = before.map(|(key_id,)| key_id).filter(|key_id| *key_id != own);
    execute!(
        &mut tx,
        "INSERT INTO signing_key (id, key_id)
        VALUES (1, $1)
        ON CONFLICT (id) DO UPDATE
        SET key_id = $1",
        &own
    )?;
    let event = AuditEvent {
        at_ms: now_ms,
        company: None,
        actor: Actor::CommandLine,
        event: "signing_key.adopted",
        reception: None,
        session: None,
        detail: json!({ "key_id": own, "before": before }),
    };
    audit::append(&mut tx, event).await?;
    tx.commit().await?;
    Ok((own, before))
}

fn not_shared(file: &Path, found: Option<String>, known: &str) -> SigningKeyError {
    SigningKeyError::NotShared { file: file.to_owned(), found, known: known.to_owned() }
}

/// Why there is no key that the managers share.
#[derive(Debug, thiserror::Error)]
pub enum SharedKeyError {
    /// The key itself.
    #[error(transparent)]
    Key(#[from] SigningKeyError),
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// The key of a seed, named by its public half.
///
/// # Errors
/// [`TicketError`] when the library refuses the seed.
pub fn named(seed: [u8; 32]) -> Result<SigningKey, TicketError> {
    let public = SigningKey::from_seed("", seed)?.verifying_key().to_hex();
    let mut key_id = hex::encode(Sha256::digest(public));
    key_id.truncate(KEY_ID_LEN);
    SigningKey::from_seed(key_id, seed)
}

/// Writes a seed beside the file and links it to its name, so that nobody ever reads half a seed and the first wins.
fn make(file: &Path, rng: &mut impl CryptoRngCore) -> io::Result<()> {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *seed);
    let text = Zeroizing::new(hex::encode(*seed));
    let mut nonce = [0; 8];
    rng.fill_bytes(&mut nonce);
    let beside = file.with_extension(format!("new-{}", hex::encode(nonce)));
    let mut new = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = writeln!(new, "{}", *text).and_then(|()| new.sync_all());
    let linked = written.and_then(|()| fs::hard_link(&beside, file));
    fs::remove_file(&beside)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::*;

    fn refusal(file: &Path) -> String {
        load_or_make(file, &mut OsRng).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_missing_key_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("signing.key");

        let first = load_or_make(&file, &mut OsRng).unwrap();
        let again = load_or_make(&file, &mut OsRng).unwrap();

        assert_eq!(first.verifying_key(), again.verifying_key());
        assert_eq!(first.verifying_key().key_id().len(), KEY_ID_LEN);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_exposed_or_broken_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("signing.key");
        load_or_make(&file, &mut OsRng).unwrap();

        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(refusal(&file).contains("0600"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&file, "not a seed").unwrap();
        assert!(refusal(&file).contains("64 hexadecimal digits"));
        assert!(!refusal(&file).contains("not a seed"));
    }
}
