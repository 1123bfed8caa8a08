//! What the machine allows and what the process uses: descriptors, random numbers, memory, processor time, kernel
//! settings.
//!
//! Owns nothing. Each function asks the kernel afresh and is cheap enough for INFO, not for the write path. A fact that
//! cannot be had on this system is 0 or `None`, so that a report has a gap rather than the server an error. The one
//! exception is randomness, without which the hash tables would be open to flooding.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Descriptors kept back for everything that is not a client: listeners, log, poll, files.
pub const RESERVED_FDS: u64 = 32;

/// The outcome of making room for a number of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// Clients that fit; never more than asked for.
    pub max_clients: u32,
    /// Lines for the log, with whether they are warnings.
    pub messages: Vec<(log::Level, String)>,
}

/// Even one client does not fit; the text says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooFewFiles(pub String);

impl fmt::Display for TooFewFiles {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for TooFewFiles {}

/// Raises the limit of open files (RLIMIT_NOFILE) so that `max_clients` fit beside [`RESERVED_FDS`], as far as the
/// system permits. A limit that is high enough already is left alone, and the hard limit is never lowered.
pub fn raise_open_files(max_clients: u32) -> Result<OpenFiles, TooFewFiles> {
    let Some((soft, hard)) = open_files() else {
        let assumed = 1024 - RESERVED_FDS as u32;
        let text = format!(
            "Unable to obtain the current NOFILE limit ({}), assuming 1024 and setting the max clients configuration \
             accordingly.",
            super::error_text(&io::Error::last_os_error())
        );
        let messages = vec![(log::Level::Warn, text)];
        return Ok(OpenFiles { max_clients: max_clients.min(assumed), messages });
    };
    let wanted = u64::from(max_clients) + RESERVED_FDS;
    if soft >= wanted {
        return Ok(OpenFiles { max_clients, messages: Vec::new() });
    }
    let (reached, error) = match set_open_files(wanted, hard.max(wanted)) {
        Ok(()) => (wanted, None),
        // Raising the hard limit takes a privilege; going up to it does not.
        Err(error) if hard > soft && set_open_files(hard.min(wanted), hard).is_ok() => (hard.min(wanted), Some(error)),
        Err(error) => (soft, Some(error)),
    };
    judge_open_files(max_clients, soft, reached, error)
}

/// What `reached` descriptors, up from `original`, mean for the clients asked for.
fn judge_open_files(
    max_clients: u32,
    original: u64,
    reached: u64,
    error: Option<io::Error>,
) -> Result<OpenFiles, TooFewFiles> {
    let wanted = u64::from(max_clients) + RESERVED_FDS;
    if reached >= wanted {
        let text = format!("Increased maximum number of open files to {wanted} (it was originally set to {original}).");
        return Ok(OpenFiles { max_clients, messages: vec![(log::Level::Info, text)] });
    }
    if reached <= RESERVED_FDS {
        return Err(TooFewFiles(format!(
            "Your current 'ulimit -n' of {original} is not enough for the server to start. Please increase your open \
             file limit to at least {wanted}. Exiting."
        )));
    }
    let fits = (reached - RESERVED_FDS) as u32;
    let cause = error.map_or_else(String::new, |error| super::error_text(&error));
    let messages = [
        format!("You requested maxclients of {max_clients} requiring at least {wanted} max file descriptors."),
        format!("Server can't set maximum open files to {wanted} because of OS error: {cause}."),
        format!(
            "Current maximum open files is {reached}. maxclients has been reduced to {fits} to compensate for low \
             ulimit. If you need higher maxclients increase 'ulimit -n'."
        ),
    ];
    Ok(OpenFiles { max_clients: fits, messages: messages.map(|text| (log::Level::Warn, text)).into() })
}

/// The soft and hard limits of open files.
pub fn open_files() -> Option<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writes for the length of the call.
    let ok = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } == 0;
    ok.then_some((limit.rlim_cur, limit.rlim_max))
}

