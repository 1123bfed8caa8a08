//! Builds the Lua interpreter: finds the sources of PUC Lua 5.1.5 in the package `lua-src`, copies them to the build's output,
//! makes the substitutions there, and compiles them.
//!
//! No C source is kept in this tree beyond the lines of the substitutions, and no substitution can be lost unnoticed: one whose
//! anchor is not in its file exactly once fails the build.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::substitutions::{SUBSTITUTIONS, Substitution};

/// The package with the sources, and the directory in it.
const PACKAGE: &str = "lua-src";
const VERSION: &str = "lua-5.1.5";

/// The files that are compiled, as one: the interpreter, and the libraries that scripts may use. There are no files, no packages
/// and no debug library.
const FILES: [&str; 25] = [
    "lapi", "lcode", "ldebug", "ldo", "ldump", "lfunc", "lgc", "llex", "lmem", "lobject", "lopcodes", "lparser",
    "lstate", "lstring", "ltable", "ltm", "lundump", "lvm", "lzio", "lauxlib", "lbaselib", "lmathlib", "loslib",
    "lstrlib", "ltablib",
];

/// What stands before them, as the sources foresee it for such a file: what one of them offers the others is its own then, and
/// the compiler moves short functions to where they are called. The system's header has a function by the name of one of
/// their macros.
const WHOLE_BEGIN: &str = "#define luaall_c\n#define LUA_CORE\n#define LUA_LIB\n#include <stdio.h>\n";

/// Compiles the interpreter into a static library that is linked with the crate.
///
/// # Errors
/// The sources are not found, a substitution does not fit, or there is no C compiler.
pub fn build() -> Result<(), Box<dyn Error>> {
    let target_dir = PathBuf::from(env::var("OUT_DIR")?).join("lua");
    copy(&sources()?, &target_dir)?;
    for substitution in SUBSTITUTIONS {
        make(&target_dir, substitution)?;
    }
    let whole = target_dir.join("aleadb_lua.c");
    fs::write(&whole, WHOLE_BEGIN.to_string() + &FILES.map(|name| format!("#include \"{name}.c\"\n")).concat())?;
    let mut compiler = cc::Build::new();
    compiler
        .file(whole)
        .include(&target_dir)
        // Tests run scripts without end: they need the interpreter as fast as it will be.
        .opt_level(2)
        .force_frame_pointer(false)
        // An overflow of an index that a script chose wraps around instead of being undefined.
        .flag_if_supported("-fwrapv")
        // `longjmp` without a system call for the signal mask.
        .define("LUA_USE_ULONGJMP", None)
        .warnings(false)
        .try_compile("aleadb_lua")?;
    if env::var("CARGO_CFG_TARGET_FAMILY")?.contains("unix") {
        println!("cargo::rustc-link-lib=m");
    }
    Ok(())
}

/// The directory of the sources, where cargo has put the package. The package's own functions compile what is in it, and do
/// not tell where it is.
fn sources() -> Result<PathBuf, Box<dyn Error>> {
    // What is compiled now has been downloaded, but packages for tests alone perhaps not.
    let metadata = metadata(&["--offline"]).or_else(|_| metadata(&[]))?;
    let manifest = manifest_path(&metadata).ok_or_else(|| format!("cargo's metadata do not tell of {PACKAGE}"))?;
    let directory = Path::new(&manifest).with_file_name(VERSION);
    match directory.is_dir() {
        true => Ok(directory),
        false => Err(format!("{PACKAGE} has no directory {VERSION}").into()),
    }
}

/// What cargo knows of the packages that are built, as JSON.
fn metadata(options: &[&str]) -> Result<String, Box<dyn Error>> {
    let output = Command::new(env::var("CARGO")?)
        .args(["metadata", "--format-version=1", "--filter-platform", &env::var("TARGET")?])
        .args(options)
        .current_dir(env::var("CARGO_MANIFEST_DIR")?)
        .output()?;
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout)?),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
    }
}

/// The path of the package's manifest: a package is an object that begins with its name and version, unlike a dependency on it,
/// with its `manifest_path` later on.
fn manifest_path(metadata: &str) -> Option<String> {
    let package = metadata.split_once(&format!("{{\"name\":\"{PACKAGE}\",\"version\":"))?.1;
    let path = package.split_once("\"manifest_path\":\"")?.1.split_once('"')?.0;
    Some(path.replace("\\\\", "\\"))
}

/// Copies the sources, replacing what an earlier build left.
fn copy(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(to)?;
    for file in fs::read_dir(from)? {
        let path = file?.path();
        let name = path.file_name().ok_or("a file without a name")?;
        if path.extension().is_some_and(|ending| ending == "c" || ending == "h") {
            fs::write(to.join(name), fs::read(&path)?)?;
        }
    }
    Ok(())
}

/// Replaces an anchor in a file.
fn make(directory: &Path, substitution: &Substitution) -> Result<(), Box<dyn Error>> {
    let Substitution { file, anchor, replacement, why } = substitution;
    let path = directory.join(file);
    let text = fs::read_to_string(&path).map_err(|error| format!("{file}: {error}"))?;
    match text.matches(anchor).count() {
        1 => Ok(fs::write(path, text.replacen(anchor, replacement, 1))?),
        count => Err(format!("{file} has {count} times what is to be replaced (\"{why}\"): {anchor}").into()),
    }
}
