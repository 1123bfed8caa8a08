//! What the list of processes shows as this process's command line.
//!
//! On Linux that is read from where the kernel put the arguments, which the environment follows directly; a program may
//! write there. [`prepare`] asks the kernel where that is and moves the environment away, so that the title may be as long
//! as both were. The last byte of the area stays zero: whatever still points into it finds the end of its text.
//!
//! Elsewhere than on Linux the title stays what it was.
#![allow(unsafe_code)]

use std::ffi::{CStr, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The memory the kernel reads the command line from, once it is ours to write.
static AREA: Mutex<Option<Area>> = Mutex::new(None);

/// The name the program was started by.
static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();

/// Addresses, the end excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Area {
    start: usize,
    end: usize,
}

/// The name the program was started by: its first argument, as it was before [`set`] wrote over it.
pub fn program() -> &'static [u8] {
    PROGRAM.get_or_init(|| std::env::args_os().next().map(OsString::into_vec).unwrap_or_default())
}

/// Makes the title settable. To be called once, before the process has a second thread, and after everything that reads the
/// arguments.
///
/// # Errors
/// The system does not tell where the arguments are.
pub fn prepare() -> io::Result<()> {
    program();
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let area = area(&stat).ok_or_else(|| io::Error::other("the system does not tell where the arguments are"))?;
    move_environment(area);
    *AREA.lock().unwrap_or_else(PoisonError::into_inner) = Some(area);
    Ok(())
}

/// Shows `text`, as much of it as fits. False where the title cannot be set.
pub fn set(text: &[u8]) -> bool {
    let held = AREA.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(area) = *held else { return false };
    let room = area.end - area.start;
    let shown = &text[..text.len().min(room - 1)];
    let start = std::ptr::with_exposed_provenance_mut::<u8>(area.start);
    // SAFETY: the kernel mapped `room` bytes here, writable, for the life of the process. The environment has moved away; of
    // the arguments the standard library keeps the addresses, and reads texts there that end at the area's last byte at the
    // latest, which stays zero. The lock keeps writers apart.
    unsafe {
        std::ptr::write_bytes(start, 0, room);
        std::ptr::copy_nonoverlapping(shown.as_ptr(), start, shown.len());
    }
    true
}

/// The arguments and the environment, of which `/proc/self/stat` tells the addresses in its fields 48 to 51 (proc(5)).
fn area(stat: &str) -> Option<Area> {
    // The second field is the program's name in parentheses, in which anything may stand.
    let (_, rest) = stat.rsplit_once(')')?;
    let field = |number: usize| rest.split_ascii_whitespace().nth(number - 3)?.parse::<usize>().ok();
    let [start, end, next, last] = [field(48)?, field(49)?, field(50)?, field(51)?];
    let end = if next == end && last > end { last } else { end };
    (start != 0 && start < end).then_some(Area { start, end })
}

/// Lets every variable that lies in the area lie elsewhere, for good.
fn move_environment(area: Area) {
    // SAFETY: `environ` is the C library's array of texts, which ends with a null pointer; there is no other thread that could
    // read or change it meanwhile. Each copy is never freed.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            if (area.start..area.end).contains(&(*entry).addr()) {
                *entry = CStr::from_ptr(*entry).to_owned().into_raw();
            }
            entry = entry.add(1);
        }
    }
}

unsafe extern "C" {
    /// The C library's environment (environ(7)).
    static mut environ: *mut *mut libc::c_char;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(fields: [usize; 4]) -> String {
        let middle = vec!["7"; 47 - 3].join(" ");
        format!("4711 (a ) b) S {middle} {} 0\n", fields.map(|field| field.to_string()).join(" "))
    }

    #[test]
    fn the_area_is_the_arguments_and_what_follows_them() {
        assert_eq!(area(&stat([100, 120, 120, 900])), Some(Area { start: 100, end: 900 }));
        assert_eq!(area(&stat([100, 120, 128, 900])), Some(Area { start: 100, end: 120 }));
        assert_eq!(area(&stat([0, 0, 0, 0])), None);
        assert_eq!(area("4711 (x) S 1 2"), None);
        assert_eq!(area(""), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_kernel_s_addresses_are_those_of_the_arguments() {
        let stat = std::fs::read_to_string("/proc/self/stat").expect("the system tells");
        let area = area(&stat).expect("it tells where the arguments are");
        let cmdline = std::fs::read("/proc/self/cmdline").expect("the system tells");
        assert!(area.end - area.start >= cmdline.len());
        // SAFETY: the environment's array, which no test changes; only addresses are looked at.
        let first = unsafe { *environ };
        assert!((area.start..area.end).contains(&first.addr()), "the environment lies in the area");
    }

    #[test]
    fn without_preparation_nothing_is_written() {
        assert!(!set(b"title"));
    }
}
