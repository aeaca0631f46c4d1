//! Measures the screen codec on clips of a 1920×1080 screen, 15 pictures a second.
//!
//! `cargo bench -p uketsuke-proto --bench screen` draws its clips itself.
//! `… --bench screen -- DIR` measures the recordings of real programs that `record.sh DIR` has made as well.
//! Every picture is compared whole, as if the system gave no damage; damage only makes it faster.
#![expect(clippy::print_stdout, reason = "a bench prints its table")]

mod drawn;
mod measure;
mod recorded;

use std::path::PathBuf;

use measure::{Figures, measure};

/// Largest figures that are good enough: kbit/s after the first picture.
const BARS: [(&str, f64); 4] = [("scroll", 260.0), ("type", 80.0), ("drag", 180.0), ("mixed", 330.0)];
const FIRST_PAINT_BAR: f64 = 150.0;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("bars: first paint {FIRST_PAINT_BAR} kB; encode mean 10 ms, p95 30 ms; decode mean 3 ms; always exact");
    println!("| clip | key kB | kbit/s | bar | updates | encode mean ms | p95 ms | max ms | decode mean ms | exact |");
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for name in drawn::CLIPS {
        print_row(&format!("{name}, drawn"), name, &measure(drawn::clip(name))?);
    }
    let directory = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).map(PathBuf::from);
    for (name, _) in BARS {
        let file = directory.as_ref().map(|directory| directory.join(format!("{name}.zst")));
        if let Some(file) = file.filter(|file| file.exists()) {
            print_row(&format!("{name}, recorded"), name, &measure(recorded::clip(&file)?)?);
        }
    }
    Ok(())
}

fn print_row(title: &str, name: &str, figures: &Figures) {
    let bar = BARS.iter().find(|(clip, _)| *clip == name).map_or("–".to_owned(), |(_, bar)| format!("{bar:.0}"));
    println!(
        "| {title} | {:.0} | {:.0} | {bar} | {} | {:.1} | {:.1} | {:.1} | {:.2} | {} |",
        figures.key_bytes / 1000.0,
        figures.kbit_per_second,
        figures.updates,
        figures.encode_mean_ms,
        figures.encode_p95_ms,
        figures.encode_max_ms,
        figures.decode_mean_ms,
        if figures.exact { "yes" } else { "NO" },
    );
}
