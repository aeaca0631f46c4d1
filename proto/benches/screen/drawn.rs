//! Clips that are drawn here, the same on every machine.
//!
//! Letters are made up, with soft edges, in words that repeat as words do; photographs are hills of noise with grain.
//! They are no replacement for recordings of real programs, but they run anywhere.
#![expect(clippy::cast_possible_truncation, reason = "a bench draws with coordinates that are known to fit")]

use std::convert::Infallible;

use crate::measure::{Screen, Show};

/// Names of the clips.
pub(crate) const CLIPS: [&str; 5] = ["scroll", "type", "drag", "mixed", "wall"];

const WIDTH: usize = 1920;
const HEIGHT: usize = 1080;
const LINE: usize = 19;
const PAPER: [u8; 3] = [255, 255, 255];
const INK: [u8; 3] = [34, 30, 28];
const BAR: [u8; 3] = [72, 58, 48];
const GREY: [u8; 3] = [236, 236, 234];

/// Returns the clip of this name, ready to be shown picture by picture.
pub(crate) fn clip(name: &str) -> impl FnOnce(Show<'_>) -> Result<(), Infallible> + use<'_> {
    move |show| {
        match name {
            "scroll" => scroll(show),
            "type" => type_letters(show),
            "drag" => drag(show),
            "mixed" => mixed(show),
            _ => wall(show),
        }
        Ok(())
    }
}

/// The wheel, forth and back, and three whole pages.
fn scroll(show: Show<'_>) {
    let document = document(1, 6000);
    let mut top = 0;
    let mut view = |top: usize, times: usize| {
        let mut screen = desktop();
        blit(&document, (0, top), &mut screen, (200, 100), (1640, 960));
        (0..times).for_each(|_| show(&screen));
    };
    view(top, 8);
    for (clicks, step, times) in [(12, 57, 2), (10, 57, 1), (8, -57, 2), (3, 900, 8)] {
        for _ in 0..clicks {
            top = top.saturating_add_signed(step);
            view(top, times);
        }
        view(top, 8);
    }
}

/// A hundred letters into a small window over text, then one drag of it.
fn type_letters(show: Show<'_>) {
    let mut ground = desktop();
    blit(&document(2, 1000), (0, 0), &mut ground, (200, 100), (1640, 960));
    let mut window = window(760, 420);
    let mut numbers = Numbers(5);
    let mut pen = (12, 44);
    for letter in 0..100 {
        if letter % 6 != 5 {
            draw_letter(&mut window, pen, numbers.below(52), INK);
        }
        pen = if pen.0 + 20 < 740 { (pen.0 + 9, pen.1) } else { (12, pen.1 + LINE) };
        fill(&mut window, (pen.0, pen.1), (1, 14), if letter % 4 < 2 { INK } else { PAPER });
        show(&with_window(&ground, &window, (500, 300)));
        fill(&mut window, (pen.0, pen.1), (1, 14), PAPER);
        if letter % 3 == 0 {
            show(&with_window(&ground, &window, (500, 300)));
        }
    }
    for step in 0..12 {
        show(&with_window(&ground, &window, (500 + step * 19, 300 + step * 13)));
    }
    (0..40).for_each(|_| show(&with_window(&ground, &window, (709, 443))));
}

/// A window over text, there and back, ten seconds.
fn drag(show: Show<'_>) {
    let mut ground = desktop();
    blit(&document(3, 1000), (0, 0), &mut ground, (200, 100), (1640, 960));
    let mut window = window(900, 520);
    blit(&document(4, 480), (0, 0), &mut window, (6, 34), (888, 480));
    for step in 0..150_usize {
        let along = if step / 35 % 2 == 0 { step % 35 } else { 35 - step % 35 };
        show(&with_window(&ground, &window, (220 + along * 21, 160 + along * 11)));
    }
}

/// Another page, another tab, a selection, a menu, a little wheel.
fn mixed(show: Show<'_>) {
    let pages = [document(6, 3000), document(7, 3000), document(8, 3000)];
    let mut view = |page: usize, top: usize, selected: usize, menu: bool, times: usize| {
        let mut screen = desktop();
        fill(&mut screen, (20 + page * 180, 4), (176, 30), GREY);
        blit(&pages[page], (0, top), &mut screen, (200, 100), (1640, 960));
        for line in 0..selected {
            tint(&mut screen, (216, 100 + 8 * LINE + line * LINE), (1200, LINE));
        }
        if menu {
            let mut popup = window(260, 380);
            blit(&document(9, 340), (0, 0), &mut popup, (4, 32), (250, 340));
            screen = with_window(&screen, &popup, (700, 420));
        }
        (0..times).for_each(|_| show(&screen));
    };
    view(0, 0, 0, false, 12);
    view(1, 0, 0, false, 10);
    (1..8).for_each(|click| view(1, click * 57, 0, false, 2));
    view(2, 0, 0, false, 12);
    view(1, 399, 0, false, 10);
    (1..18).for_each(|line| view(1, 399, line, false, 1));
    view(1, 399, 17, true, 10);
    view(1, 399, 17, false, 6);
    view(0, 0, 0, false, 12);
    (1..6).for_each(|click| view(0, click * 57, 0, false, 2));
    view(0, 285, 0, true, 12);
    view(0, 285, 0, false, 12);
}

/// A photograph behind everything: a drag over it, then a terminal that prints, then rest.
fn wall(show: Show<'_>) {
    let ground = photograph();
    let mut window = window(760, 420);
    blit(&document(4, 380), (0, 0), &mut window, (6, 34), (748, 380));
    (0..10).for_each(|_| show(&ground));
    for step in 0..60 {
        show(&with_window(&ground, &window, (120 + step * 12, 120 + step * 5)));
    }
    let output = document(10, 2000);
    for line in 0..60 {
        blit(&output, (0, line * LINE), &mut window, (6, 34), (748, 380));
        show(&with_window(&ground, &window, (828, 415)));
    }
    (0..600).for_each(|_| show(&with_window(&ground, &window, (828, 415))));
}

fn blank(width: usize, height: usize, bgr: [u8; 3]) -> Screen {
    let bgrx = [bgr[0], bgr[1], bgr[2], 0].repeat(width * height);
    Screen { width: width as u16, height: height as u16, bgrx }
}

/// A browser-like frame: bars, a side list, a scroll bar.
fn desktop() -> Screen {
    let mut screen = blank(WIDTH, HEIGHT, PAPER);
    fill(&mut screen, (0, 0), (WIDTH, 36), BAR);
    fill(&mut screen, (0, 36), (WIDTH, 60), GREY);
    fill(&mut screen, (1896, 96), (24, 984), GREY);
    let mut numbers = Numbers(99);
    for line in 0..40 {
        write_line(&mut screen, (8, 110 + line * 22), 170, &mut numbers);
    }
    write_line(&mut screen, (40, 58), 900, &mut numbers);
    screen
}

fn window(width: usize, height: usize) -> Screen {
    let mut screen = blank(width, height, PAPER);
    fill(&mut screen, (0, 0), (width, 30), BAR);
    fill(&mut screen, (0, 0), (1, height), BAR);
    fill(&mut screen, (width - 1, 0), (1, height), BAR);
    fill(&mut screen, (0, height - 1), (width, 1), BAR);
    screen
}

/// Lines of text with headings and code blocks.
fn document(seed: u64, height: usize) -> Screen {
    let mut screen = blank(1640, height, PAPER);
    let mut numbers = Numbers(seed);
    let mut y = 6;
    while y + LINE < height {
        match numbers.below(24) {
            0 => y += LINE,
            1 => {
                let end = (y + 4 * LINE).min(height - 2);
                fill(&mut screen, (14, y), (1400, end - y), GREY);
                y += LINE;
            }
            _ => {
                let length = 700 + usize::from(numbers.below(800));
                write_line(&mut screen, (20, y), length, &mut numbers);
                y += LINE;
            }
        }
    }
    screen
}

/// Words from a small vocabulary, the first ones most often.
fn write_line(screen: &mut Screen, (left, y): (usize, usize), length: usize, numbers: &mut Numbers) {
    let mut x = left;
    let blue = [180, 70, 20];
    while x < left + length {
        let word = usize::from(numbers.below(40)) * usize::from(numbers.below(40)) / 4;
        let mut letters = Numbers(1000 + word as u64);
        let count = 2 + letters.below(8);
        let colour = if word % 50 == 7 { blue } else { INK };
        for _ in 0..count {
            x += draw_letter(screen, (x, y), letters.below(52), colour);
        }
        x += 5;
    }
}

/// Draws one of 52 shapes, four by four strokes with half-covered pixels beside them; returns its width.
fn draw_letter(screen: &mut Screen, (x, y): (usize, usize), shape: u16, colour: [u8; 3]) -> usize {
    let mut strokes = Numbers(u64::from(shape) * 7 + 3);
    let width = 6 + usize::from(strokes.below(4));
    let soft = |cover: u16| colour.map(|part| (255 - u32::from(255 - part) * u32::from(cover) / 8) as u8);
    for _ in 0..3 {
        let (from_x, from_y) = (usize::from(strokes.below(4)), usize::from(strokes.below(7)));
        let cover = 2 + strokes.below(5);
        if strokes.below(2) == 0 {
            fill(screen, (x + from_x + 1, y + 2 + from_y), (1, 12 - from_y), soft(cover));
            fill(screen, (x + from_x, y + 2 + from_y), (1, 12 - from_y), colour);
        } else {
            fill(screen, (x + from_x, y + 3 + from_y), (width - 2 - from_x, 1), soft(cover));
            fill(screen, (x + from_x, y + 2 + from_y), (width - 2 - from_x, 1), colour);
        }
    }
    width
}

/// Sky, hills and grain.
fn photograph() -> Screen {
    let mut screen = blank(WIDTH, HEIGHT, PAPER);
    let mut grain = Numbers(11);
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let height = hills(x, y, 256) * 4 + hills(x, y, 64) * 2 + hills(x, y, 16);
            let value = height / 7;
            let noise = u32::from(grain.below(9));
            let sky = (y * 120 / HEIGHT) as u32;
            let bgr = [200 - sky / 2 + value / 6, 90 + value / 2, 40 + value / 2 + sky / 2];
            let at = (y * WIDTH + x) * 4;
            for (part, value) in bgr.into_iter().enumerate() {
                screen.bgrx[at + part] = (value + noise).min(255) as u8;
            }
        }
    }
    screen
}

