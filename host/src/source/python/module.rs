//! Finds the module of a WSGI app, and the directory that it is imported from.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{anyhow, bail};

use super::name::{self, FILES, is_attribute, is_dotted, is_python, module_file};
use crate::source::mistake;

/// A WSGI app on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Located {
    /// How Python gets the module.
    pub(super) module: Module,
    /// The app in the module, if that is known.
    pub(super) attribute: Option<String>,
    /// The directory that the module is imported from.
    pub(super) directory: PathBuf,
    /// The directory of the file that the user meant, which may be further down; its dependencies may be declared there.
    pub(super) innermost: PathBuf,
}

/// How Python gets the module of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Module {
    /// By its name, from this file.
    File(String, PathBuf),
    /// By its name, from a dependency.
    Elsewhere(String),
    /// From a file whose name is not that of a module.
    Script(PathBuf),
    /// From Django, by the name of a project's settings.
    Django(String),
}

impl Located {
    /// The app's own file, if it has one: metadata in it may declare its dependencies.
    pub(super) fn file(&self) -> Option<&Path> {
        match &self.module {
            Module::File(_, file) | Module::Script(file) => Some(file),
            Module::Elsewhere(_) | Module::Django(_) => None,
        }
    }
}

/// Finds an app by the absolute path that the user named, which may end in a module's name, and by the name of the app,
/// if the user gave one.
///
/// # Errors
///
/// There is no such module. The text is to be read after the name.
pub(super) fn locate(place: &Path, attribute: Option<&str>) -> anyhow::Result<Located> {
    if let Some(name) = attribute.filter(|name| !is_attribute(name)) {
        bail!(
            "ends with `{name}`, which is not a name in Python; write FILE:NAME, as in `app.py:app`, or the name of a \
             function that makes the app, as in `app.py:create_app()`"
        );
    }
    let mut located = if place.is_file() {
        in_file(place)?
    } else if place.exists() && !place.is_dir() {
        bail!("is not a regular file, which Python needs to import it");
    } else {
        let is_package = place.join("__init__.py").is_file();
        // As in Python, where a directory that is no package comes last.
        let is_module = attribute.is_some() && place.with_extension("py").is_file() && !is_package;
        if place.is_dir() && !is_module { in_directory(place, attribute.is_some())? } else { by_name(place)? }
    };
    if let Some(name) = attribute {
        located.attribute = Some(name.to_owned());
    }
    Ok(located)
}

/// An app in a file. As in `flask run` and pytest, a file in a package is imported as a part of it, from the directory
/// that the outermost package is in: otherwise its relative imports would fail.
fn in_file(file: &Path) -> anyhow::Result<Located> {
    let directory = file.parent().unwrap_or(file).to_owned();
    if file.ends_with("manage.py") && name::is_django(&directory) && !name::defines_app(file) {
        return in_project(&directory);
    }
    let stem = file.file_stem().unwrap_or_default().to_str();
    let Some(stem) = stem else { bail!("has a name that is not UTF-8, which Python cannot import; rename it") };
    if !is_python(file) || stem.contains(['.', ':']) {
        let innermost = directory.clone();
        return Ok(Located { module: Module::Script(file.to_owned()), attribute: None, directory, innermost });
    }
    let mut names = if stem == "__init__" { Vec::new() } else { vec![stem] };
    let mut root = &*directory;
    while root.join("__init__.py").is_file()
        && let Some(name) = root.file_name().and_then(|name| name.to_str()).filter(|name| !name.contains('.'))
        && let Some(above) = root.parent()
    {
        names.push(name);
        root = above;
    }
    if names.is_empty() {
        bail!("is a package whose name Python cannot import; rename it");
    }
    names.reverse();
    Ok(Located {
        module: Module::File(names.join("."), file.to_owned()),
        attribute: None,
        directory: root.to_owned(),
        innermost: directory,
    })
}

