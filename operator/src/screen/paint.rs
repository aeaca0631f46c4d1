//! The canvas in the window: uploads what changed, places the picture, draws the customer's pointer.
//!
//! Guarantees: a pixel of the picture and a place in the window are mapped both ways by one [`Placement`]; at whole
//! scales pixels stay crisp, between them they are smoothed.
//! Picture walk: before `operator/src/screen/canvas.rs`; this is the last hop.

use egui::{
    Color32, ColorImage, Context, Painter as EguiPainter, Pos2, Rect, TextureFilter, TextureHandle, TextureOptions,
    Vec2, pos2, vec2,
};
use proto::screen::{Picture, Rect as PictureRect, cursor::CursorShape};

use super::{Dirty, Screen, Shown};

/// Edge of one texture; larger pictures take several. Every graphics driver in use can do this size.
const TEXTURE_EDGE_MAX: usize = 8192;
/// A scale this close to a whole number is made whole.
const WHOLE_WITHIN: f32 = 0.02;

/// How the picture is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scale {
    /// All of it is seen.
    #[default]
    Fit,
    /// One pixel for one pixel.
    Whole,
}

/// Where the picture is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// In points of the window.
    pub rect: Rect,
    /// Pixels of the picture.
    pub size: (u16, u16),
    /// Pixels of the window for one pixel of the picture.
    pub scale: f32,
}

impl Placement {
    /// Places a picture into `area`, `pixels_per_point` being the window's. `scroll` moves a picture that is larger
    /// than the area, in points.
    pub fn new(area: Rect, size: (u16, u16), how: Scale, pixels_per_point: f32, scroll: Vec2) -> Self {
        let pixels = vec2(f32::from(size.0.max(1)), f32::from(size.1.max(1)));
        let scale = match how {
            Scale::Whole => 1.0,
            Scale::Fit => {
                let room = area.size() * pixels_per_point / pixels;
                let fit = room.x.min(room.y).max(0.01);
                let whole = fit.round();
                if 1.0 <= whole && (fit - whole).abs() <= WHOLE_WITHIN * whole { whole } else { fit }
            }
        };
        let points = pixels * scale / pixels_per_point;
        let free = area.size() - points;
        let left_top = area.min + vec2(axis(free.x, scroll.x), axis(free.y, scroll.y));
        let snapped = (left_top.to_vec2() * pixels_per_point).round() / pixels_per_point;
        Self { rect: Rect::from_min_size(snapped.to_pos2(), points), size, scale }
    }

    /// The pixel of the picture at a place of the window.
    pub fn pixel_at(&self, place: Pos2) -> Option<(u16, u16)> {
        if !self.rect.contains(place) {
            return None;
        }
        let part = (place - self.rect.min) / self.rect.size();
        Some((pixel(part.x, self.size.0)?, pixel(part.y, self.size.1)?))
    }

    /// The place of the window of a pixel's left top corner.
    pub fn place_of(&self, x: f32, y: f32) -> Pos2 {
        let (width, height) = (f32::from(self.size.0.max(1)), f32::from(self.size.1.max(1)));
        self.rect.min + self.rect.size() * vec2(x / width, y / height)
    }

    fn is_whole(&self) -> bool {
        1.0 <= self.scale && (self.scale - self.scale.round()).abs() < f32::EPSILON
    }
}

