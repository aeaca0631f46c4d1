//! A text that every session of the load shows and types, and that must stand nowhere but at the tools.
//!
//! It is searched in the memory of servers and in every file of the folder in which they work: database, configuration
//! and logs.

use std::{path::Path, sync::LazyLock};

use anyhow::{Context as _, Result};
use rand_core::{OsRng, RngCore as _};

use crate::memory;

/// Folders in folders that are searched at most.
const DEPTH_MAX: u32 = 8;

/// The text of this run: made when it begins, so that no program holds it.
pub fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let mut random = [0; 12];
        OsRng.fill_bytes(&mut random);
        format!("canary{}", hex::encode(random))
    });
    &TEXT
}

/// Whether the memory of other processes may be searched.
pub fn may_search_memory() -> bool {
    rustix::process::geteuid().is_root()
}

/// Where the text stands that may stand nowhere: in these processes, by name and id, and in the files of this folder.
/// Processes are left out when [`may_search_memory`] says so.
///
/// # Errors
/// When a file, or the memory of a process that runs, cannot be read.
pub fn search(servers: &[(String, u32)], folder: &Path) -> Result<Vec<String>> {
    let mut places = Vec::new();
    for (name, id) in servers.iter().filter(|_| may_search_memory()) {
        let found = memory::count(*id, text().as_bytes()).with_context(|| format!("the memory of {name}"))?;
        places.extend((0 < found).then(|| format!("{found} times in the memory of {name}")));
    }
    search_files(folder, DEPTH_MAX, &mut places)?;
    Ok(places)
}

fn search_files(folder: &Path, depth: u32, places: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() && 0 < depth {
            search_files(&path, depth - 1, places)?;
        } else if kind.is_file() {
            // A journal of the database may go at any time.
            let Ok(bytes) = std::fs::read(&path) else { continue };
            let found = memory::count_in(&bytes, text().as_bytes());
            places.extend((0 < found).then(|| format!("{found} times in {}", path.display())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_found_in_a_file_of_a_folder_in_the_folder_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("inner")).unwrap();
        std::fs::write(folder.path().join("clean.log"), text().get(1..).unwrap()).unwrap();
        assert_eq!(search(&[], folder.path()).unwrap(), Vec::<String>::new());

        std::fs::write(folder.path().join("inner/server.log"), format!("typed {}!", text())).unwrap();

        let places = search(&[], folder.path()).unwrap();
        assert!(places.len() == 1 && places[0].ends_with("inner/server.log"), "{places:?}");
    }
}
