//! The folder where bookmarks lie, and who holds them.
//!
//! Guarantees: folder and files are this user's alone, and others are not read; a file is replaced as a whole or not at
//! all; the bookmark of a living tool is held by a lock that ends with its process, and nobody else takes it up; what
//! nobody can come back with any more is deleted by whoever looks.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proto::{id::SessionId, limits::REJOIN_TIMEOUT, role::Role};
use tokio::{sync::watch, task::JoinHandle, time};
use tracing::{info, warn};

use super::{BOOKMARK_LEN_MAX, Bookmark};
use crate::clock;

/// A living tool shows this often that it lives, so that the next one knows when it died.
const TOUCH_EVERY: Duration = Duration::from_secs(10);
/// The other tool waits [`REJOIN_TIMEOUT`] from the death on; this much is unknown about when that was.
const LIFE: Duration = REJOIN_TIMEOUT.saturating_add(TOUCH_EVERY).saturating_add(Duration::from_secs(5));
/// Files in the folder that are looked at: more are not made by tools.
const FILES_MAX: usize = 256;

/// See the module.
#[derive(Debug, Clone)]
pub struct Shelf {
    folder: PathBuf,
}

/// A bookmark that is this process's. Dropping it leaves the file to the next process.
#[derive(Debug)]
pub struct Hold {
    file: PathBuf,
    lock: (PathBuf, File),
}

/// The bookmark of a session that runs here. Dropping it deletes the file soon, as the end does; the death of the process
/// leaves it.
#[derive(Debug)]
pub struct Kept {
    changes: watch::Sender<Bookmark>,
    keeping: JoinHandle<()>,
}

impl Shelf {
    /// The user's own one: in memory until logout where the system has such a folder, else beside other state. Nothing
    /// when the system names no folder.
    pub fn of_user() -> Option<Self> {
        let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = if cfg!(windows) {
            variable("LOCALAPPDATA")
        } else if cfg!(target_os = "macos") {
            variable("HOME").map(|home| home.join("Library/Caches"))
        } else {
            variable("XDG_RUNTIME_DIR")
                .or_else(|| variable("XDG_STATE_HOME"))
                .or_else(|| variable("HOME").map(|home| home.join(".local/state")))
        };
        base.map(|base| Self::at(base.join("uketsuke")))
    }

    /// In this folder, which is made when something is kept.
    pub const fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Bookmarks of one role at one manager whose tools are dead and to which one can still come back, the newest first.
    /// What is over or unreadable is deleted.
    pub fn find(&self, role: Role, manager: &str, now: SystemTime) -> Vec<Bookmark> {
        if !is_own(&self.folder, true) {
            return Vec::new();
        }
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let prefix = format!("{}-", role.as_str());
        let mut found = Vec::new();
        for entry in entries.take(FILES_MAX).flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(id) = name.strip_prefix(&prefix).and_then(|name| name.strip_suffix(".json")) else { continue };
            let Some(hold) = id.parse().ok().and_then(|id| self.hold(role, id).ok()) else { continue };
            match hold.read(role, now) {
                Some((bookmark, touched)) => {
                    if bookmark.manager.0 == manager {
                        found.push((touched, bookmark));
                    }
                }
                None => hold.remove(),
            }
        }
        found.sort_by_key(|(touched, _)| std::cmp::Reverse(*touched));
        found.into_iter().map(|(_, bookmark)| bookmark).collect()
    }

    /// Makes the bookmark of a session this process's.
    ///
    /// # Errors
    /// When another process holds it, or the folder cannot be used or is not this user's alone.
    pub fn hold(&self, role: Role, session_id: SessionId) -> io::Result<Hold> {
        make_folder(&self.folder)?;
        if !is_own(&self.folder, true) {
            return Err(io::Error::other("the folder for bookmarks is open to others"));
        }
        let name = format!("{}-{session_id}", role.as_str());
        let path = self.folder.join(format!("{name}.lock"));
        let file = options().write(true).create(true).truncate(false).open(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Hold { file: self.folder.join(format!("{name}.json")), lock: (path, file) }),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Takes up the bookmark of a session whose tool is dead: it is this process's then, counts one restart more, and
    /// says so in its file, so that no number of a connection is used twice.
    ///
    /// # Errors
    /// When another process was faster, or it is not there any more.
    pub fn take_up(&self, role: Role, session_id: SessionId, now: SystemTime) -> io::Result<(Hold, Bookmark)> {
        let hold = self.hold(role, session_id)?;
        let Some((mut bookmark, _)) = hold.read(role, now) else {
            hold.remove();
            return Err(io::ErrorKind::NotFound.into());
        };
        bookmark.restarts = bookmark.restarts.saturating_add(1);
        hold.write(&bookmark)?;
        Ok((hold, bookmark))
    }
}

impl Kept {
    /// Keeps the bookmark of a session that runs. Must be called inside a runtime.
    pub fn start(hold: Hold, bookmark: Bookmark) -> Self {
        let (changes, told) = watch::channel(bookmark);
        Self { changes, keeping: tokio::spawn(keep(hold, told)) }
    }