/// The app of a directory: that of a Django project, or of a package, or of the file that defines it. If the user has
/// named an app in a package, it is the package's own.
fn in_directory(directory: &Path, is_named: bool) -> anyhow::Result<Located> {
    if name::is_django(directory) {
        return in_project(directory);
    }
    let package = directory.join("__init__.py");
    if !package.is_file() {
        let Some(file) = name::file_in(directory) else {
            bail!(
                "is a directory without an app: none of {} in it defines `app` or `application`; name the file with the \
                 app, or serve the directory's files with the prefix `files:`",
                FILES.map(|name| format!("`{name}`")).join(", ")
            );
        };
        return in_file(&file);
    }
    let other = || name::file_in(directory).filter(|_| !is_named && !name::defines_app(&package));
    in_file(&other().unwrap_or_else(|| package.clone()))
}

/// The app of a Django project, in the directory with its `manage.py`.
fn in_project(directory: &Path) -> anyhow::Result<Located> {
    let manage = name::read(&directory.join("manage.py")).unwrap_or_default();
    let settings = manage.split("DJANGO_SETTINGS_MODULE").nth(1).and_then(|rest| quoted(rest.get(1..)?));
    let Some(settings) = settings.filter(|settings| is_dotted(settings)) else {
        bail!(
            "has a manage.py that does not say which settings it uses; name the module with the app, as in `mysite.wsgi:application`"
        );
    };
    let text = module_file(directory, &settings).and_then(|file| name::read(&file)).unwrap_or_default();
    let declared = text.lines().find_map(|line| quoted(line.strip_prefix("WSGI_APPLICATION")?));
    let declared = declared.as_deref().and_then(|path| path.rsplit_once('.'));
    // As `startproject` writes it: beside the settings, or beside their package.
    let packages = settings.match_indices('.').map(|(at, _)| &settings[..at]);
    let usual = packages.map(|package| format!("{package}.wsgi")).rev().chain(["wsgi".to_owned()]);
    let declared = declared.map(|(module, name)| (module.to_owned(), name.to_owned()));
    let mut candidates = declared.into_iter().chain(usual.map(|module| (module, "application".to_owned())));
    let found = candidates.find_map(|(module, name)| Some((module_file(directory, &module)?, module, name)));
    let (module, attribute) = match found {
        Some((file, module, name)) => (Module::File(module, file), name),
        // As Django's own server does.
        None => (Module::Django(settings), "application".to_owned()),
    };
    Ok(Located { module, attribute: Some(attribute), directory: directory.to_owned(), innermost: directory.to_owned() })
}

/// The first text in quotes.
fn quoted(text: &str) -> Option<String> {
    let begin = text.find(['"', '\''])?;
    let quote = text[begin..].chars().next()?;
    let (inside, _) = text[begin + 1..].split_once(quote)?;
    Some(inside.to_owned())
}

/// An app in a module with a dotted name, which is the last part of `place`. It is imported from the directory before
/// that, or from `src` in it.
fn by_name(place: &Path) -> anyhow::Result<Located> {
    let module = place.file_name().and_then(|name| name.to_str()).filter(|name| is_dotted(name));
    let (Some(module), Some(parent)) = (module, place.parent()) else {
        bail!(mistake::metadata(place).err().unwrap_or_else(|| anyhow!("is neither a file nor a directory")));
    };
    if is_python(Path::new(module)) {
        bail!(mistake::metadata(place).err().unwrap_or_else(|| anyhow!("is not a regular file")));
    }
    let roots = [parent.to_owned(), parent.join("src")];
    let found = roots.iter().find_map(|root| Some((root, module_file(root, module)?)));
    if let Some((root, file)) = found {
        let innermost = file.parent().unwrap_or(root).to_owned();
        let module = Module::File(module.to_owned(), file);
        return Ok(Located { module, attribute: None, directory: root.clone(), innermost });
    }
    let top = module.split('.').next().unwrap_or(module);
    if roots.iter().any(|root| root.join(top).is_dir() || module_file(root, top).is_some()) {
        let below = module.replace('.', "/");
        bail!("is not a module: there is no `{below}.py`{}", instead(module, parent));
    }
    Ok(Located {
        module: Module::Elsewhere(module.to_owned()),
        attribute: None,
        directory: parent.to_owned(),
        innermost: parent.to_owned(),
    })
}

