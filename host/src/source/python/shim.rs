//! Modules that stand for what Python cannot import by a name: scripts, and Django projects without a WSGI module.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::base::{dirs, hex::hex};

/// Where the app's directory is for the app.
const APP: &str = "/app";

/// Writes a module that runs this file as its own text. Returns its name, and the directory to import it from.
///
/// # Errors
///
/// It cannot be written.
pub(super) fn of_script(file: &Path) -> anyhow::Result<(String, PathBuf)> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let is_part = |char: char| char.is_alphanumeric() || char == '_';
    let name: String = stem.chars().map(|char| if is_part(char) { char } else { '_' }).collect();
    let path = format!("{APP}/{}", file.file_name().unwrap_or_default().to_string_lossy());
    // JSON's texts are also Python's.
    let path = serde_json::to_string(&path)?;
    write(
        &name,
        &format!("__file__ = {path}\nexec(compile(open(__file__, \"rb\").read(), __file__, \"exec\"), globals())\n"),
    )
}

/// Writes a module with the app of a Django project, by the name of its settings. Returns its name, and the directory to
/// import it from.
///
/// # Errors
///
/// It cannot be written.
pub(super) fn of_django(settings: &str) -> anyhow::Result<(String, PathBuf)> {
    let text = format!(
        "import os\n\nos.environ.setdefault(\"DJANGO_SETTINGS_MODULE\", \"{settings}\")\n\n\
         from django.core.wsgi import get_wsgi_application\n\napplication = get_wsgi_application()\n"
    );
    write("django_project", &text)
}

fn write(name: &str, text: &str) -> anyhow::Result<(String, PathBuf)> {
    let base = dirs::cache_directory("dependencies")?;
    let directory = base.join(format!("{}.app", hex(&Sha256::digest(format!("{name}\n{text}"))[..8])));
    let file = directory.join(format!("{name}.py"));
    let write = || {
        fs::create_dir_all(&directory)?;
        if !file.exists() {
            let new = directory.join(process::id().to_string());
            fs::write(&new, text)?;
            fs::rename(new, &file)?;
        }
        Ok::<_, std::io::Error>(())
    };
    write().with_context(|| format!("cannot be served: `{}` cannot be written", file.display()))?;
    Ok((name.to_owned(), directory))
}
