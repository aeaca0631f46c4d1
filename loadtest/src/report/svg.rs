//! Plots of a report as inline SVG: no script, nothing from outside, readable in black and white.

use super::{CURVE_SHARES, Curves, Measure, Row, put, short};

const WIDTH: f64 = 720.0;
const LEFT: f64 = 110.0;
const RIGHT: f64 = 20.0;
const ROW: f64 = 26.0;
const COLOURS: [&str; 6] = ["#0b6e4f", "#b03a2e", "#1f4e8c", "#8a6d00", "#6c3483", "#555555"];

/// One line for each of those that are compared: a dot for each round, a bar at the median.
pub(super) fn dots(measure: &Measure) -> String {
    let rows: Vec<&Row> = measure.rows.iter().filter(|row| !row.values.is_empty()).collect();
    let most = rows.iter().flat_map(|row| &row.values).copied().fold(0.0, f64::max);
    if most <= 0.0 {
        return String::new();
    }
    let height = count(rows.len()) * ROW + 34.0;
    let x = |value: f64| LEFT + (value / nice(most)).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT);
    let mut out = open(height, &measure.name);
    for step in 0..=4 {
        let value = nice(most) * f64::from(step) / 4.0;
        grid(&mut out, x(value), height, &short(value));
    }
    for (place, row) in rows.iter().enumerate() {
        let (y, colour) = (count(place) * ROW + 16.0, colour(&row.who, place));
        put(
            &mut out,
            &format!(r#"<text x="{:.0}" y="{:.1}" text-anchor="end">{}</text>"#, LEFT - 8.0, y + 4.0, escape(&row.who)),
        );
        for value in &row.values {
            put(
                &mut out,
                &format!(r#"<circle cx="{:.1}" cy="{y:.1}" r="4" fill="{colour}" fill-opacity="0.55"/>"#, x(*value)),
            );
        }
        let middle = x(row.median());
        put(
            &mut out,
            &format!(
                r#"<line x1="{middle:.1}" x2="{middle:.1}" y1="{:.1}" y2="{:.1}" stroke="{colour}" stroke-width="2.5"/>"#,
                y - 9.0,
                y + 9.0
            ),
        );
    }
    out.push_str("</svg>");
    out
}

/// Value over share, both axes logarithmic: the tail takes as much room as the rest.
pub(super) fn curves(curves: &Curves) -> String {
    const HEIGHT: f64 = 300.0;
    const TOP: f64 = 12.0;
    const BOTTOM: f64 = 270.0;
    let all = || curves.rows.iter().flat_map(|row| &row.values).copied().filter(|value| 0.0 < *value);
    let (least, most) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
    if most <= 0.0 {
        return String::new();
    }
    let (low, high) = (least.log10().floor(), most.log10().ceil().max(least.log10().floor() + 1.0));
    let y = |value: f64| BOTTOM - (value.log10().max(low) - low) / (high - low) * (BOTTOM - TOP);
    let step = (WIDTH - LEFT - RIGHT) / count(CURVE_SHARES.len() - 1);
    let x = |place: usize| LEFT + count(place) * step;
    let mut out = open(HEIGHT, &curves.name);
    let mut power = low;
    while power <= high {
        let (at, value) = (y(10f64.powf(power)), 10f64.powf(power));
        put(
            &mut out,
            &format!(r##"<line x1="{LEFT}" x2="{:.0}" y1="{at:.1}" y2="{at:.1}" stroke="#ddd"/>"##, WIDTH - RIGHT),
        );
        let label = if value < 1.0 { format!("{value}") } else { format!("{value:.0}") };
        put(
            &mut out,
            &format!(
                r#"<text x="{:.0}" y="{:.1}" text-anchor="end">{label} {}</text>"#,
                LEFT - 8.0,
                at + 4.0,
                escape(&curves.unit)
            ),
        );
        power += 1.0;
    }
    for (place, share) in CURVE_SHARES.iter().enumerate() {
        let label = if *share >= 1.0 {
            "max".to_owned()
        } else if *share <= 0.0 {
            "min".to_owned()
        } else {
            format!("{}", share * 100.0)
        };
        put(
            &mut out,
            &format!(r#"<text x="{:.1}" y="{:.0}" text-anchor="middle">{label}</text>"#, x(place), HEIGHT - 10.0),
        );
    }
    for (place, row) in curves.rows.iter().enumerate() {
        let points: Vec<_> =
            row.values.iter().enumerate().map(|(at, value)| format!("{:.1},{:.1}", x(at), y(*value))).collect();
        put(
            &mut out,
            &format!(
                r#"<polyline points="{}" fill="none" stroke="{}" stroke-width="2"/>"#,
                points.join(" "),
                colour(&row.who, place)
            ),
        );
        let at = TOP + 14.0 * count(place + 1);
        put(
            &mut out,
            &format!(
                r#"<text x="{:.0}" y="{at:.0}" fill="{}" font-weight="bold">{}</text>"#,
                LEFT + 12.0,
                colour(&row.who, place),
                escape(&row.who)
            ),
        );
    }
    out.push_str("</svg>");
    out
}

/// Text that is safe inside of a page.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn open(height: f64, name: &str) -> String {
    format!(r#"<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{}">"#, escape(name))
}

fn grid(out: &mut String, x: f64, height: f64, label: &str) {
    put(out, &format!(r##"<line x1="{x:.1}" x2="{x:.1}" y1="2" y2="{:.0}" stroke="#ddd"/>"##, height - 26.0));
    put(out, &format!(r#"<text x="{x:.1}" y="{:.0}" text-anchor="middle">{label}</text>"#, height - 10.0));
}

/// The same for the same one in every plot.
fn colour(who: &str, place: usize) -> &'static str {
    let known = ["relay", "HAProxy", "TLS copy", "plain copy", "relay, QUIC", "direct"];
    let place = known.iter().position(|known| *known == who).unwrap_or(place);
    COLOURS[place % COLOURS.len()]
}

fn count(count: usize) -> f64 {
    u32::try_from(count).map_or(0.0, f64::from)
}

/// The next larger number that begins with 1, 2, 4 or 8.
fn nice(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 8.0, 10.0].into_iter().map(|step| step * power).find(|round| value <= *round).unwrap_or(value)
}
