//! Clips of real programs, made by `record.sh`.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use crate::measure::{Screen, Show};

/// Reads a clip: XWD files, one after the other, in zstd frames.
pub(crate) fn clip(file: &Path) -> io::Result<impl FnOnce(Show<'_>) -> io::Result<()>> {
    let mut reader = zstd::stream::read::Decoder::new(BufReader::new(File::open(file)?))?;
    Ok(move |show: Show<'_>| {
        while let Some(screen) = read_xwd(&mut reader)? {
            show(&screen);
        }
        Ok(())
    })
}

/// One XWD file: a header of big-endian words, colours of twelve bytes each, then the rows.
fn read_xwd(reader: &mut impl Read) -> io::Result<Option<Screen>> {
    let mut header = [0; 100];
    match reader.read(&mut header[..1])? {
        0 => return Ok(None),
        _ => reader.read_exact(&mut header[1..])?,
    }
    let word = |index: usize| u32::from_be_bytes(header.as_chunks::<4>().0[index]);
    let (header_len, width, height, bits, row_len, colours) = (word(0), word(4), word(5), word(11), word(12), word(19));
    let size = (u16::try_from(width), u16::try_from(height));
    let (Ok(width), Ok(height), true) = (size.0, size.1, bits == 32 && row_len == width * 4) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a recording of 32 bits a pixel"));
    };
    let skipped = u64::from(header_len) - 100 + u64::from(colours) * 12;
    io::copy(&mut reader.take(skipped), &mut io::sink())?;
    let mut bgrx = vec![0; usize::from(width) * usize::from(height) * 4];
    reader.read_exact(&mut bgrx)?;
    Ok(Some(Screen { width, height, bgrx }))
}
