//! Libraries of functions, as FUNCTION LOAD has made them known: by name, and the functions of all of them by theirs.
//!
//! # Invariants
//! - Names of functions are compared without regard to case and are unique over all libraries; names of libraries are as they are.
//! - `functions` holds the place of every function of every library, and no others.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use super::shebang::{self, ScriptFlags};
use crate::base::heap::{self, size_class};
use crate::lua::library::Registration;
use crate::lua::vm::{Chunk, Purpose};
use crate::resp::error::ReplyError;
use crate::server::Server;

const BAD_NAME: ReplyError = ReplyError::new(
    "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long",
);
const NO_FUNCTIONS: ReplyError = ReplyError::new("ERR No functions registered");

fn already_there(library: &[u8]) -> ReplyError {
    ReplyError::about("ERR Library '", library, "' already exists")
}

fn function_already_there(name: &str) -> ReplyError {
    ReplyError::about("ERR Function ", name.as_bytes(), " already exists")
}

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
                let description = function.description.as_ref().map_or(0, heap::vec);
                heap::arc(function.name.len()) + description
            });
            heap::vec(&library.functions) + heap::vec(&library.code) + functions.sum::<usize>()
        };
        let libraries = self.by_name.iter().map(|(name, library)| heap::vec(name) + of(library)).sum::<usize>();
        let names = self.functions.iter().map(|(name, (library, _))| size_class(name.len()) + heap::vec(library));
        let tables = heap::map(&self.functions) + heap::tree::<Vec<u8>, Library>(self.by_name.len());
        tables + libraries + names.sum::<usize>()
    }
}

impl From<Registration> for Function {
    fn from(registered: Registration) -> Function {
        let Registration { name, chunk, description, flags } = registered;
        let flags = flags.into_iter().filter_map(ScriptFlags::of_index).fold(ScriptFlags::default(), ScriptFlags::with);
        Function { name: String::from_utf8_lossy(&name).into(), description, flags, chunk }
    }
}

/// A library that the interpreter has loaded and that is not yet among the others.
struct Made {
    name: Vec<u8>,
    library: Library,
}

/// What becomes of the libraries that are there when others are restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestorePolicy {
    /// They go.
    Flush,
    /// They stay, and none may have the name of one that is restored.
    Append,
    /// Those of the same names go.
    Replace,
}

impl Server {
    /// Makes a library known, in place of the one of its name if it is to be replaced; the library's name. Nothing changes if it
    /// cannot be. O(its length), and what its code does when it is loaded, which may take half a second.
    ///
    /// # Errors
    /// Redis's texts.
    pub fn load_library(&mut self, code: &[u8], is_replacing: bool) -> Result<Vec<u8>, ReplyError> {
        let made = self.make_library(code, |server, name| {
            if !is_replacing && server.scripting.libraries.get(name).is_some() {
                return Err(already_there(name));
            }
            Ok(())
        })?;
        let of_others = |library: &[u8]| library != made.name;
        if let Some(refused) = self.name_taken(&made.library, of_others) {
            self.release_functions(made.library.functions);
            return Err(refused);
        }
        let name = made.name.clone();
        self.take_in(made);
        Ok(name)
    }

    /// Makes all of these libraries known, or none: those that are there stay as they are, with the state that their functions
    /// keep, unless the policy says otherwise. O(their lengths), and what their code does when it is loaded.
    ///
    /// # Errors
    /// Redis's texts.
    pub fn restore_libraries(&mut self, codes: &[Vec<u8>], policy: RestorePolicy) -> Result<(), ReplyError> {
        let mut all = Vec::with_capacity(codes.len());
        let made = codes.iter().try_for_each(|code| self.make_another(code, &mut all));
        if let Err(refused) = made.and_then(|()| self.may_restore(&all, policy)) {
            all.into_iter().for_each(|made| self.release_functions(made.library.functions));
            return Err(refused);
        }
        if policy == RestorePolicy::Flush {
            let names: Vec<Vec<u8>> = self.scripting.libraries.iter().map(|(name, _)| name.to_vec()).collect();
            for name in &names {
                self.forget_library(name);
            }
        }
        // All that are replaced go before the first of the others comes: functions may have moved from one to another.
        for made in &all {
            self.forget_library(&made.name);
        }
        all.into_iter().for_each(|made| self.take_in(made));
        Ok(())
    }

    /// Loads a library beside those that are to be restored with it, among which it is then. Neither its name nor those of its
    /// functions may be theirs.
    fn make_another(&mut self, code: &[u8], all: &mut Vec<Made>) -> Result<(), ReplyError> {
        let made = self.make_library(code, |_, name| match all.iter().any(|other| other.name == name) {
            true => Err(already_there(name)),
            false => Ok(()),
        })?;
        let is_taken = |name: &str| {
            let mut others = all.iter().flat_map(|other| &other.library.functions);
            others.any(|other| other.name.eq_ignore_ascii_case(name))
        };
        let taken = made.library.functions.iter().find(|own| is_taken(&own.name));
        let refused = taken.map(|function| function_already_there(&function.name));
        all.push(made);
        refused.map_or(Ok(()), Err)
    }

    /// What is held against these libraries beside those that stay.
    fn may_restore(&self, all: &[Made], policy: RestorePolicy) -> Result<(), ReplyError> {
        let is_named = |library: &[u8]| all.iter().any(|made| made.name == library);
        let known = &self.scripting.libraries;
        match policy {
            RestorePolicy::Flush => return Ok(()),
            RestorePolicy::Append => {
                if let Some(made) = all.iter().find(|made| known.get(&made.name).is_some()) {
                    return Err(ReplyError::about("ERR Library ", &made.name, " already exists"));
                }
            }
            RestorePolicy::Replace => {}
        }
        let taken = all.iter().find_map(|made| self.name_taken(&made.library, |other| !is_named(other)));
        taken.map_or(Ok(()), Err)
    }

    /// Loads a library, if `may` lets its name pass.
    fn make_library(
        &mut self,
        code: &[u8],
        may: impl FnOnce(&Server, &[u8]) -> Result<(), ReplyError>,
    ) -> Result<Made, ReplyError> {
        let heading = shebang::of_library(code)?;
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        if heading.name.is_empty() || !heading.name.iter().all(is_name) {
            return Err(BAD_NAME);
        }
        if !heading.engine.eq_ignore_ascii_case(b"lua") {
            return Err(ReplyError::about("ERR Engine '", &heading.engine, "' not found"));
        }
        may(self, &heading.name)?;
        let (clock, memory_bytes) = (Rc::clone(&self.clock), self.script_memory_bytes());
        let vm = self.vm(Purpose::Functions)?;
        let made = vm.load_library(&*clock, heading.code, ScriptFlags::NAMES, memory_bytes);
        let made = made.map_err(|text| ReplyError::owned([b"ERR ".as_slice(), &text].concat()))?;
        let functions: Vec<Function> = made.into_iter().map(Function::from).collect();
        if functions.is_empty() {
            return Err(NO_FUNCTIONS);
        }
        Ok(Made { name: heading.name, library: Library { code: code.to_vec(), functions } })
    }

    /// The refusal of a library one of whose functions has the name of another's, of those libraries that `counts` says.
    fn name_taken(&self, library: &Library, counts: impl Fn(&[u8]) -> bool) -> Option<ReplyError> {
        let taken = |function: &&Function| self.scripting.libraries.library_of(&function.name).is_some_and(&counts);
        library.functions.iter().find(taken).map(|function| function_already_there(&function.name))
    }

    fn take_in(&mut self, made: Made) {
        self.forget_library(&made.name);
        self.scripting.libraries.insert(made.name, made.library);
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
