//! Searches the memory of a running process, as a thief with the machine in hand would.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
};

use anyhow::{Context as _, Result};

/// How often `needle` stands in the readable memory of process `id`.
///
/// # Errors
/// When the process is gone or its memory may not be read (needs root; relay and manager refuse their own user).
pub fn count(id: u32, needle: &[u8]) -> Result<usize> {
    let maps = std::fs::read_to_string(format!("/proc/{id}/maps")).context("cannot read the memory map")?;
    let mut memory = File::open(format!("/proc/{id}/mem")).context("cannot open the memory")?;
    let mut found = 0;
    for (start, end) in maps.lines().filter_map(readable_region) {
        found += count_in_region(&mut memory, start, end, needle);
    }
    Ok(found)
}

/// How often `needle` stands in `bytes`.
pub fn count_in(bytes: &[u8], needle: &[u8]) -> usize {
    let Some(first) = needle.first() else { return 0 };
    // Most places are ruled out by one byte.
    bytes.windows(needle.len()).filter(|window| window.first() == Some(first) && *window == needle).count()
}

/// Bounds of a region that may be read; the kernel's own pages are left out.
fn readable_region(line: &str) -> Option<(u64, u64)> {
    let mut fields = line.split_whitespace();
    let (bounds, rights) = (fields.next()?, fields.next()?);
    if !rights.starts_with('r') || line.ends_with("[vvar]") || line.ends_with("[vsyscall]") {
        return None;
    }
    let (start, end) = bounds.split_once('-')?;
    Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
}

fn count_in_region(memory: &mut File, start: u64, end: u64, needle: &[u8]) -> usize {
    const CHUNK: u64 = 1 << 20;
    let overlap = needle.len().saturating_sub(1);
    let mut tail: Vec<u8> = Vec::new();
    let mut found = 0;
    let mut at = start;
    while at < end {
        let length = usize::try_from(CHUNK.min(end - at)).unwrap_or(0);
        let mut chunk = vec![0; length];
        let read = memory.seek(SeekFrom::Start(at)).and_then(|_| memory.read(&mut chunk)).unwrap_or(0);
        if read == 0 {
            // A page that cannot be read (a guard, or freed meanwhile): go on behind it.
            tail.clear();
            at += 4096;
            continue;
        }
        chunk.truncate(read);
        tail.extend_from_slice(&chunk);
        found += count_in(&tail, needle);
        let keep = tail.len().saturating_sub(overlap);
        tail.drain(..keep);
        at += u64::try_from(read).unwrap_or(CHUNK);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_in_our_own_memory_is_found() {
        let text = format!("needle-{}-{}", std::process::id(), "in-a-haystack");
        let kept = text.clone().into_bytes().into_boxed_slice();

        let found = count(std::process::id(), text.as_bytes()).unwrap();

        assert!(2 <= found, "found {found}");
        assert_eq!(kept.len(), text.len());
    }
}