fn set_open_files(soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` is valid for reads for the length of the call.
    let status = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sixteen bytes nobody can guess, from the kernel's generator. For hash keys and run identifiers.
///
/// # Panics
/// When the kernel gives none and there is no readable `/dev/urandom`: a server without secrets must not start.
pub fn entropy() -> [u8; 16] {
    let mut bytes = [0u8; 16];
    let direct = fill_random(&mut bytes);
    if !direct {
        // Kernels and sandboxes without the system call still have the device.
        fs::File::open("/dev/urandom")
            .and_then(|mut device| device.read_exact(&mut bytes))
            .expect("neither the kernel's call nor /dev/urandom gives random numbers");
    }
    bytes
}

/// Fills a small buffer from the kernel's generator; false when there is no such call here.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn fill_random(bytes: &mut [u8; 16]) -> bool {
    // SAFETY: the buffer is valid for writes of its own length. A request this small is never cut short.
    unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) == bytes.len() as libc::ssize_t }
}

/// Fills a small buffer from the kernel's generator; false when there is no such call here.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn fill_random(bytes: &mut [u8; 16]) -> bool {
    // SAFETY: the buffer is valid for writes of its own length, which is below the call's limit of 256.
    unsafe { libc::getentropy(bytes.as_mut_ptr().cast(), bytes.len()) == 0 }
}

/// Eight bytes of [`entropy`] as a number.
///
/// # Panics
/// As [`entropy`].
pub fn entropy_u64() -> u64 {
    let bytes = entropy();
    let (half, _) = bytes.split_first_chunk::<8>().expect("sixteen bytes hold eight");
    u64::from_ne_bytes(*half)
}

/// Bytes of the process's pages that are in physical memory; 0 where `/proc` does not tell.
pub fn resident_bytes() -> usize {
    fs::read_to_string("/proc/self/statm").ok().and_then(|text| resident_pages(&text)).unwrap_or(0) * page_bytes()
}

/// The second field of `statm`: resident pages.
fn resident_pages(statm: &str) -> Option<usize> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Bytes of one page of memory.
pub fn page_bytes() -> usize {
    system_constant(libc::_SC_PAGESIZE)
}

/// Bytes of physical memory in the machine; 0 when unknown.
pub fn total_system_memory() -> usize {
    system_constant(libc::_SC_PHYS_PAGES).saturating_mul(page_bytes())
}

/// Bytes of memory that the process may come to use: those of the machine, or what its cgroup and the groups around it may use if
/// that is less; 0 when unknown.
pub fn available_memory() -> usize {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = cgroup_limit(&groups, |path| std::fs::read_to_string(path).ok());
    limit.map_or(usize::MAX, |limit| limit).min(total_system_memory())
}

/// The least limit of the cgroups that `/proc/self/cgroup` names, and of those around them; `None` if there is none. Both versions
/// of cgroups: `0::/path` and `memory.max`, `9:memory:/path` and `memory.limit_in_bytes`.
fn cgroup_limit(groups: &str, read: impl Fn(&str) -> Option<String>) -> Option<usize> {
    let mut least: Option<usize> = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mut path = path.trim_end_matches('/');
        loop {
            // A group without a limit says `max`, or a number beyond any memory.
            let limit = read(&format!("{root}{path}/{file}")).and_then(|text| text.trim().parse().ok());
            least = limit.into_iter().chain(least).min();
            match path.rfind('/') {
                Some(at) => path = &path[..at],
                None => break,
            }
        }
    }
    least
}

fn system_constant(name: libc::c_int) -> usize {
    // SAFETY: takes a number, returns a number, or -1 for a name the system does not know.
    usize::try_from(unsafe { libc::sysconf(name) }).unwrap_or(0)
}

/// Processor time, split by who spent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// In our own code.
    pub user: Duration,
    /// In the kernel on our behalf.
    pub system: Duration,
}

/// Processor time used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuUsage {
    /// By all threads of the process.
    pub process: CpuTime,
    /// By child processes that have ended.
    pub children: CpuTime,
    /// By the calling thread; zero where the system does not count threads.
    pub thread: CpuTime,
}

/// Processor time used so far, to the microsecond. Three system calls.
pub fn cpu_usage() -> CpuUsage {
    #[cfg(target_os = "linux")]
    let thread = cpu_time(libc::RUSAGE_THREAD);
    #[cfg(not(target_os = "linux"))]
    let thread = CpuTime::default();
    CpuUsage { process: cpu_time(libc::RUSAGE_SELF), children: cpu_time(libc::RUSAGE_CHILDREN), thread }
}

fn cpu_time(who: libc::c_int) -> CpuTime {
    // SAFETY: all zeroes is a valid `rusage`, and the structure is valid for writes for the length of the call.
    let usage: libc::rusage = unsafe {
        let mut usage = MaybeUninit::zeroed().assume_init();
        libc::getrusage(who, &mut usage);
        usage
    };
    CpuTime { user: duration(usage.ru_utime), system: duration(usage.ru_stime) }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
}

/// The system's name, release and machine, such as `Linux 6.1.0 x86_64`.
pub fn os_name() -> String {
    // SAFETY: all zeroes is a valid `utsname`, and the structure is valid for writes for the length of the call.
    let (name, ok) = unsafe {
        let mut name: libc::utsname = MaybeUninit::zeroed().assume_init();
        let ok = libc::uname(&mut name) >= 0;
        (name, ok)
    };
    if !ok {
        return std::env::consts::OS.to_owned();
    }
    // SAFETY: on success the system has written zero-terminated text into each field.
    let text = |field: &[libc::c_char]| unsafe { CStr::from_ptr(field.as_ptr()) }.to_string_lossy().into_owned();
    format!("{} {} {}", text(&name.sysname), text(&name.release), text(&name.machine))
}

/// Whether the kernel gives every process transparent huge pages unasked, which makes memory use and latency jump.
pub fn thp_enabled() -> bool {
    fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").is_ok_and(|text| text.contains("[always]"))
}

/// Switches transparent huge pages off for this process, whatever the kernel's setting.
#[cfg(target_os = "linux")]
pub fn disable_thp() -> io::Result<()> {
    let zero: libc::c_ulong = 0;
    let one: libc::c_ulong = 1;
    // SAFETY: this `prctl` takes numbers only.
    let status = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, one, zero, zero, zero) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Switches transparent huge pages off for this process; there are none on this system.
#[cfg(not(target_os = "linux"))]
pub fn disable_thp() -> io::Result<()> {
    Ok(())
}

/// The kernel's upper bound for a listener's backlog.
pub fn somaxconn() -> Option<u32> {
    kernel_setting("/proc/sys/net/core/somaxconn")
}

/// The kernel's policy for promising more memory than it has: 0 by guess, 1 always, 2 never.
pub fn overcommit_memory() -> Option<u32> {
    kernel_setting("/proc/sys/vm/overcommit_memory")
}

fn kernel_setting(path: &str) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// What an operator should know about this machine before relying on the server: a backlog the kernel will cut, and a
/// memory policy under which allocations fail early.
///
/// COMPAT: Redis also warns when `vm.overcommit_memory` is 0, because its saves fork. Nothing forks here, so only the
/// policy that refuses memory outright (2) is worth a line.
pub fn startup_warnings(backlog: u32) -> Vec<String> {
    warnings_for(backlog, somaxconn(), overcommit_memory())
}

fn warnings_for(backlog: u32, somaxconn: Option<u32>, overcommit: Option<u32>) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(bound) = somaxconn.filter(|bound| *bound < backlog) {
        warnings.push(format!(
            "WARNING: The TCP backlog setting of {backlog} cannot be enforced because /proc/sys/net/core/somaxconn is \
             set to the lower value of {bound}."
        ));
    }
    if overcommit == Some(2) {
        warnings.push(
            "WARNING vm.overcommit_memory is set to 2: memory can be refused although the machine has some left. To \
             fix this issue run the command 'sysctl vm.overcommit_memory=1'."
                .to_owned(),
        );
    }
    warnings
}

/// The file this process was started from.
pub fn exe_path() -> Option<PathBuf> {
    std::env::current_exe().ok()
}

/// Runs `action` with the process's file mode mask set to `mask`, and puts the old mask back. Used to bind a Unix socket
/// so that it is never open to more users than its permission will say, not even for a moment.
///
/// The mask belongs to the process: files another thread creates meanwhile get it too.
pub fn with_umask<T>(mask: u32, action: impl FnOnce() -> T) -> T {
    struct Restore(libc::mode_t);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: sets a number of the process; cannot fail.
            unsafe { libc::umask(self.0) };
        }
    }
    // SAFETY: as above.
    let _restore = Restore(unsafe { libc::umask(mask as libc::mode_t) });
    action()
}

/// Gives a file (the Unix socket) the permission bits `mode`, such as 0o770.
pub fn set_permission(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// The niceness of [`lower_thread_priority`]. Not the lowest priority there is: the thread holds locks of the allocator and of
/// the process's memory, and with 19, where other programs keep all processors busy, it is seconds before it goes on.
#[cfg(target_os = "linux")]
const HELPER_NICENESS: libc::c_int = 5;

/// Gives the calling thread a lower priority, so that its work does not take the processor from the loop for long.
/// Elsewhere than on Linux, where priorities belong to processes, it does nothing.
pub fn lower_thread_priority() {
    #[cfg(target_os = "linux")]
    // SAFETY: a call without pointers; on Linux 0 names the calling thread. Failing leaves the priority as it was.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, HELPER_NICENESS);
    }
}

/// Gives the calling thread a table of descriptors of its own, with the standard ones and one other at most: for a thread that
/// uses no more, so that the other threads' system calls need not count who uses theirs. Where that cannot be, it does nothing.
pub fn leave_descriptors(keep: Option<RawFd>) {
    #[cfg(target_os = "linux")]
    {
        let close = |first: libc::c_uint, last: libc::c_uint| {
            // SAFETY: a call without pointers. What it closes are the calling thread's own references, for the flag gives it a
            // table of its own first, and the thread uses none of them; the other threads keep theirs.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_UNSHARE) };
        };
        let first = libc::STDERR_FILENO as libc::c_uint + 1;
        match keep.and_then(|fd| libc::c_uint::try_from(fd).ok()).filter(|keep| *keep >= first) {
            None => close(first, libc::c_uint::MAX),
            Some(keep) => {
                close(keep + 1, libc::c_uint::MAX);
                if keep > first {
                    close(first, keep - 1);
                }
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = keep;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_limit_that_suffices_is_left_alone() {
        let before = open_files();
        assert_eq!(raise_open_files(1), Ok(OpenFiles { max_clients: 1, messages: vec![] }));
        assert_eq!(open_files(), before);
    }

    #[test]
    fn open_files_are_judged_as_redis_does() {
        let raised = judge_open_files(10_000, 1024, 10_032, None).expect("enough");
        assert_eq!(raised.max_clients, 10_000);
        let text = "Increased maximum number of open files to 10032 (it was originally set to 1024).";
        assert_eq!(raised.messages, [(log::Level::Info, text.to_owned())]);

        let error = io::Error::from_raw_os_error(libc::EPERM);
        let reduced = judge_open_files(10_000, 1024, 4096, Some(error)).expect("some");
        assert_eq!(reduced.max_clients, 4064);
        assert_eq!(reduced.messages.len(), 3);
        let text = "Server can't set maximum open files to 10032 because of OS error: Operation not permitted.";
        assert_eq!(reduced.messages[1].1, text);
        assert!(reduced.messages[2].1.contains("maxclients has been reduced to 4064"));

        let none = judge_open_files(10_000, 32, 32, None).expect_err("nothing left");
        assert!(none.to_string().contains("at least 10032. Exiting."));
    }

    #[test]
    fn entropy_does_not_repeat() {
        assert_ne!(entropy(), entropy());
        assert_ne!(entropy_u64(), entropy_u64());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_and_machine_agree_with_the_system_s_own_tools() {
        let status = fs::read_to_string("/proc/self/status").expect("proc");
        let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("a VmRSS line");
        let kib: usize = line.split_ascii_whitespace().nth(1).expect("a number").parse().expect("a number");
        let resident = resident_bytes();
        assert!(resident > kib * 512 && resident < kib * 2048, "{resident} against {kib} KiB");
        let meminfo = fs::read_to_string("/proc/meminfo").expect("proc");
        let kib: usize = meminfo.split_ascii_whitespace().nth(1).expect("a number").parse().expect("a number");
        assert_eq!(total_system_memory(), kib * 1024);
        let uname = Command::new("uname").arg("-srm").output().expect("uname runs").stdout;
        assert_eq!(os_name(), String::from_utf8_lossy(&uname).trim());
        assert_eq!(resident_pages("a few words"), None);
        assert_eq!(resident_pages("100 42 7"), Some(42));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn processor_time_grows_with_work_and_the_thread_is_part_of_the_process() {
        let before = cpu_usage();
        let mut after = before;
        let mut sum = 0u64;
        while after.thread.user + after.thread.system == before.thread.user + before.thread.system {
            sum = std::hint::black_box((0..100_000u64).fold(sum, |sum, n| sum.wrapping_mul(31) ^ n));
            after = cpu_usage();
        }
        assert!(after.process.user + after.process.system > before.process.user + before.process.system);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn huge_pages_can_be_switched_off_for_the_process() {
        disable_thp().expect("no privilege is needed");
        let status = fs::read_to_string("/proc/self/status").expect("proc");
        if let Some(line) = status.lines().find(|line| line.starts_with("THP_enabled")) {
            assert!(line.ends_with('0'), "{line}");
        }
    }

    #[test]
    fn warnings_name_the_settings_that_get_in_the_way() {
        assert!(warnings_for(511, Some(4096), Some(0)).is_empty());
        assert!(warnings_for(511, None, None).is_empty());
        let both = warnings_for(511, Some(128), Some(2));
        let text = "WARNING: The TCP backlog setting of 511 cannot be enforced because /proc/sys/net/core/somaxconn is \
                    set to the lower value of 128.";
        assert_eq!(both[0], text);
        assert!(both[1].contains("vm.overcommit_memory"));
        assert!(somaxconn().is_none_or(|bound| bound > 0) && overcommit_memory().is_none_or(|policy| policy <= 2));
    }

    #[test]
    fn permissions_are_set_and_the_mask_is_put_back() {
        let path = std::env::temp_dir().join(format!("aleadb-permission-{}", std::process::id()));
        let mode = |path: &Path| fs::metadata(path).expect("the file exists").permissions().mode() & 0o777;
        // Masks that leave the owner alone, since tests running beside this one create files too.
        with_umask(0o037, || {
            with_umask(0o077, || fs::write(&path, b"")).expect("the temporary directory is writable");
            assert_eq!(mode(&path), 0o600);
            fs::remove_file(&path).expect("the file is ours");
            fs::write(&path, b"").expect("the temporary directory is writable");
        });
        assert_eq!(mode(&path), 0o640, "the outer mask was put back");
        set_permission(&path, 0o770).expect("the file is ours");
        assert_eq!(mode(&path), 0o770);
        fs::remove_file(&path).expect("the file is ours");
        assert!(exe_path().is_some_and(|path| path.is_absolute()));
    }
}
