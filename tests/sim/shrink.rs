//! A run that failed, with fewer steps that fail in the same way.

use crate::workload::Step;

/// Leaves out as many steps as it can, large parts first, as long as `fails` says that the rest fails in the same way.
pub fn shrink(mut steps: Vec<Step>, fails: impl Fn(&[Step]) -> bool) -> Vec<Step> {
    let mut part = steps.len() / 2;
    while part > 0 {
        let mut from = 0;
        while from < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(from..(from + part).min(steps.len()));
            if fails(&fewer) {
                steps = fewer;
            } else {
                from += part;
            }
        }
        part /= 2;
    }
    steps
}
