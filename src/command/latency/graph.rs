//! LATENCY GRAPH: the samples of an event as columns of text, with the age of each below it, in the form in which Redis draws
//! them.

use crate::feature::latency::Series;

/// Samples in a row of the picture.
const COLUMNS: usize = 80;
/// Lines of a column; each has three heights.
const LINES: usize = 4;
const HEIGHTS: [u8; 3] = *b"_o#";
/// A part of a column that goes on above.
const FULL: u8 = b'|';

/// The picture of an event's samples, seen at this Unix second.
pub fn draw(event: &str, series: &Series, now_s: i64) -> String {
    let (mut low_ms, mut high_ms) = (u64::MAX, 0);
    for sample in series.samples() {
        (low_ms, high_ms) = (low_ms.min(sample.ms), high_ms.max(sample.ms));
    }
    let max_ms = series.max_ms();
    let mut text = format!("{event} - high {high_ms} ms, low {low_ms} ms (all time high {max_ms} ms)\n");
    text.push_str(&"-".repeat(COLUMNS));
    text.push('\n');
    let columns: Vec<Column> = series
        .samples()
        .map(|sample| Column {
            height: height((sample.ms - low_ms) as f64, (high_ms - low_ms) as f64),
            age: age(now_s - sample.unix_s).into_bytes(),
        })
        .collect();
    let rows: Vec<String> = columns.chunks(COLUMNS).map(draw_row).collect();
    text + &rows.join("\n")
}

struct Column {
    /// From 0 to three times [`LINES`], the last not included.
    height: usize,
    /// Written downwards.
    age: Vec<u8>,
}

fn height(above_low: f64, range: f64) -> usize {
    let steps = LINES * HEIGHTS.len();
    let range = if range == 0.0 { 1.0 } else { range };
    ((above_low * steps as f64 / range) as usize).min(steps - 1)
}

/// In the largest unit of which some have passed.
fn age(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn draw_row(columns: &[Column]) -> String {
    let mut text = String::new();
    let mut line = |byte_of: &dyn Fn(&Column) -> u8| {
        text.extend(columns.iter().map(|column| char::from(byte_of(column))));
        text.push('\n');
    };
    for below in (0..LINES).rev() {
        line(&|column| match column.height.checked_sub(below * HEIGHTS.len()) {
            None => b' ',
            Some(height) => HEIGHTS.get(height).copied().unwrap_or(FULL),
        });
    }
    line(&|_| b' ');
    for at in 0..columns.iter().map(|column| column.age.len()).max().unwrap_or(0) {
        line(&|column| column.age.get(at).copied().unwrap_or(b' '));
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::feature::latency::LatencyEvents;

    use super::*;

    fn drawn(samples: &[(u64, i64)], now_s: i64) -> Vec<String> {
        let mut events = LatencyEvents::default();
        samples.iter().for_each(|(ms, unix_s)| events.add("command", *ms, *unix_s));
        let text = draw("command", events.of(b"command").unwrap(), now_s);
        text.lines().map(str::to_owned).collect()
    }

    /// What a running Redis 8.2.3 drew of these samples, which DEBUG SLEEP had made.
    #[test]
    fn pictures_are_those_of_redis() {
        let samples = [(100, 899), (203, 900), (300, 902), (530, 903), (400, 905)];
        let expected = [
            "command - high 530 ms, low 100 ms (all time high 530 ms)",
            &"-".repeat(80),
            "   # ",
            "   |#",
            "  #||",
            "_#|||",
            "     ",
            "76431",
            "sssss",
        ];
        assert_eq!(drawn(&samples, 906), expected);
        let dashes = "-".repeat(80);
        let one = ["command - high 20 ms, low 20 ms (all time high 20 ms)", &dashes, " ", " ", " ", "_", " ", "0", "s"];
        assert_eq!(drawn(&[(20, 7)], 7), one);
    }

    #[test]
    fn a_long_history_has_two_rows_and_ages_in_the_unit_that_fits() {
        let samples: Vec<(u64, i64)> = (0..81).map(|i| (1 + i % 3, 100_000 + i as i64 * 3600)).collect();
        let lines = drawn(&samples, 100_000 + 80 * 3600 + 59);
        assert_eq!((lines[2].len(), lines.last().unwrap().as_str()), (80, "s"));
        assert_eq!(age(59) + &age(60) + &age(7_199) + &age(172_800), "59s1m1h2d");
    }
}