/// Centred while there is room, otherwise moved by the scroll within the picture.
fn axis(free: f32, scroll: f32) -> f32 {
    if 0.0 <= free { free / 2.0 } else { (-scroll).clamp(free, 0.0) }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the picture's size")]
fn pixel(part: f32, size: u16) -> Option<u16> {
    let last = size.checked_sub(1)?;
    Some((part * f32::from(size)).floor().clamp(0.0, f32::from(last)) as u16)
}

/// Keeps the textures of one session's picture.
#[derive(Default)]
pub struct Painter {
    tiles: Vec<Tile>,
    size: (u16, u16),
    whole: Option<bool>,
    cursor: Option<(u64, TextureHandle)>,
}

struct Tile {
    rect: PictureRect,
    texture: TextureHandle,
}

impl Painter {
    /// Size of the picture, if there is one.
    pub fn size(screen: &Screen) -> Option<(u16, u16)> {
        screen.lock().canvas.picture().map(|picture| (picture.width(), picture.height()))
    }

    /// Uploads what changed and draws the picture and, when `with_cursor`, the customer's pointer.
    pub fn paint(&mut self, painter: &EguiPainter, screen: &Screen, placement: &Placement, with_cursor: bool) {
        let mut shown = screen.lock();
        self.upload(painter.ctx(), &mut shown, placement.is_whole());
        for tile in &self.tiles {
            let place = Rect::from_min_max(
                placement.place_of(f32::from(tile.rect.x), f32::from(tile.rect.y)),
                placement.place_of(
                    f32::from(tile.rect.x) + f32::from(tile.rect.width),
                    f32::from(tile.rect.y) + f32::from(tile.rect.height),
                ),
            );
            painter.image(tile.texture.id(), place, whole_texture(), Color32::WHITE);
        }
        if with_cursor {
            self.paint_cursor(painter, &shown, placement);
        }
    }

    fn upload(&mut self, ctx: &Context, shown: &mut Shown, whole: bool) {
        let mut dirty = shown.take_dirty();
        let Some(picture) = shown.canvas.picture() else { return };
        let size = (picture.width(), picture.height());
        if self.whole != Some(whole) || self.size != size || self.tiles.is_empty() {
            dirty = Dirty::All;
        }
        let options = options(whole);
        match dirty {
            Dirty::Clean => {}
            Dirty::All => {
                let edge = ctx.input(|input| input.max_texture_side).min(TEXTURE_EDGE_MAX);
                self.tiles = tiles(size, u16::try_from(edge).unwrap_or(u16::MAX).max(1))
                    .map(|rect| Tile { rect, texture: ctx.load_texture("screen", part(picture, rect), options) })
                    .collect();
            }
            Dirty::Rects(rects) => {
                for tile in &mut self.tiles {
                    for rect in rects.iter().filter_map(|rect| common(*rect, tile.rect)) {
                        let at = [rect.x - tile.rect.x, rect.y - tile.rect.y].map(usize::from);
                        tile.texture.set_partial(at, part(picture, rect), options);
                    }
                }
            }
        }
        (self.size, self.whole) = (size, Some(whole));
    }

    #[expect(clippy::cast_precision_loss, reason = "positions are far below 2^24")]
    fn paint_cursor(&mut self, painter: &EguiPainter, shown: &Shown, placement: &Placement) {
        let cursor = &shown.cursor;
        let Some(shape) = cursor.shape.as_ref().filter(|_| cursor.visible) else { return };
        if self.cursor.as_ref().is_none_or(|(count, _)| *count != cursor.shape_count) {
            let texture = painter.ctx().load_texture("cursor", cursor_image(shape), options(placement.is_whole()));
            self.cursor = Some((cursor.shape_count, texture));
        }
        let Some((_, texture)) = &self.cursor else { return };
        let left = cursor.x as f32 - f32::from(shape.hot_x);
        let top = cursor.y as f32 - f32::from(shape.hot_y);
        let rect = Rect::from_min_max(
            placement.place_of(left, top),
            placement.place_of(left + f32::from(shape.width), top + f32::from(shape.height)),
        );
        painter.image(texture.id(), rect, whole_texture(), Color32::WHITE);
    }
}

fn whole_texture() -> Rect {
    Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0))
}

fn options(whole: bool) -> TextureOptions {
    let magnification = if whole { TextureFilter::Nearest } else { TextureFilter::Linear };
    TextureOptions { magnification, minification: TextureFilter::Linear, ..TextureOptions::LINEAR }
}

/// The rectangles of the textures, row by row.
fn tiles(size: (u16, u16), edge: u16) -> impl Iterator<Item = PictureRect> {
    let step = usize::from(edge);
    (0..size.1).step_by(step).flat_map(move |y| {
        (0..size.0).step_by(step).map(move |x| PictureRect {
            x,
            y,
            width: edge.min(size.0 - x),
            height: edge.min(size.1 - y),
        })
    })
}

/// What two rectangles have in common.
fn common(a: PictureRect, b: PictureRect) -> Option<PictureRect> {
    let (x, y) = (a.x.max(b.x), a.y.max(b.y));
    let edge = |low: u16, len_a: u32, len_b: u32| u16::try_from(len_a.min(len_b)).ok()?.checked_sub(low);
    let width = edge(x, a.right(), b.right())?;
    let height = edge(y, a.bottom(), b.bottom())?;
    (0 < width && 0 < height).then_some(PictureRect { x, y, width, height })
}

