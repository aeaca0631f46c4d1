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

use proto::{api::UnixMillis, id::SessionId, limits::REJOIN_TIMEOUT, role::Role};
use tokio::{sync::watch, task::JoinHandle, time};
use tracing::{info, warn};
use zeroize::Zeroizing;

use super::{BOOKMARK_LEN_MAX, Bookmark};
use crate::clock;

/// A living tool shows this often that it lives, so that the next one knows when it died.
const TOUCH_EVERY: Duration = Duration::from_secs(10);
/// The other tool waits [`REJOIN_TIMEOUT`] from the death on; this much is unknown about when that was.
const LIFE: Duration = REJOIN_TIMEOUT.saturating_add(TOUCH_EVERY).saturating_add(Duration::from_secs(5));
/// Bookmarks that are looked at: more are not made by tools.
const FILES_MAX: usize = 256;
/// Tries to lock a file that is deleted and made anew by others meanwhile.
const LOCK_TRIES: u32 = 8;
/// How long whoever has changed a bookmark waits for its file: a folder in memory takes microseconds.
const WRITE_PATIENCE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Clone)]
pub struct Shelf {
    folder: PathBuf,
}

/// A bookmark whose tool is dead.
#[derive(Debug)]
pub struct Found {
    /// What is in it.
    pub bookmark: Bookmark,
    /// UTC milliseconds from which on nobody waits for it any more.
    pub until_ms: UnixMillis,
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
    changes: watch::Sender<Change>,
    /// The newest change that was written, or could not be.
    written: watch::Receiver<u64>,
    keeping: JoinHandle<()>,
}