    /// Something that a later process must know is otherwise now.
    pub fn change(&self, change: impl FnOnce(&mut Bookmark)) {
        self.changes.send_modify(change);
    }

    /// The session is over: nothing is left.
    pub async fn end(self) {
        let Self { changes, keeping } = self;
        drop(changes);
        if let Err(error) = keeping.await {
            warn!(event = "bookmark.broken", reason = %error, "A bookmark may be left");
        }
    }
}

/// Writes the bookmark, again with each change, and shows now and then that this process lives. Deletes it when `changes`
/// is closed.
async fn keep(hold: Hold, mut changes: watch::Receiver<Bookmark>) {
    loop {
        let bookmark = changes.borrow_and_update().clone();
        if let Err(error) = hold.write(&bookmark) {
            warn!(event = "bookmark.unwritten", reason = %error, "The session cannot be rejoined after a restart");
        }
        let is_over = loop {
            match time::timeout(TOUCH_EVERY, changes.changed()).await {
                Ok(changed) => break changed.is_err(),
                Err(_quiet) => hold.touch(),
            }
        };
        if is_over {
            return hold.remove();
        }
    }
}

impl Hold {
    /// Deletes it: the session ended properly, or the person does not want to come back.
    pub fn remove(self) {
        // In this order: who gets the lock of a file that is gone finds no bookmark.
        for path in [&self.file, &self.lock.0] {
            if let Err(error) = fs::remove_file(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                warn!(event = "bookmark.left", reason = %error, "A bookmark was not deleted");
            }
        }
    }

    fn write(&self, bookmark: &Bookmark) -> io::Result<()> {
        let bytes = bookmark.encode().map_err(io::Error::other)?;
        let new = self.file.with_extension("new");
        let written = options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&new)
            .and_then(|mut file| file.write_all(&bytes))
            .and_then(|()| fs::rename(&new, &self.file));
        if written.is_err() {
            // A half-written one is worth nothing.
            drop(fs::remove_file(&new));
        }
        written
    }

    fn touch(&self) {
        let touched = options().write(true).open(&self.file).and_then(|file| file.set_modified(clock::now()));
        if let Err(error) = touched {
            info!(event = "bookmark.untouched", reason = %error, "A bookmark does not show that its tool lives");
        }
    }

    /// The bookmark and when its tool was seen alive last; nothing, when nobody can come back with it any more.
    fn read(&self, role: Role, now: SystemTime) -> Option<(Bookmark, SystemTime)> {
        if !is_own(&self.file, false) {
            return None;
        }
        let mut bytes = Vec::new();
        let file = options().read(true).open(&self.file).ok()?;
        let touched = file.metadata().ok()?.modified().ok()?;
        let most = u64::try_from(BOOKMARK_LEN_MAX).unwrap_or(u64::MAX).saturating_add(1);
        file.take(most).read_to_end(&mut bytes).ok()?;
        let bookmark = Bookmark::decode(&bytes).ok().filter(|bookmark| bookmark.role == role)?;
        let now_ms = i64::try_from(now.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()?;
        // A clock that was set back says nothing about the death.
        let is_late = now.duration_since(touched).is_ok_and(|since| LIFE < since);
        (!is_late && !bookmark.is_over(now_ms)).then_some((bookmark, touched))
    }
}

/// How every file here is opened: for this user alone, and never through a link.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let no_links = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
        options.mode(0o600).custom_flags(no_links);
    }
    options
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder)
}

