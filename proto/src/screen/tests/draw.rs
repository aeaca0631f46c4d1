//! Things to show: text-like and photo-like pixels, scrolls and moves, all from a seed.

use crate::screen::{Picture, Rect};

/// A small generator of numbers; the same seed gives the same pictures everywhere.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.0 >> 33).unwrap()
    }

    pub(super) fn below(&mut self, limit: u32) -> u16 {
        u16::try_from(self.next() % limit.max(1)).unwrap()
    }
}

pub(super) fn set(picture: &mut Picture, x: u16, y: u16, bgr: [u8; 3]) {
    picture.fill(Rect { x, y, width: 1, height: 1 }, bgr);
}

/// Lines of made-up letters in dark grey, with soft edges, on white.
pub(super) fn text(picture: &mut Picture, area: Rect, seed: u64) {
    let mut numbers = Numbers(seed);
    picture.fill(area, [255, 255, 255]);
    let area = area.clipped(picture.width(), picture.height());
    for line in (0..area.height.saturating_sub(14)).step_by(18) {
        let mut x = 3;
        while x + 8 < area.width {
            letter(picture, (area.x + x, area.y + line + 3), numbers.next() % 60);
            x += if numbers.next().is_multiple_of(6) { 16 } else { 8 };
        }
    }
}

fn letter(picture: &mut Picture, (x, y): (u16, u16), shape: u32) {
    let mut strokes = Numbers(u64::from(shape));
    for _ in 0..4 {
        let (from_x, from_y) = (strokes.below(5), strokes.below(9));
        let upright = strokes.next().is_multiple_of(2);
        let (width, height) = if upright { (1, 10 - from_y) } else { (6 - from_x, 1) };
        picture.fill(Rect { x: x + from_x, y: y + from_y, width, height }, [40, 40, 40]);
        set(picture, x + from_x + 1, y + from_y, [150, 150, 150]);
    }
}

/// Soft colours with grain, like a photograph.
pub(super) fn photo(picture: &mut Picture, area: Rect, seed: u64) {
    let mut numbers = Numbers(seed);
    let area = area.clipped(picture.width(), picture.height());
    for y in 0..area.height {
        for x in 0..area.width {
            let grain = numbers.next();
            let slope = [u32::from(x) / 3 + u32::from(y) / 5, u32::from(y) / 2, 90 + u32::from(x) / 4];
            let bgr = [0, 1, 2].map(|part| {
                let value: u32 = slope[part] % 200 + ((grain >> (5 * part)) & 31);
                u8::try_from(value.min(255)).unwrap()
            });
            set(picture, area.x + x, area.y + y, bgr);
        }
    }
}

/// Moves the pixels of an area inside the picture; what is uncovered stays.
pub(super) fn shift(picture: &mut Picture, from: Rect, to: (u16, u16)) {
    let before = picture.clone();
    let from = from.clipped(picture.width(), picture.height());
    for y in 0..from.height {
        for x in 0..from.width {
            let pixel = before.row(from.x + x, from.y + y, 1);
            set(picture, to.0.saturating_add(x), to.1.saturating_add(y), [pixel[0], pixel[1], pixel[2]]);
        }
    }
}
