//! PNG evidence: reading, and counting the pixels in which two pictures differ.

use std::{fs::File, io::BufReader, path::Path};

use anyhow::{Context as _, Result, bail};

/// A picture of opaque colours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rgb {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
    /// Red, green, blue, rows top to bottom.
    pub pixels: Vec<u8>,
}

/// Reads a PNG; an alpha channel is ignored.
///
/// # Errors
/// When the file is no PNG of eight bits a channel.
pub fn read(file: &Path) -> Result<Rgb> {
    let source = BufReader::new(File::open(file).with_context(|| format!("cannot open {}", file.display()))?);
    let mut decoder = png::Decoder::new(source);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    let mut bytes = vec![0; reader.output_buffer_size().context("picture too large")?];
    let info = reader.next_frame(&mut bytes)?;
    bytes.truncate(info.buffer_size());
    let pixels = match info.color_type {
        png::ColorType::Rgb => bytes,
        png::ColorType::Rgba => bytes.chunks_exact(4).flat_map(|pixel| pixel.iter().take(3).copied()).collect(),
        png::ColorType::Grayscale => bytes.iter().flat_map(|grey| [*grey; 3]).collect(),
        png::ColorType::GrayscaleAlpha => {
            bytes.chunks_exact(2).flat_map(|pixel| [pixel.first().copied().unwrap_or(0); 3]).collect()
        }
        png::ColorType::Indexed => bail!("an indexed picture was not expanded"),
    };
    Ok(Rgb { width: info.width, height: info.height, pixels })
}

/// Pixels that are not equal; every pixel when the sizes differ.
pub fn differing_pixels(left: &Rgb, right: &Rgb) -> usize {
    if (left.width, left.height) != (right.width, right.height) {
        return left.pixels.len().max(right.pixels.len()) / 3;
    }
    left.pixels.chunks_exact(3).zip(right.pixels.chunks_exact(3)).filter(|(a, b)| a != b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_other_pixel_is_counted_once() {
        let left = Rgb { width: 2, height: 1, pixels: vec![1, 2, 3, 4, 5, 6] };
        let mut right = left.clone();

        right.pixels[4] = 9;

        assert_eq!(differing_pixels(&left, &left), 0);
        assert_eq!(differing_pixels(&left, &right), 1);
    }

    #[test]
    fn pictures_of_other_sizes_differ_everywhere() {
        let left = Rgb { width: 2, height: 1, pixels: vec![0; 6] };
        let right = Rgb { width: 1, height: 1, pixels: vec![0; 3] };

        assert_eq!(differing_pixels(&left, &right), 2);
    }
}
