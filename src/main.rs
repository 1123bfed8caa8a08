//! The `aleadb` server program.
fn main() {}