/// A part of the picture as an image for a texture. `rect` lies inside the picture.
fn part(picture: &Picture, rect: PictureRect) -> ColorImage {
    let stride = usize::from(picture.width());
    let (x, width) = (usize::from(rect.x), usize::from(rect.width));
    let pixels = picture
        .bgrx()
        .as_chunks::<4>()
        .0
        .chunks(stride.max(1))
        .skip(usize::from(rect.y))
        .take(usize::from(rect.height))
        .flat_map(|row| row.iter().skip(x).take(width))
        .map(|[blue, green, red, _]| Color32::from_rgb(*red, *green, *blue))
        .collect();
    ColorImage::new([width, usize::from(rect.height)], pixels)
}

fn cursor_image(shape: &CursorShape) -> ColorImage {
    let pixels = shape
        .bgra
        .as_chunks::<4>()
        .0
        .iter()
        .map(|[blue, green, red, alpha]| Color32::from_rgba_premultiplied(*red, *green, *blue, *alpha))
        .collect();
    ColorImage::new([usize::from(shape.width), usize::from(shape.height)], pixels)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn area(width: f32, height: f32) -> Rect {
        Rect::from_min_size(pos2(10.0, 60.0), vec2(width, height))
    }

    #[test]
    fn a_picture_of_the_same_size_is_not_scaled() {
        let placement = Placement::new(area(1920.0, 1080.0), (1920, 1080), Scale::Fit, 1.0, Vec2::ZERO);
        assert!(placement.is_whole());
        assert_eq!(placement.pixel_at(pos2(10.0, 60.0)), Some((0, 0)));
        assert_eq!(placement.pixel_at(pos2(1929.5, 1139.5)), Some((1919, 1079)));
        assert_eq!(placement.pixel_at(pos2(9.0, 60.0)), None);
    }

    #[test]
    fn one_to_one_means_pixels_of_the_window_at_every_density() {
        for density in [1.0, 1.25, 1.5, 1.75, 2.0, 2.5] {
            let placement = Placement::new(area(800.0, 600.0), (640, 480), Scale::Whole, density, Vec2::ZERO);
            assert!((placement.rect.width() * density - 640.0).abs() < 0.01, "{density}");
            assert!(placement.is_whole());
        }
    }

    #[test]
    fn a_large_picture_is_scrolled_within_its_edges() {
        let at = |scroll| Placement::new(area(800.0, 600.0), (1920, 1080), Scale::Whole, 1.0, scroll).rect.min;
        assert_eq!(at(Vec2::ZERO), pos2(10.0, 60.0));
        assert_eq!(at(vec2(100.0, 50.0)), pos2(-90.0, 10.0));
        assert_eq!(at(vec2(9000.0, 9000.0)), pos2(10.0 + 800.0 - 1920.0, 60.0 + 600.0 - 1080.0));
    }

    proptest! {
        #[test]
        fn a_pixel_and_its_middle_in_the_window_are_the_same_place(
            width in 1..4000u16, height in 1..3000u16, x in 0.0..1.0f32, y in 0.0..1.0f32,
            density in prop_oneof![Just(1.0f32), Just(1.25), Just(1.5), Just(1.75), Just(2.0), Just(2.5)],
        ) {
            let placement = Placement::new(area(1280.0, 720.0), (width, height), Scale::Fit, density, Vec2::ZERO);
            let wanted = (pixel(x, width).unwrap(), pixel(y, height).unwrap());
            let middle = placement.place_of(f32::from(wanted.0) + 0.5, f32::from(wanted.1) + 0.5);
            prop_assert_eq!(placement.pixel_at(middle), Some(wanted));
        }

        #[test]
        fn textures_cover_the_picture_once(width in 1..300u16, height in 1..300u16, edge in 1..130u16) {
            let rects: Vec<_> = tiles((width, height), edge).collect();
            let pixels: u64 = rects.iter().map(|rect| rect.pixels()).sum();
            prop_assert_eq!(pixels, u64::from(width) * u64::from(height));
            for (index, a) in rects.iter().enumerate() {
                prop_assert!(rects[..index].iter().all(|b| common(*a, *b).is_none()));
            }
        }
    }

    #[test]
    fn a_part_of_the_picture_has_its_own_pixels() {
        let mut picture = Picture::new(8, 4).unwrap();
        picture.fill(PictureRect { x: 2, y: 1, width: 3, height: 2 }, [1, 2, 3]);
        let image = part(&picture, PictureRect { x: 1, y: 1, width: 3, height: 2 });
        assert_eq!(image.size, [3, 2]);
        assert_eq!(image.pixels[0], Color32::BLACK);
        assert_eq!(image.pixels[1], Color32::from_rgb(3, 2, 1));
    }
}
