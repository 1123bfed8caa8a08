//! The build script: compiles the Lua interpreter that runs scripts.

mod lua;
mod substitutions;

fn main() {
    println!("cargo::rerun-if-changed=scripts/build");
    if let Err(error) = lua::build() {
        println!("cargo::error={error}");
        std::process::exit(1);
    }
}
