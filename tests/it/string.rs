//! Strings.

use crate::memory::Memory;

#[test]
fn get_returns_what_set_stored() {
    let mut m = Memory::new();
    m.expect(&[
        ("GET k", r"$-1\r\n"),
        ("SET k v", r"+OK\r\n"),
        ("GET k", r"$1\r\nv\r\n"),
        ("SET k 42", r"+OK\r\n"),
        ("GET k", r"$2\r\n42\r\n"),
    ]);
}