/// The error for a module that is neither in the working directory nor among the dependencies.
pub(super) fn missing(module: &str, directory: &Path) -> anyhow::Error {
    let top = module.split('.').next().unwrap_or(module);
    anyhow!(
        "is not a module: there is neither `{top}.py` nor a package `{top}` here or among the dependencies{}",
        instead(module, directory)
    )
}

/// The module in a directory whose name is most like this one.
fn instead(module: &str, directory: &Path) -> String {
    let like = modules(directory).into_iter().find(|other| mistake::is_mistyped(module, other));
    like.map(|like| format!("; did you mean `{like}`?")).unwrap_or_default()
}

/// The modules in a directory and in its packages, in order.
fn modules(directory: &Path) -> Vec<String> {
    /// How many packages may be inside of each other.
    const DEPTH_MAX: usize = 4;
    let (mut modules, mut ahead) = (Vec::new(), vec![(String::new(), directory.to_owned())]);
    while let Some((prefix, directory)) = ahead.pop() {
        for (name, path) in names(&directory) {
            let name = format!("{prefix}{name}");
            if path.join("__init__.py").is_file() && name.split('.').count() < DEPTH_MAX {
                ahead.push((format!("{name}."), path));
            }
            modules.push(name);
        }
    }
    modules
}

/// The names of the modules and packages in a directory, in order.
fn names(directory: &Path) -> Vec<(String, PathBuf)> {
    /// How many entries are looked at.
    const ENTRIES_MAX: usize = 1000;
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().take(ENTRIES_MAX).map(|entry| entry.path());
    let named = entries.filter(|path| is_python(path) || path.is_dir()).filter_map(|path| {
        let name = path.file_stem()?.to_str().filter(|name| is_dotted(name))?.to_owned();
        Some((name, path))
    });
    let mut names: Vec<_> = named.collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with these files.
    fn tree(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let base = std::env::temp_dir().join(format!("wasmserve-python-{name}-{}", std::process::id()));
        for (file, text) in files {
            let file = base.join(file);
            fs::create_dir_all(file.parent().expect("it has a parent")).expect("a temporary directory is writable");
            fs::write(file, text).expect("a temporary directory is writable");
        }
        base
    }

    /// The module and app that a name leads to, with the directory below the tree that it is imported from.
    fn found(base: &Path, name: &str) -> Result<(String, Option<String>, String), String> {
        let typed = base.join(name);
        let (place, attribute) = match name::split(&typed) {
            Some((place, attribute)) => (place, Some(attribute)),
            None => (typed, None),
        };
        let located = locate(&place, attribute.as_deref()).map_err(|error| error.to_string())?;
        let module = match &located.module {
            Module::File(module, _) => module.clone(),
            other => format!("{other:?}").replace(&*base.to_string_lossy(), ""),
        };
        let below = located.directory.strip_prefix(base).expect("it is below").display().to_string();
        Ok((module, located.attribute, below))
    }

    #[test]
    fn a_file_in_packages_is_imported_from_above_them() {
        let files = ["one/app.py", "one/pkg/__init__.py", "one/pkg/web/__init__.py", "one/pkg/web/site.py"];
        let base = tree("packages", &files.map(|file| (file, "app = 1\n")));
        for (name, module, attribute, directory) in [
            ("one/app.py", "app", None, "one"),
            ("one/app.py:app", "app", Some("app"), "one"),
            ("one/app.py:make.app()", "app", Some("make.app()"), "one"),
            ("one/pkg/web/site.py:app", "pkg.web.site", Some("app"), "one"),
            ("one/pkg/web", "pkg.web", None, "one"),
            ("one/pkg/", "pkg", None, "one"),
            ("one/pkg/__init__.py", "pkg", None, "one"),
            ("one/pkg.web.site:app", "pkg.web.site", Some("app"), "one"),
            ("one/pkg:app", "pkg", Some("app"), "one"),
            ("one/app:app", "app", Some("app"), "one"),
            ("one", "app", None, "one"),
        ] {
            let expected = (module.to_owned(), attribute.map(str::to_owned), directory.to_owned());
            assert_eq!(found(&base, name), Ok(expected), "{name}");
        }
        for (name, why) in [
            ("one/app.py:x-y", "not a name in Python"),
            ("one/app.py:create('dev')", "not a name in Python"),
            ("one/pkg.web.sit:app", "did you mean"),
            ("one/ap.py:app", "did you mean"),
        ] {
            let found = found(&base, name);
            assert!(found.as_ref().is_err_and(|error| error.contains(why)), "{name}: {found:?}");
        }
        _ = fs::remove_dir_all(base);
    }

    #[test]
    fn a_django_project_is_found_by_its_manage_py() {
        let manage = "os.environ.setdefault(\"DJANGO_SETTINGS_MODULE\", \"mysite.settings\")\n";
        let base = tree(
            "django",
            &[
                ("a/manage.py", manage),
                ("a/mysite/__init__.py", ""),
                ("a/mysite/wsgi.py", "application = 1\n"),
                ("b/manage.py", manage),
                ("b/mysite/settings.py", "WSGI_APPLICATION = 'other.web.app'\n"),
                ("b/other/web.py", "app = 1\n"),
                ("c/manage.py", "os.environ['DJANGO_SETTINGS_MODULE'] = 'settings'\n"),
            ],
        );
        let app = |module: &str, name: &str, directory: &str| {
            Ok((module.to_owned(), Some(name.to_owned()), directory.to_owned()))
        };
        for name in ["a", "a/manage.py", "a/mysite.wsgi:application"] {
            assert_eq!(found(&base, name), app("mysite.wsgi", "application", "a"), "{name}");
        }
        assert_eq!(found(&base, "b"), app("other.web", "app", "b"));
        assert_eq!(found(&base, "c"), app("Django(\"settings\")", "application", "c"));
        assert_eq!(found(&base, "a/mysite").map(|(module, ..)| module), Ok("mysite.wsgi".to_owned()));
        _ = fs::remove_dir_all(base);
    }

    #[test]
    fn a_file_that_no_module_can_be_named_after_is_a_script() {
        let base = tree(
            "scripts",
            &[
                ("hello", "#!/usr/bin/env python3\n"),
                ("a.b.py", ""),
                ("my-app.py", ""),
                ("v1.2/__init__.py", ""),
                ("v1.2/a.py", ""),
            ],
        );
        for (name, module) in [
            ("hello", "Script(\"/hello\")"),
            ("a.b.py", "Script(\"/a.b.py\")"),
            ("my-app.py", "my-app"),
            ("v1.2/a.py", "a"),
        ] {
            assert_eq!(found(&base, name).map(|(module, ..)| module), Ok(module.to_owned()), "{name}");
        }
        assert!(found(&base, "v1.2").is_err_and(|error| error.contains("Python cannot import")));
        _ = fs::remove_dir_all(base);
    }

    #[test]
    fn a_module_may_be_in_src_or_a_dependency() {
        let base = tree("src", &[("src/pkg/__init__.py", "")]);
        assert_eq!(found(&base, "pkg:app"), Ok(("pkg".to_owned(), Some("app".to_owned()), "src".to_owned())));
        let elsewhere = found(&base, "httpbin:app").map(|(module, ..)| module);
        assert_eq!(elsewhere, Ok("Elsewhere(\"httpbin\")".to_owned()));
        _ = fs::remove_dir_all(base);
    }
}
