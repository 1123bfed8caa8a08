//! Libraries of functions, as FUNCTION LOAD has made them known: by name, and the functions of all of them by theirs.
//!
//! # Invariants
//! - Names of functions are compared without regard to case and are unique over all libraries; names of libraries are as they are.
//! - `functions` holds the place of every function of every library, and no others.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use super::shebang::{self, ScriptFlags};
use crate::lua::library::Registration;
use crate::lua::vm::{Chunk, Purpose};
use crate::resp::error::ReplyError;
use crate::server::Server;

const BAD_NAME: ReplyError = ReplyError::new(
    "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long",
);
const NO_FUNCTIONS: ReplyError = ReplyError::new("ERR No functions registered");

/// A function.
#[derive(Debug)]
pub struct Function {
    /// Its name, as it was registered.
    pub name: Arc<str>,
    /// What it is for, if it says so.
    pub description: Option<Vec<u8>>,
    /// What it says of itself.
    pub flags: ScriptFlags,
    /// What the interpreter calls.
    pub chunk: Chunk,
}

/// A library.
#[derive(Debug)]
pub struct Library {
    /// Its text, with the first line.
    pub code: Vec<u8>,
    /// Its functions.
    pub functions: Vec<Function>,
}

/// All libraries.
#[derive(Debug, Default)]
pub struct Libraries {
    by_name: BTreeMap<Vec<u8>, Library>,
    /// For a function's name in lower case, the library's name and the place in it.
    functions: HashMap<Box<str>, (Vec<u8>, usize)>,
}

impl Libraries {
    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// How many libraries there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// How many functions there are.
    pub fn function_count(&self) -> usize {
        self.functions.len()
    }

    /// The library of a name.
    pub fn get(&self, name: &[u8]) -> Option<&Library> {
        self.by_name.get(name)
    }

    /// All libraries, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Library)> {
        self.by_name.iter().map(|(name, library)| (&**name, library))
    }

    /// The function of a name, in any case. O(length).
    pub fn function(&self, name: &[u8]) -> Option<&Function> {
        let (library, at) = self.functions.get(&*std::str::from_utf8(name).ok()?.to_ascii_lowercase())?;
        self.by_name.get(library).map(|library| &library.functions[*at])
    }

    /// The library that a function of a name is in.
    pub fn library_of(&self, function: &str) -> Option<&[u8]> {
        self.functions.get(&*function.to_ascii_lowercase()).map(|(library, _)| &**library)
    }

    /// Takes in a library, none of whose functions' names may be taken.
    pub fn insert(&mut self, name: Vec<u8>, library: Library) {
        for (at, function) in library.functions.iter().enumerate() {
            let known = self.functions.insert(function.name.to_ascii_lowercase().into(), (name.clone(), at));
            debug_assert!(known.is_none(), "the name of a function is taken");
        }
        let known = self.by_name.insert(name, library);
        debug_assert!(known.is_none(), "the name of a library is taken");
    }

    /// Takes out a library, whose functions the interpreter still has.
    pub fn remove(&mut self, name: &[u8]) -> Option<Library> {
        let library = self.by_name.remove(name)?;
        for function in &library.functions {
            self.functions.remove(&*function.name.to_ascii_lowercase());
        }
        Some(library)
    }

    /// Bytes of the texts and of what is kept beside them.
    pub fn heap_bytes(&self) -> usize {
        let of = |library: &Library| {
            let functions = library.functions.iter().map(|function| {
                let description = function.description.as_ref().map_or(0, Vec::len);
                size_of::<Function>() + 2 * function.name.len() + description
            });
            size_of::<Library>() + library.code.len() + functions.sum::<usize>()
        };
        self.by_name.iter().map(|(name, library)| name.len() + of(library)).sum()
    }
}

impl From<Registration> for Function {
    fn from(registered: Registration) -> Function {
        let Registration { name, chunk, description, flags } = registered;
        let flags = flags.into_iter().filter_map(ScriptFlags::of_index).fold(ScriptFlags::default(), ScriptFlags::with);
        Function { name: String::from_utf8_lossy(&name).into(), description, flags, chunk }
    }
}

impl Server {
    /// Makes a library known, in place of the one of its name if it is to be replaced; the library's name. Nothing changes if it
    /// cannot be. O(its length), and what its code does when it is loaded, which may take half a second.
    ///
    /// # Errors
    /// Redis's texts.
    pub fn load_library(&mut self, code: &[u8], is_replacing: bool) -> Result<Vec<u8>, ReplyError> {
        let heading = shebang::of_library(code)?;
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        if heading.name.is_empty() || !heading.name.iter().all(is_name) {
            return Err(BAD_NAME);
        }
        if !heading.engine.eq_ignore_ascii_case(b"lua") {
            return Err(ReplyError::about("ERR Engine '", &heading.engine, "' not found"));
        }
        if !is_replacing && self.scripting.libraries.get(&heading.name).is_some() {
            return Err(ReplyError::about("ERR Library '", &heading.name, "' already exists"));
        }
        let (clock, memory_bytes) = (Rc::clone(&self.clock), self.script_memory_bytes());
        let vm = self.vm(Purpose::Functions)?;
        let made = vm.load_library(&*clock, heading.code, ScriptFlags::NAMES, memory_bytes);
        let made = made.map_err(|text| ReplyError::owned([b"ERR ".as_slice(), &text].concat()))?;
        let functions: Vec<Function> = made.into_iter().map(Function::from).collect();
        let taken = |function: &&Function| {
            self.scripting.libraries.library_of(&function.name).is_some_and(|library| library != heading.name)
        };
        let refused = match functions.iter().find(taken) {
            _ if functions.is_empty() => Some(NO_FUNCTIONS),
            Some(function) => Some(ReplyError::about("ERR Function ", function.name.as_bytes(), " already exists")),
            None => None,
        };
        if let Some(refused) = refused {
            self.release_functions(functions);
            return Err(refused);
        }
        self.forget_library(&heading.name);
        self.scripting.libraries.insert(heading.name.clone(), Library { code: code.to_vec(), functions });
        Ok(heading.name)
    }

    /// Forgets a library. False if there is none of that name.
    pub fn forget_library(&mut self, name: &[u8]) -> bool {
        match self.scripting.libraries.remove(name) {
            Some(library) => {
                self.release_functions(library.functions);
                true
            }
            None => false,
        }
    }

    fn release_functions(&mut self, functions: Vec<Function>) {
        if let Some(vm) = &mut self.scripting.functions {
            functions.into_iter().for_each(|function| vm.release(function.chunk));
        }
    }
}