/// Whether it is a folder or file of this user that nobody else can read. On Windows the user's own folders are that.
fn is_own(path: &Path, is_folder: bool) -> bool {
    let Ok(found) = fs::symlink_metadata(path) else { return false };
    let is_kind = if is_folder { found.is_dir() } else { found.is_file() };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let for_others = found.mode() & 0o077;
        is_kind && found.uid() == rustix::process::geteuid().as_raw() && for_others == 0
    }
    #[cfg(not(unix))]
    is_kind
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::{
        super::tests::{MANAGER, bookmark},
        *,
    };

    /// A time at which the sample's session still is.
    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(u64::try_from(super::super::tests::HARD_END_MS).unwrap() - 1_000_000)
    }

    struct Place {
        _folder: tempfile::TempDir,
        shelf: Shelf,
        path: PathBuf,
    }

    fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/uketsuke");
        Place { shelf: Shelf::at(path.clone()), path, _folder: folder }
    }

    /// Keeps a bookmark as a tool that was killed leaves it, seen alive last at `now()`.
    fn leave(place: &Place, session: u8) -> PathBuf {
        let bookmark = bookmark(session);
        let hold = place.shelf.hold(Role::Customer, bookmark.pairing.session_id).unwrap();
        hold.write(&bookmark).unwrap();
        set_seen(&hold.file, now());
        hold.file.clone()
    }

    fn set_seen(file: &Path, at: SystemTime) {
        File::options().write(true).open(file).unwrap().set_modified(at).unwrap();
    }

    fn files(place: &Place) -> usize {
        fs::read_dir(&place.path).unwrap().count()
    }

    #[test]
    fn what_a_dead_tool_left_is_found_by_the_next_one_and_is_nobody_elses() {
        let place = place();
        let file = leave(&place, 3);

        let found = place.shelf.find(Role::Customer, MANAGER, now() + Duration::from_mins(1));

        assert_eq!(found.len(), 1);
        assert_eq!(found[0].pairing, bookmark(3).pairing);
        assert!(place.shelf.find(Role::Operator, MANAGER, now()).is_empty(), "it is the customer's");
        let elsewhere = place.shelf.find(Role::Customer, "https://other.example.jp", now());
        assert!(elsewhere.is_empty(), "the token is for one manager");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&place.path)), (0o600, 0o700));
    }

    #[test]
    fn the_newest_comes_first() {
        let place = place();
        for session in [3, 4, 5] {
            let file = leave(&place, session);
            set_seen(&file, now() - Duration::from_secs(u64::from(session)));
        }
        let found = place.shelf.find(Role::Customer, MANAGER, now());
        let ids: Vec<_> = found.iter().map(|bookmark| bookmark.pairing.session_id.as_bytes()[0]).collect();
        assert_eq!(ids, [3, 4, 5]);
    }

    #[test]
    fn a_living_tools_bookmark_is_taken_up_by_nobody() {
        let place = place();
        leave(&place, 3);
        let id = bookmark(3).pairing.session_id;
        let living = place.shelf.hold(Role::Customer, id).unwrap();

        assert!(place.shelf.find(Role::Customer, MANAGER, now()).is_empty());
        assert_eq!(place.shelf.take_up(Role::Customer, id, now()).unwrap_err().kind(), io::ErrorKind::WouldBlock);

        drop(living);
        let (_hold, first) = place.shelf.take_up(Role::Customer, id, now()).unwrap();
        assert_eq!(first.restarts, 1);
        assert!(place.shelf.take_up(Role::Customer, id, now()).is_err(), "the first one has it");
    }

    #[test]
    fn each_restart_counts_even_if_the_tool_dies_at_once() {
        let place = place();
        leave(&place, 3);
        let id = bookmark(3).pairing.session_id;
        for restarts in 1..4 {
            let (hold, taken) = place.shelf.take_up(Role::Customer, id, SystemTime::UNIX_EPOCH).unwrap();
            assert_eq!(taken.restarts, restarts);
            drop(hold);
        }
    }

    #[test]
    fn what_nobody_can_come_back_with_is_deleted() {
        let place = place();
        leave(&place, 3);
        assert!(
            place.shelf.find(Role::Customer, MANAGER, now() + LIFE + Duration::from_secs(1)).is_empty(),
            "too late"
        );
        assert_eq!(files(&place), 0);

        let file = leave(&place, 4);
        let after_the_end = now() + Duration::from_secs(1_000);
        set_seen(&file, after_the_end);
        assert!(place.shelf.find(Role::Customer, MANAGER, after_the_end).is_empty(), "the hard end");
        assert_eq!(files(&place), 0);

        let file = leave(&place, 5);
        fs::write(&file, "{}").unwrap();
        assert!(place.shelf.find(Role::Customer, MANAGER, now()).is_empty(), "unreadable");
        assert_eq!(files(&place), 0);
    }

    #[test]
    fn what_others_can_read_or_only_points_elsewhere_is_not_read() {
        let place = place();
        let file = leave(&place, 3);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(place.shelf.find(Role::Customer, MANAGER, now()).is_empty());

        let file = leave(&place, 4);
        let elsewhere = place.path.join("elsewhere");
        fs::rename(&file, &elsewhere).unwrap();
        symlink(&elsewhere, &file).unwrap();
        assert!(place.shelf.find(Role::Customer, MANAGER, now()).is_empty());

        leave(&place, 5);
        fs::set_permissions(&place.path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(place.shelf.find(Role::Customer, MANAGER, now()).is_empty());
        assert!(place.shelf.hold(Role::Customer, bookmark(6).pairing.session_id).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_ends_leaves_nothing_and_a_tool_that_dies_leaves_its_newest_ticket() {
        let place = place();
        let id = bookmark(3).pairing.session_id;
        let kept = Kept::start(place.shelf.hold(Role::Customer, id).unwrap(), bookmark(3));
        time::sleep(Duration::from_secs(1)).await;
        kept.change(|bookmark| bookmark.renew(bookmark.pairing.ticket.clone(), Vec::new()));
        time::sleep(Duration::from_secs(25)).await;

        // What a death does: nobody deletes anything, and the lock is gone.
        kept.keeping.abort();
        time::sleep(Duration::from_secs(1)).await;
        let (hold, left) = place.shelf.take_up(Role::Customer, id, now()).unwrap();
        assert!(left.pairing.relays.is_empty(), "the renewed one");

        let kept = Kept::start(hold, left);
        time::sleep(Duration::from_secs(1)).await;
        assert_eq!(files(&place), 2);
        kept.end().await;
        assert_eq!(files(&place), 0);
    }
}
