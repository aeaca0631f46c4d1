//! Measures the screen codec on clips of a 1920×1080 screen, 15 pictures a second.
//!
//! `cargo bench -p uketsuke-proto --bench screen` draws its clips itself.
//! `… --bench screen -- DIR` measures the recordings of real programs that `record.sh DIR` has made as well, and
//! `… -- DIR --mix FILE` writes the sizes of their updates for the load tester (`loadtest/mixes/recorded.toml`).
//! Every picture is compared whole, as if the system gave no damage; damage only makes it faster.
#![expect(clippy::print_stdout, reason = "a bench prints its table")]

mod drawn;
mod measure;
mod recorded;

use std::{fmt::Write as _, path::PathBuf};

use measure::{Figures, measure};

/// Largest figures that are good enough: kbit/s after the first picture.
const BARS: [(&str, f64); 4] = [("scroll", 260.0), ("type", 80.0), ("drag", 180.0), ("mixed", 330.0)];
const FIRST_PAINT_BAR: f64 = 150.0;
/// Says where a mix comes from.
const MIX_HEAD: &str = "\
# What sessions of real programs send: our encoder over recordings of a 1920x1080 screen, 15 pictures a second.
# Made by `proto/benches/screen/record.sh DIR` and then
# `cargo bench -p uketsuke-proto --bench screen -- DIR --mix loadtest/mixes/recorded.toml`; do not edit.
";
/// Messages with input of each clip, by counting what `record.sh` plays: a key or button is two, down and up; a step of
/// the wheel and a movement of the pointer one each.
const INPUTS: [(&str, u32); 4] = [("scroll", 36), ("type", 216), ("drag", 212), ("mixed", 75)];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("bars: first paint {FIRST_PAINT_BAR} kB; encode mean 10 ms, p95 30 ms; decode mean 3 ms; always exact");
    println!("| clip | key kB | kbit/s | bar | updates | encode mean ms | p95 ms | max ms | decode mean ms | exact |");
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for name in drawn::CLIPS {
        print_row(&format!("{name}, drawn"), name, &measure(drawn::clip(name))?);
    }
    let mut flags = std::env::args().skip(1).skip_while(|flag| flag.starts_with("--bench"));
    let directory = flags.next().map(PathBuf::from);
    let mix_file = flags.next().filter(|flag| flag == "--mix").and(flags.next());
    let mut mix = format!("{MIX_HEAD}\npictures_per_sec = {:.1}\n", measure::RATE);
    for (name, _) in BARS {
        let file = directory.as_ref().map(|directory| directory.join(format!("{name}.zst")));
        if let Some(file) = file.filter(|file| file.exists()) {
            let figures = measure(recorded::clip(&file)?)?;
            print_row(&format!("{name}, recorded"), name, &figures);
            put_mix(&mut mix, name, &figures)?;
        }
    }
    if let Some(file) = mix_file {
        std::fs::write(file, mix)?;
    }
    Ok(())
}

/// Appends a clip in the form of the load tester's mixes.
fn put_mix(mix: &mut String, name: &str, figures: &Figures) -> std::fmt::Result {
    let inputs = INPUTS.iter().find(|(clip, _)| *clip == name).map_or(0, |(_, inputs)| *inputs);
    writeln!(mix, "\n[[clip]]\nname = \"{name}\"\npictures = {}\ninputs = {inputs}", figures.pictures)?;
    writeln!(mix, "# [picture, bytes of its update]\nupdates = [")?;
    for line in figures.sizes.chunks(8) {
        let updates: Vec<_> = line.iter().map(|(picture, bytes)| format!("[{picture}, {bytes}]")).collect();
        writeln!(mix, "    {},", updates.join(", "))?;
    }
    writeln!(mix, "]")
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
