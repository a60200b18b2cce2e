//! Writes the generated files of `manifests/`: the CustomResourceDefinitions and `install.yaml`.
//!
//! Run `cargo run -p gitops-api --example crds` after changing a type or a manifest.

mod files;

use std::error::Error;
use std::fs;

#[expect(clippy::print_stdout, reason = "says what it wrote")]
fn main() -> Result<(), Box<dyn Error>> {
    // install.yaml contains the definitions: write those first.
    for generate in [files::definitions, files::install] {
        for file in generate()? {
            if let Some(folder) = file.path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&file.path, &file.content)?;
            println!("{} ({} bytes)", file.path.display(), file.content.len());
        }
    }
    Ok(())
}
