//! Tauri's build step: the configuration, and the permission of each command of the one table.

include!("crates/api/src/table.rs");

macro_rules! names {
    ($($kind:ident $name:ident($($arg:ident: $ty:ty),*) -> $out:ty;)*) => {
        const COMMANDS: &[&str] = &[$(stringify!($name),)* "stream_stop"];
    };
}
commands!(names);

fn main() {
    println!("cargo:rerun-if-changed=src-tauri/crates/api/src/table.rs");
    println!("cargo:rerun-if-changed=src-tauri/capabilities");
    println!("cargo:rerun-if-changed=src-tauri/build.rs");
    println!("cargo:rerun-if-changed=ui/dist");
    let attributes = tauri_build::Attributes::new()
        .capabilities_path_pattern("./src-tauri/capabilities/**/*")
        .app_manifest(tauri_build::AppManifest::new().commands(COMMANDS));
    if let Err(e) = tauri_build::try_build(attributes) {
        println!("cargo:warning={e:#}");
        std::process::exit(1);
    }
}
