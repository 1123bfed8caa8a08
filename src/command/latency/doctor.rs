//! LATENCY DOCTOR: the events in words, and for each kind what may be done about it.

use std::fmt::Write;

use crate::config::Config;
use crate::feature::latency::{LatencyEvents, Series};

/// Events whose names begin so, what they are, and what may help.
const KINDS: &[(&str, &str, &str)] = &[
    (
        "command",
        "a command that is not flagged as fast",
        "SLOWLOG GET shows which ones (set slowlog-log-slower-than to no more than the threshold); commands over fewer elements at a \
         time, such as SCAN in place of KEYS, keep others waiting less.",
    ),
    (
        "fast-command",
        "a command that is quick by itself, so that something else kept it: a processor that others use, memory that was swapped \
         out, or a very large value",
        "See whether other programs share the processor (steal and nice time), whether the machine swaps, and what COMMANDLOG GET -1 \
         large-reply shows.",
    ),
    (
        "expire-cycle",
        "keys that left at their deadlines, within the budget of a turn",
        "INFO expiry tells how many are due; deadlines that are spread a little do not fall due together.",
    ),
    (
        "eviction-",
        "keys that had to leave for lack of memory",
        "A higher maxmemory, or fewer writes at a time, lets fewer of them leave in one turn.",
    ),
    (
        "aof-",
        "the append-only file, written in the loop or waited for",
        "See what else writes to its disk; appendfsync everysec, or no-appendfsync-on-rewrite, wait less for it.",
    ),
    (
        "snapshot",
        "a slice of a snapshot, taken in the loop",
        "Slices are kept short; a long one tells of a very large value, or of a processor that others use.",
    ),
];

/// The report.
pub fn report(config: &Config, events: &LatencyEvents) -> String {
    let threshold_ms = config.latency_monitor_threshold;
    if threshold_ms == 0 {
        return String::from(
            "Latency is not monitored. Set the milliseconds from which on events are to be noted: CONFIG SET \
             latency-monitor-threshold <milliseconds>. INFO latencystats and INFO loop tell of durations in any case.\n",
        );
    }
    if events.iter().len() == 0 {
        return format!("No event has taken {threshold_ms} ms or longer since events are monitored.\n");
    }
    let mut text = format!("Events of {threshold_ms} ms or longer, by kind:\n");
    for (at, (name, series)) in events.iter().enumerate() {
        describe(&mut text, at + 1, name, series);
    }
    text.push_str("\nWhat may help:\n");
    for (prefix, _, advice) in KINDS {
        if events.iter().any(|(name, _)| is_of(name, prefix)) {
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "- {}: {advice}", prefix.trim_end_matches('-'));
        }
    }
    text
}

fn describe(text: &mut String, number: usize, name: &str, series: &Series) {
    let count = series.samples().len() as u64;
    let mean_ms = series.samples().map(|sample| sample.ms).sum::<u64>() / count.max(1);
    let deviation_ms = series.samples().map(|sample| sample.ms.abs_diff(mean_ms)).sum::<u64>() / count.max(1);
    let seconds = series.samples().zip(series.samples().skip(1)).map(|(a, b)| b.unix_s - a.unix_s);
    let apart_s = seconds.sum::<i64>() as f64 / (count.max(2) - 1) as f64;
    let what = KINDS.iter().find(|(prefix, ..)| is_of(name, prefix)).map_or("", |(_, what, _)| *what);
    let _ = writeln!(
        text,
        "{number}. {name}: {count} seconds with such an event (mean {mean_ms} ms, mean deviation {deviation_ms} ms, {apart_s:.2} \
         seconds apart). The longest ever took {} ms. It is {what}.",
        series.max_ms()
    );
}

fn is_of(name: &str, prefix: &str) -> bool {
    if prefix.ends_with('-') { name.starts_with(prefix) } else { name == prefix }
}
