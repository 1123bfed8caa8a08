//! The memory of an interpreter: the allocator it is given, over Rust's, with a limit; and the context that the allocator, the
//! functions in Rust and the interpreter's owner share.
//!
//! What is beyond the limit may be garbage. The interpreter looks for that where a collection is safe, and raises "not enough
//! memory" if what is in use goes beyond the limit; until then it may have half as much more, and is refused what goes beyond.
//! Functions in Rust are refused nothing while they run, for that error would jump over them: they [enter](Context::enter)
//! before and leave after.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::cell::{Cell, RefCell};
use std::ffi::c_void;

use super::ffi;
use super::vm::{Exchange, Turn};

/// What the interpreter's values need: pointers and doubles.
const ALIGNMENT: usize = 8;

/// The context of one interpreter.
#[derive(Default)]
pub(super) struct Context {
    /// Bytes that the interpreter has.
    used_bytes: Cell<usize>,
    /// Bytes that it may have.
    limit_bytes: Cell<usize>,
    /// Bytes that it may have until garbage is collected.
    granted_bytes: Cell<usize>,
    /// Functions in Rust that are at work, each of which is granted all memory.
    entered: Cell<usize>,
    /// The turn that the script has, if one runs on its own stack.
    pub turn: Turn,
    /// The state of the generator of random numbers.
    pub random: Cell<u64>,
    /// A buffer that functions in Rust use one after the other.
    pub buffer: Cell<Vec<u8>>,
    /// What a script and the server tell each other.
    pub exchange: RefCell<Exchange>,
}

impl Context {
    /// The context of a state.
    ///
    /// # Safety
    /// The state was made with [`allocate`] and a context that lives longer than whatever uses the result.
    pub(super) unsafe fn of<'a>(state: *mut ffi::State) -> &'a Context {
        let mut context = std::ptr::null_mut();
        // SAFETY: reads the state.
        unsafe {
            ffi::lua_getallocf(state, &mut context);
            &*context.cast::<Context>()
        }
    }

    /// Memory is granted from here on.
    pub(super) fn enter(&self) {
        self.entered.set(self.entered.get() + 1);
    }

    /// Memory is limited again, unless another function is at work.
    pub(super) fn leave(&self) {
        self.entered.set(self.entered.get() - 1);
    }

    /// Whether a function in Rust is at work, which an error must not jump over.
    pub(super) fn is_entered(&self) -> bool {
        self.entered.get() > 0
    }

    /// Bytes that the interpreter has.
    pub(super) fn used_bytes(&self) -> usize {
        self.used_bytes.get()
    }

    /// Sets how many bytes it may have, and how many until garbage is collected.
    pub(super) fn set_limit(&self, bytes: usize, granted_bytes: usize) {
        self.limit_bytes.set(bytes);
        self.granted_bytes.set(granted_bytes);
    }

    /// Bytes that it may have.
    pub(super) fn limit_bytes(&self) -> usize {
        self.limit_bytes.get()
    }

    /// Bytes that it may still get.
    pub(super) fn left_bytes(&self) -> usize {
        self.limit_bytes.get().saturating_sub(self.used_bytes.get())
    }

    /// Whether the script is to end.
    pub(super) fn is_killed(&self) -> bool {
        self.turn.is_killed()
    }
}

/// The interpreter's allocator, as `lua_Alloc` in its manual.
///
/// # Safety
/// Called by the interpreter, with a [`Context`].
pub(super) unsafe extern "C-unwind" fn allocate(
    context: *mut c_void,
    block: *mut c_void,
    old_bytes: usize,
    new_bytes: usize,
) -> *mut c_void {
    // SAFETY: the context lives longer than the state.
    let context = unsafe { &*context.cast::<Context>() };
    let used_bytes = context.used_bytes.get() - old_bytes + new_bytes;
    let grows = new_bytes > old_bytes;
    if grows && used_bytes > context.granted_bytes.get() && !context.is_entered() {
        return std::ptr::null_mut();
    }
    let layout = |bytes| Layout::from_size_align(bytes, ALIGNMENT);
    let (Ok(old), Ok(new)) = (layout(old_bytes), layout(new_bytes)) else { return std::ptr::null_mut() };
    // SAFETY: blocks were allocated here, with the size that the interpreter says they have; none has no bytes.
    let result = unsafe {
        match (old_bytes, new_bytes) {
            (0, 0) => std::ptr::null_mut(),
            (0, _) => alloc(new),
            (_, 0) => {
                dealloc(block.cast(), old);
                std::ptr::null_mut()
            }
            _ => realloc(block.cast(), old, new_bytes),
        }
    };
    if result.is_null() && new_bytes > 0 {
        std::alloc::handle_alloc_error(new);
    }
    context.used_bytes.set(used_bytes);
    result.cast()
}
