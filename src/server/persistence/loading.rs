//! Loading a dump file or a log, a part in each turn.

/// What is being loaded.
#[derive(Debug)]
pub struct Loading {}
