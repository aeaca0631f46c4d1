//! One clip through encoder and decoder.
#![expect(clippy::disallowed_methods, clippy::expect_used, reason = "a bench measures time, and may fail")]

use std::time::{Duration, Instant};

use proto::screen::{Damage, Decoder, EncodeOptions, EncodedUpdate, Encoder, PictureRef};

/// Pictures a second.
pub(crate) const RATE: f64 = 15.0;
/// Pictures without a change after which photographs are refined: half a second.
const REST: usize = 8;
/// Bytes of one refinement: what 2 Mbit/s carry between two pictures.
const REFINE_BYTES: usize = 16_000;

/// Takes the pictures of a clip one after the other.
pub(crate) type Show<'a> = &'a mut dyn FnMut(&Screen);

/// A picture of a clip: packed BGRX.
pub(crate) struct Screen {
    /// Width in pixels.
    pub(crate) width: u16,
    /// Height in pixels.
    pub(crate) height: u16,
    /// `width * height * 4` bytes.
    pub(crate) bgrx: Vec<u8>,
}

impl Screen {
    fn as_ref(&self) -> PictureRef<'_> {
        PictureRef { width: self.width, height: self.height, stride: usize::from(self.width) * 4, bgrx: &self.bgrx }
    }
}

/// What a clip costs.
pub(crate) struct Figures {
    /// Bytes of the first update.
    pub(crate) key_bytes: f64,
    /// Everything after it, over the length of the clip.
    pub(crate) kbit_per_second: f64,
    /// Updates, refinements included.
    pub(crate) updates: usize,
    /// Time of an encode that gave an update, after the first.
    pub(crate) encode_mean_ms: f64,
    /// 95 of 100 take no longer.
    pub encode_p95_ms: f64,
    /// The longest, the first included.
    pub(crate) encode_max_ms: f64,
    /// Time to apply one update.
    pub(crate) decode_mean_ms: f64,
    /// The viewer's picture was equal whenever it should be, and at the end.
    pub(crate) exact: bool,
    /// Length of the clip.
    pub(crate) pictures: u32,
    /// For each update the number of its picture and its bytes.
    pub(crate) sizes: Vec<(u32, usize)>,
}

/// The two sides, and what they have cost so far.
struct Run {
    encoder: Encoder,
    decoder: Decoder,
    sizes: Vec<(u32, usize)>,
    pictures: u32,
    encode_ms: Vec<f64>,
    decode_ms: Vec<f64>,
    exact: bool,
}

/// Runs a clip, which is shown picture by picture to the closure it is given.
pub(crate) fn measure<E>(clip: impl FnOnce(Show<'_>) -> Result<(), E>) -> Result<Figures, E> {
    let mut run = Run {
        encoder: Encoder::new(EncodeOptions::default()),
        decoder: Decoder::new(),
        sizes: Vec::new(),
        pictures: 0,
        encode_ms: Vec::new(),
        decode_ms: Vec::new(),
        exact: true,
    };
    let mut still = 0;
    clip(&mut |screen| {
        still = if run.show(screen) { 0 } else { still + 1 };
        if REST <= still {
            run.refine(screen);
        }
        run.pictures += 1;
    })?;
    let mut encode_ms = run.encode_ms.clone();
    encode_ms.remove(0);
    encode_ms.sort_by(f64::total_cmp);
    let rest: usize = run.sizes.iter().skip(1).map(|(_, bytes)| bytes).sum();
    Ok(Figures {
        key_bytes: as_f64(run.sizes[0].1),
        kbit_per_second: as_f64(rest) * 8.0 / 1000.0 / (f64::from(run.pictures) / RATE),
        updates: run.sizes.len(),
        encode_mean_ms: mean(&encode_ms),
        encode_p95_ms: encode_ms[encode_ms.len() * 95 / 100],
        encode_max_ms: run.encode_ms.iter().copied().fold(0.0, f64::max),
        decode_mean_ms: mean(&run.decode_ms),
        exact: run.exact,
        pictures: run.pictures,
        sizes: run.sizes,
    })
}

impl Run {
    /// Encodes and applies; says whether there was anything to do.
    fn show(&mut self, screen: &Screen) -> bool {
        let start = Instant::now();
        let update = self.encoder.encode(screen.as_ref(), Damage::Unknown).expect("a good picture");
        let took = start.elapsed();
        if let Some(update) = &update {
            self.encode_ms.push(ms(took));
            self.apply(update, screen);
        }
        update.is_some()
    }

    fn refine(&mut self, screen: &Screen) {
        if let Some(update) = self.encoder.refine(REFINE_BYTES).expect("a good picture") {
            self.apply(&update, screen);
        }
    }

    fn apply(&mut self, update: &EncodedUpdate, screen: &Screen) {
        self.sizes.push((self.pictures, update.bytes.len()));
        let start = Instant::now();
        let applied = self.decoder.apply(&update.bytes).expect("our own update");
        self.decode_ms.push(ms(start.elapsed()));
        let seen = self.decoder.picture().expect("an update was applied");
        let same = || {
            let mut pairs = seen.bgrx().chunks_exact(4).zip(screen.bgrx.chunks_exact(4));
            pairs.all(|(a, b)| a[..3] == b[..3])
        };
        self.exact &= applied.lossy_pending || same();
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / as_f64(values.len().max(1))
}

fn as_f64(value: usize) -> f64 {
    u32::try_from(value).map_or(f64::INFINITY, f64::from)
}