/// A bookmark and how often it was changed.
#[derive(Debug)]
struct Change {
    serial: u64,
    bookmark: Bookmark,
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
    pub fn find(&self, role: Role, manager: &str, now: SystemTime) -> Vec<Found> {
        if !self.is_own() {
            return Vec::new();
        }
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let prefix = format!("{}-", role.as_str());
        let id = |name: &str| name.strip_prefix(&prefix)?.strip_suffix(".json")?.parse().ok();
        let ids = entries.flatten().filter_map(|entry| id(&entry.file_name().to_string_lossy()));
        let mut found = Vec::new();
        for id in ids.take(FILES_MAX) {
            let Ok(hold) = self.hold(role, id) else { continue };
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
        found.into_iter().map(|(touched, bookmark)| Found { bookmark, until_ms: millis(touched + LIFE) }).collect()
    }

    /// Makes the bookmark of a session this process's.
    ///
    /// # Errors
    /// When another process holds it, or the folder cannot be used or is not this user's alone.
    pub fn hold(&self, role: Role, session_id: SessionId) -> io::Result<Hold> {
        make_folder(&self.folder)?;
        if !self.is_own() {
            let what = "must be a folder of this user that nobody else can open (chmod 700)";
            return Err(io::Error::other(format!("{} {what}", self.folder.display())));
        }
        let name = format!("{}-{session_id}", role.as_str());
        let path = self.folder.join(format!("{name}.lock"));
        for _ in 0..LOCK_TRIES {
            if let Some(file) = lock(&path, open_lock(&path)?)? {
                return Ok(Hold { file: self.folder.join(format!("{name}.json")), lock: (path, file) });
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn is_own(&self) -> bool {
        fs::symlink_metadata(&self.folder).is_ok_and(|found| found.is_dir() && is_private(&found))
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
        let (changes, told) = watch::channel(Change { serial: 0, bookmark });
        let (done, written) = watch::channel(0);
        Self { changes, written, keeping: tokio::spawn(keep(hold, told, done)) }
    }

    /// Something that a later process must know is otherwise now. It is written soon; see [`Self::settle`].
    pub fn change(&self, change: impl FnOnce(&mut Bookmark)) {
        self.changes.send_modify(|now| {
            now.serial = now.serial.saturating_add(1);
            change(&mut now.bookmark);
        });
    }

    /// Waits until a later process would know of every change so far, or it is plain that it will not: the file cannot be
    /// written, or takes longer than a second. Cancel-safe.
    pub async fn settle(&self) {
        let (serial, mut written) = (self.changes.borrow().serial, self.written.clone());
        if time::timeout(WRITE_PATIENCE, written.wait_for(|written| serial <= *written)).await.is_err() {
            warn!(event = "bookmark.slow", "A bookmark takes long to be written");
        }
    }

    /// The session is over: nothing is left.
    pub async fn end(self) {
        let Self { changes, keeping, .. } = self;
        drop(changes);
        if let Err(error) = keeping.await {
            warn!(event = "bookmark.broken", reason = %error, "A bookmark may be left");
        }
    }
}

/// Writes the bookmark, again with each change, and shows now and then that this process lives. Deletes it when `changes`
/// is closed.
async fn keep(hold: Hold, mut changes: watch::Receiver<Change>, written: watch::Sender<u64>) {
    loop {
        let (serial, bookmark) = {
            let now = changes.borrow_and_update();
            (now.serial, now.bookmark.clone())
        };
        if let Err(error) = hold.write(&bookmark) {
            warn!(event = "bookmark.unwritten", reason = %error, "The session cannot be rejoined after a restart");
        }
        written.send_replace(serial);
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
        // In this order: who gets the lock of a file that is gone finds no bookmark. Where the lock's file cannot be told
        // from another of its name it stays, empty.
        let lock = cfg!(unix).then_some(&self.lock.0);
        for path in [&self.file].into_iter().chain(lock) {
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
        let mut bytes = Zeroizing::new(Vec::new());
        let file = options().read(true).open(&self.file).ok()?;
        let found = file.metadata().ok().filter(|found| found.is_file() && is_private(found))?;
        let touched = found.modified().ok()?;
        let most = u64::try_from(BOOKMARK_LEN_MAX).unwrap_or(u64::MAX).saturating_add(1);
        file.take(most).read_to_end(&mut bytes).ok()?;
        let bookmark = Bookmark::decode(&bytes).ok().filter(|bookmark| bookmark.role == role)?;
        let now_ms = millis(now);
        // A clock that was set back says nothing about the death.
        let is_late = now.duration_since(touched).is_ok_and(|since| LIFE < since);
        (!is_late && !bookmark.is_over(now_ms)).then_some((bookmark, touched))
    }
}

/// UTC milliseconds; 0 for a clock that is before 1970.
fn millis(at: SystemTime) -> UnixMillis {
    at.duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or_default()
}

/// How every file here is opened: for this user alone, never through a link, and without waiting for whoever would read
/// a pipe.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;

        use rustix::fs::OFlags;
        let flags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK);
        options.mode(0o600).custom_flags(i32::try_from(flags.bits()).unwrap_or(0));
    }
    options
}

fn open_lock(path: &Path) -> io::Result<File> {
    options().write(true).create(true).truncate(false).open(path)
}

/// Locks the file that was opened at `path`; nothing, when it is not there any more: whoever held it has deleted it
/// since, and a lock that nobody else finds locks nothing.
fn lock(path: &Path, file: File) -> io::Result<Option<File>> {
    match file.try_lock() {
        Ok(()) => Ok(is_at(path, &file)?.then_some(file)),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether the open file is the one at `path`. Where that cannot be told, nobody deletes such files.
fn is_at(path: &Path, file: &File) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let own = file.metadata()?;
        match fs::symlink_metadata(path) {
            Ok(there) => Ok((there.dev(), there.ino()) == (own.dev(), own.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
    #[cfg(not(unix))]
    {
        file.metadata()?;
        path.try_exists()
    }
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

/// Whether it is this user's and nobody else can read it. On Windows the user's own folders are that.
fn is_private(found: &fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let for_others = found.mode() & 0o077;
        found.uid() == rustix::process::geteuid().as_raw() && for_others == 0
    }
    #[cfg(not(unix))]
    !found.is_symlink()
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
        assert_eq!(found[0].bookmark.pairing, bookmark(3).pairing);
        assert_eq!(found[0].until_ms, millis(now() + LIFE), "from the death on");
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
        let ids: Vec<_> = found.iter().map(|found| found.bookmark.pairing.session_id.as_bytes()[0]).collect();
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
    fn a_lock_whose_file_was_deleted_while_it_was_opened_is_nobodys() {
        let place = place();
        let id = bookmark(3).pairing.session_id;
        let first = place.shelf.hold(Role::Customer, id).unwrap();
        let path = first.lock.0.clone();
        let late = open_lock(&path).unwrap();
        first.remove();
        assert!(lock(&path, late).unwrap().is_none(), "the file is gone");

        let first = place.shelf.hold(Role::Customer, id).unwrap();
        let late = open_lock(&path).unwrap();
        first.remove();
        let third = place.shelf.hold(Role::Customer, id).unwrap();
        assert!(lock(&path, late).unwrap().is_none(), "the file there is another one");
        assert!(place.shelf.hold(Role::Customer, id).is_err(), "one holder");
        drop(third);
        assert!(place.shelf.hold(Role::Customer, id).is_ok());
    }

    #[test]
    fn many_that_hold_and_delete_at_once_are_one_holder_at_any_time() {
        let place = place();
        let id = bookmark(3).pairing.session_id;
        let holders = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let Ok(hold) = place.shelf.hold(Role::Customer, id) else { continue };
                        assert_eq!(holders.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0, "two holders");
                        // Room for whoever would hold it, too.
                        std::thread::yield_now();
                        holders.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        hold.remove();
                    }
                });
            }
        });
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

        let file = leave(&place, 6);
        fs::remove_file(&file).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        assert!(place.shelf.find(Role::Customer, MANAGER, now()).is_empty(), "nobody waits for a pipe");

        let file = leave(&place, 4);
        let elsewhere = place.path.join("elsewhere");
        fs::rename(&file, &elsewhere).unwrap();
        symlink(&elsewhere, &file).unwrap();
        assert!(place.shelf.find(Role::Customer, MANAGER, now()).is_empty());

        leave(&place, 5);
        fs::set_permissions(&place.path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(place.shelf.find(Role::Customer, MANAGER, now()).is_empty());
        let refused = place.shelf.hold(Role::Customer, bookmark(6).pairing.session_id).unwrap_err().to_string();
        assert!(refused.contains("run/uketsuke") && refused.contains("chmod 700"), "{refused}");
    }

    #[test]
    fn other_files_in_the_folder_hide_no_bookmark() {
        let place = place();
        leave(&place, 3);
        for index in 0..2 * FILES_MAX {
            fs::write(place.path.join(format!("customer-{index}.lock")), "").unwrap();
        }
        assert_eq!(place.shelf.find(Role::Customer, MANAGER, now()).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_settled_is_in_the_file_if_the_tool_dies_now() {
        let place = place();
        let id = bookmark(3).pairing.session_id;
        let kept = Kept::start(place.shelf.hold(Role::Customer, id).unwrap(), bookmark(3));
        for is_paused in [true, false, true] {
            kept.change(|bookmark| bookmark.is_paused = is_paused);
            kept.settle().await;
            let bytes = fs::read(place.path.join(format!("customer-{id}.json"))).unwrap();
            assert_eq!(Bookmark::decode(&bytes).unwrap().is_paused, is_paused);
        }
        fs::remove_dir_all(&place.path).unwrap();
        kept.change(|bookmark| bookmark.is_paused = false);
        kept.settle().await;
        kept.end().await;
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
