//! The key that signs tickets and introductions: a seed in a file that only the manager reads, never in the database.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use proto::ticket::{SigningKey, TicketError};
use rand_core::CryptoRngCore;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

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
