//! A report as one HTML page: light, with plots inside, without scripts and without anything from outside.

use super::{Report, put, svg, svg::escape, table};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff;max-width:52rem;margin:2rem auto;\
padding:0 1rem}h1{font-size:1.5rem}h2{font-size:1.1rem;margin:2rem 0 .3rem}table{border-collapse:collapse;margin:.5rem 0}\
th,td{text-align:right;padding:.2rem .8rem .2rem 0;border-bottom:1px solid #ddd;font-variant-numeric:tabular-nums}\
th:first-child,td:first-child{text-align:left}svg{width:100%;height:auto;font:12px system-ui,sans-serif}\
.missed{color:#b03a2e;font-weight:bold}.aim{color:#555;font-weight:normal}";

/// The whole page.
pub fn page(report: &Report) -> String {
    let title = escape(&report.title);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n"
    );
    pairs(&mut out, &report.facts);
    if !report.verdicts.is_empty() {
        out.push_str("<h2>Targets</h2>\n");
        cells(&mut out, &table::verdicts(report));
    }
    for measure in &report.measures {
        let aim = if measure.less_is_better { "less is better" } else { "more is better" };
        put(
            &mut out,
            &format!(
                "<h2>{}, {} <span class=\"aim\">({aim}; a dot for each round, a bar at the median)</span></h2>\n",
                escape(&measure.name),
                escape(&measure.unit)
            ),
        );
        out.push_str(&svg::dots(measure));
        cells(&mut out, &table::rows(measure));
    }
    for table in &report.tables {
        put(&mut out, &format!("<h2>{}</h2>\n", escape(&table.name)));
        cells(&mut out, &table.rows);
    }
    for curves in &report.curves {
        put(
            &mut out,
            &format!("<h2>{} <span class=\"aim\">(at most this in so many of 100)</span></h2>\n", escape(&curves.name)),
        );
        out.push_str(&svg::curves(curves));
    }
    if !report.readings.is_empty() {
        out.push_str("<h2>Readings</h2>\n");
        pairs(&mut out, &report.readings);
    }
    out.push_str("</body></html>\n");
    out
}

fn pairs(out: &mut String, pairs: &[(String, String)]) {
    out.push_str("<table>\n");
    for (name, value) in pairs {
        put(out, &format!("<tr><td>{}</td><td>{}</td></tr>\n", escape(name), escape(value)));
    }
    out.push_str("</table>\n");
}

fn cells(out: &mut String, rows: &[Vec<String>]) {
    out.push_str("<table>\n");
    for (place, row) in rows.iter().enumerate() {
        let tag = if place == 0 { "th" } else { "td" };
        out.push_str("<tr>");
        for cell in row {
            let class = if cell == "MISSED" { " class=\"missed\"" } else { "" };
            put(out, &format!("<{tag}{class}>{}</{tag}>", escape(cell)));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{CURVE_SHARES, Curves, Measure, Row, Table, Verdict};

    #[test]
    fn a_page_has_every_figure_and_asks_for_nothing_outside() {
        let row = |who: &str, values: &[f64]| Row { who: who.to_owned(), values: values.to_vec() };
        let page = page(&Report {
            title: "a <b> & c".to_owned(),
            facts: vec![("kernel".to_owned(), "6".to_owned())],
            measures: vec![Measure {
                name: "CPU".to_owned(),
                unit: "s/GB".to_owned(),
                less_is_better: true,
                bases: vec![],
                rows: vec![row("relay", &[0.4, 0.5])],
            }],
            curves: vec![Curves {
                name: "Latency".to_owned(),
                unit: "µs".to_owned(),
                rows: vec![row("relay", &[100.0; CURVE_SHARES.len()])],
            }],
            verdicts: vec![Verdict { what: "CPU".to_owned(), found: 0.4, bound: 0.1, at_most: true }],
            tables: vec![Table { name: "Trials".to_owned(), rows: vec![vec!["sessions".to_owned()]] }],
            readings: vec![("lost".to_owned(), "0".to_owned())],
        });

        assert!(page.contains("a &lt;b&gt; &amp; c") && !page.contains("<b>"));
        for part in ["<circle", "<polyline", "MISSED", "0.400", "lost", "sessions"] {
            assert!(page.contains(part), "{part} is missing");
        }
        for part in ["<script", "http:", "https:", "url(", "src=", "href="] {
            assert!(!page.contains(part), "{part} is there");
        }
    }
}