/// Smooth noise between 0 and 255 with features of `size` pixels.
fn hills(x: usize, y: usize, size: usize) -> u32 {
    let corner = |x: usize, y: usize| usize::from(Numbers((x * 7919 + y * 104_729 + size) as u64).below(256));
    let (column, row, right, down) = (x / size, y / size, x % size, y % size);
    let upper = corner(column, row) * (size - right) + corner(column + 1, row) * right;
    let lower = corner(column, row + 1) * (size - right) + corner(column + 1, row + 1) * right;
    ((upper * (size - down) + lower * down) / (size * size)) as u32
}

fn fill(screen: &mut Screen, (x, y): (usize, usize), (width, height): (usize, usize), bgr: [u8; 3]) {
    let (across, down) = (usize::from(screen.width), usize::from(screen.height));
    for y in y.min(down)..(y + height).min(down) {
        let row = &mut screen.bgrx[(y * across + x.min(across)) * 4..(y * across + (x + width).min(across)) * 4];
        row.as_chunks_mut::<4>().0.fill([bgr[0], bgr[1], bgr[2], 0]);
    }
}

/// Marks an area as selected.
fn tint(screen: &mut Screen, (x, y): (usize, usize), (width, height): (usize, usize)) {
    for y in y..y + height {
        let at = (y * usize::from(screen.width) + x) * 4;
        for pixel in screen.bgrx[at..at + width * 4].as_chunks_mut::<4>().0 {
            *pixel = [255 - pixel[0] / 8, pixel[1] - pixel[1] / 4, pixel[2] - pixel[2] / 2, 0];
        }
    }
}

fn blit(from: &Screen, start: (usize, usize), to: &mut Screen, place: (usize, usize), size: (usize, usize)) {
    for row in 0..size.1.min(usize::from(from.height) - start.1) {
        let source = ((start.1 + row) * usize::from(from.width) + start.0) * 4;
        let target = ((place.1 + row) * usize::from(to.width) + place.0) * 4;
        to.bgrx[target..target + size.0 * 4].copy_from_slice(&from.bgrx[source..source + size.0 * 4]);
    }
}

fn with_window(ground: &Screen, window: &Screen, place: (usize, usize)) -> Screen {
    let mut screen = Screen { width: ground.width, height: ground.height, bgrx: ground.bgrx.clone() };
    blit(window, (0, 0), &mut screen, place, (usize::from(window.width), usize::from(window.height)));
    screen
}

/// A small generator of numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u16) -> u16 {
        self.0 = (self.0 ^ 0x9E37).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) % u64::from(limit)) as u16
    }
}
