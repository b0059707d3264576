//! Python apps: how users name them, where their dependencies come from, and what counts as a change of them.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use wasmserve_tests::{
    place::Place,
    python,
    server::{Ended, Launch, refuses},
    source::tools,
};

/// An app that answers with the value of a Python expression.
fn app(expression: &str) -> String {
    format!(
        "def app(environ, start_response):\n    start_response(\"200 OK\", [(\"Content-Type\", \"text/plain\")])\n    \
         return [str({expression}).encode()]\n"
    )
}

/// Writes these files, and the directories that they are in.
fn tree(place: &Place, files: &[(&str, &str)]) {
    for (name, text) in files {
        fs::create_dir_all(place.join(name).parent().expect("it has a parent")).expect("a place is writable");
        place.file(name, text);
    }
}

fn launch(place: &Place) -> Launch {
    python::ready();
    Launch::bare().at(place)
}

fn served(place: &Place, words: &[&str]) -> Launch {
    launch(place).flags(words).flags(["--addr", "127.0.0.1:0"])
}

/// The value of a line of `wasmserve inspect`.
fn line<'a>(ended: &'a Ended, title: &str) -> &'a str {
    let line = ended.stdout.lines().find_map(|line| line.strip_prefix(title));
    line.unwrap_or_else(|| panic!("no line `{title}`: {ended:?}")).trim()
}

/// What stands for uv: it logs how it is called, and installs a module `dep` with the number of the call.
const UV: &str = r#"echo "$PWD: $*" >> "$UV_CALLS"
while [ $# -gt 0 ]; do [ "$1" = --target ] && target=$2; shift; done
count=0; while read -r line; do count=$((count + 1)); done < "$UV_CALLS"
echo "NUMBER = $count" > "$target/dep.py""#;

/// A launch whose PATH has only this instead of uv.
fn with_uv(launch: Launch, place: &Place, script: &str) -> Launch {
    let tools = tools(place, &[("uv", script)]);
    launch.env("PATH", tools).env("UV_CALLS", place.join("calls")).env("VIRTUAL_ENV", "")
}

fn calls(place: &Place) -> Vec<String> {
    let calls = fs::read_to_string(place.join("calls")).unwrap_or_default();
    calls.lines().map(str::to_owned).collect()
}

/// Requirements that no other test and no other run has.
fn requirements(place: &Place) -> String {
    format!("dep # {}\n", place.display())
}

#[test]
fn names_lead_to_a_module_and_the_directory_that_it_is_imported_from() {
    let place = Place::new();
    let app = app("__name__");
    let factory = format!("def create_app():\n    {}\n    return app\n", app.replace('\n', "\n    "));
    tree(
        &place,
        &[
            ("app.py", &app),
            ("pkg/__init__.py", ""),
            ("pkg/web/__init__.py", ""),
            ("pkg/web/site.py", &format!("from ..text import TEXT\n{app}")),
            ("pkg/text.py", "TEXT = 1\n"),
            ("made/__init__.py", &factory),
            ("src/deep/__init__.py", &app),
            ("hello", &format!("#!/usr/bin/env python3\n{app}")),
            ("my.own.py", &app),
            ("my-own.py", &app),
            ("directory/wsgi.py", &app),
            ("directory/other.py", "x = 1\n"),
        ],
    );
    let mut flags = Vec::new();
    for (name, answer) in [
        ("app.py", "app"),
        ("app.py:app", "app"),
        ("app:app", "app"),
        ("python:app.py", "app"),
        ("./app.py:app", "app"),
        ("pkg/web/site.py", "pkg.web.site"),
        ("pkg.web.site:app", "pkg.web.site"),
        ("pkg.web.site", "pkg.web.site"),
        ("made", "made"),
        ("made/:create_app()", "made"),
        ("made:create_app", "made"),
        ("deep:app", "deep"),
        ("hello", "hello"),
        ("hello:app", "hello"),
        ("my.own.py", "my_own"),
        ("my-own.py:app", "my-own"),
        ("directory", "wsgi"),
        ("directory/", "wsgi"),
    ] {
        flags.push((name, answer));
    }
    let mounts = flags.iter().enumerate().flat_map(|(at, (name, _))| ["--mount".to_owned(), format!("/{at}={name}")]);
    let server = launch(&place).flags(mounts).flags(["--addr", "127.0.0.1:0"]).start();
    for (at, (name, answer)) in flags.iter().enumerate() {
        assert_eq!(server.get(&format!("/{at}")).text(), *answer, "{name}");
    }
}

#[test]
fn a_module_is_found_from_any_directory_that_the_user_is_in() {
    let place = Place::new();
    tree(&place, &[("one/app.py", &app("__file__")), ("one/two/three.txt", "")]);
    let ended = launch(&place).flags(["inspect", "one/app.py:app"]).run();
    assert_eq!((ended.code, line(&ended, "module")), (Some(0), &*format!("app in {}", place.join("one").display())));
    assert_eq!((line(&ended, "app"), line(&ended, "packages")), ("app", "none declared"));
}

#[test]
fn mistakes_in_names_are_reported_in_one_line() {
    let place = Place::new();
    let wsgi = app("1").replace("app", "application");
    tree(
        &place,
        &[
            ("app.py", &app("1")),
            ("empty.py", ""),
            ("mysite/__init__.py", ""),
            ("mysite/wsgi.py", &wsgi),
            ("nothing/readme.txt", ""),
        ],
    );
    for (name, parts) in [
        ("ap.py", &["`ap.py` does not exist; did you mean `app.py`?"][..]),
        ("ap.py:app", &["`ap.py:app` does not exist; did you mean `app.py`?"]),
        ("quite_another.py", &["`quite_another.py` cannot be read: No such file"]),
        ("mysite.wsgy:application", &["`mysite.wsgy:application` is not a module", "did you mean `mysite.wsgi`?"]),
        ("mysit.wsgi:application", &["neither `mysit.py` nor a package `mysit`", "did you mean `mysite.wsgi`?"]),
        ("elsewhere:app", &["neither `elsewhere.py` nor a package `elsewhere` here or among the dependencies"]),
        ("app.py:my-app", &["`app.py:my-app` ends with `my-app`, which is not a name in Python"]),
        ("app:create_app('dev')", &["is not a name in Python", "`app.py:create_app()`"]),
        ("empty.py", &["`empty.py` is empty; `wasmserve new hello --template wsgi`"]),
        ("python:nothing", &["`nothing` is a directory without an app", "`files:`"]),
        ("python:/dev/null", &["is not a regular file"]),
        ("rusty:app.py", &["cannot be read"]),
    ] {
        let launch = served(&place, &[name]).env("VIRTUAL_ENV", "");
        let last = launch.run();
        assert_eq!((last.code, last.stderr.lines().count()), (Some(4), 1), "{name}: {last:?}");
        for part in parts {
            assert!(last.stderr.contains(part), "{name}: `{part}` is not in {}", last.stderr);
        }
    }
}

#[test]
fn a_directory_is_an_app_only_if_it_has_one_and_is_no_web_site() {
    let place = Place::new();
    let django = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site.settings')\n";
    tree(
        &place,
        &[
            ("app/app.py", &app("'app'")),
            ("package/__init__.py", &app("'package'")),
            ("scripts/setup.py", "import setuptools\n"),
            ("scripts/main.py", "print(1)\n"),
            ("site/index.html", "a site"),
            ("site/app.py", &app("'app'")),
            ("crate/Cargo.toml", "[package]\n"),
            ("crate/app.py", &app("'app'")),
            ("odd/hello.py", &app("'odd'")),
            ("project/manage.py", django),
            ("project/wsgi.py", &app("'project'").replace("app", "application")),
        ],
    );
    let mounts = ["app", "package", "scripts", "site", "odd", "project"].map(|name| format!("/{name}={name}"));
    let files = "/files=files:app".to_owned();
    let mounts = mounts.into_iter().chain([files]).flat_map(|mount| ["--mount".to_owned(), mount]);
    let server = launch(&place).flags(mounts).flags(["--addr", "127.0.0.1:0"]).start();
    for (target, answer) in [
        ("/app", "app"),
        ("/package", "package"),
        ("/project", "project"),
        ("/site/", "a site"),
        ("/scripts/main.py", "print(1)\n"),
        ("/odd/hello.py", &app("'odd'")),
        ("/files/app.py", &app("'app'")),
    ] {
        assert_eq!(server.get(target).text(), answer, "{target}");
    }
    let log = server.log();
    let has = |line: &str| log.iter().any(|other| other.ends_with(line));
    assert!(has("`app` is served as a Python app; `wasmserve files:app` serves the files in it"), "{log:#?}");
    assert!(has("to run one, name it, as in `wasmserve odd/hello.py`"), "{log:#?}");
}

#[test]
fn dependencies_are_installed_once_for_each_declaration() {
    let place = Place::new();
    tree(&place, &[("app/app.py", &format!("import dep\n{}", app("dep.NUMBER")))]);
    place.file("app/requirements.txt", requirements(&place));
    let start = || with_uv(served(&place, &["app/app.py"]), &place, UV).start();
    for _ in 0..2 {
        assert_eq!(start().get("/").text(), "1");
    }
    let calls_of = calls(&place);
    let [call] = &calls_of[..] else { panic!("{calls_of:?}") };
    let directory = place.join("app").canonicalize().expect("it exists");
    assert!(call.starts_with(&format!("{}: pip install --python-version 3.14", directory.display())), "{call}");
    assert!(call.contains("--no-build") && call.ends_with("requirements.txt"), "{call}");

    // While it is served, another declaration replaces the packages, and the first ones are still there.
    let server = start();
    place.file("app/requirements.txt", format!("more\n{}", requirements(&place)));
    server.served_anew(1);
    assert_eq!(server.get("/").text(), "2");
    server.line_with("installing the dependencies in `requirements.txt` with uv…");
    place.file("app/requirements.txt", requirements(&place));
    server.served_anew(2);
    assert_eq!((server.get("/").text(), calls(&place).len()), ("1", 2));
}

#[test]
fn the_first_declaration_applies() {
    let place = Place::new();
    let text = format!("# /// script\n# dependencies = [\"dep\"] # {}\n# ///\n", place.display());
    let project =
        format!("[project]\nname = \"x\"\nversion = \"1\"\ndependencies = [\"dep\"]\n# {}\n", place.display());
    let inspect = || with_uv(launch(&place).flags(["inspect", "app.py"]), &place, UV).run();
    let environment = ".venv/lib/python3.12/site-packages/dep.py";
    tree(&place, &[(environment, "NUMBER = 0\n"), (".venv/pyvenv.cfg", ""), ("app.py", "import dep\napp = print\n")]);
    let beside = inspect();
    assert!(line(&beside, "packages").starts_with("the virtual environment `"), "{beside:?}");
    assert!(calls(&place).is_empty());
    for (file, text, sign) in [
        ("pyproject.toml", "[tool.ruff]\n".to_owned(), "the virtual environment"),
        ("pyproject.toml", project, "pyproject.toml"),
        ("requirements.txt", requirements(&place), "requirements.txt"),
        ("app.py", format!("{text}import dep\napp = print\n"), "app.py"),
        ("app.py", "# /// script\n# dependencies = []\n# ///\napp = print\n".to_owned(), "none, as its metadata says"),
    ] {
        place.file(file, text);
        let ended = inspect();
        assert_eq!(ended.code, Some(0), "{file}: {ended:?}");
        assert!(line(&ended, "packages").contains(sign), "{file}: {ended:?}");
    }
}

#[test]
fn a_failed_installation_is_reported_and_leaves_nothing() {
    let place = Place::new();
    place.file("app.py", format!("import dep\n{}", app("dep.NUMBER")));
    place.file("requirements.txt", requirements(&place));
    let cache = python::cache(&place);
    let run = |script: &str| with_uv(served(&place, &["app.py"]), &place, script).env("XDG_CACHE_HOME", &cache).run();
    let half = format!("{UV}\necho 'error: No solution found: dep is nowhere' >&2\nexit 1");
    let ended = run(&half);
    assert_eq!(ended.code, Some(4));
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines[1], "error: No solution found: dep is nowhere", "{lines:#?}");
    let last =
        "wasmserve: `app.py` has dependencies in `requirements.txt` that uv cannot install; its messages say why";
    assert_eq!(lines.last(), Some(&last));
    assert!(!place.files().iter().any(|file| file.ends_with("dep.py")), "{:?}", place.files());

    // What has no wheel is built, after a notice.
    let wheels =
        format!("case \"$*\" in *--no-build*) echo 'hint: building from source is disabled' >&2; exit 1;; esac\n{UV}");
    let built = with_uv(launch(&place).flags(["inspect", "app.py"]), &place, &wheels).env("XDG_CACHE_HOME", &cache);
    let built = built.run();
    assert!(built.stderr.contains("have wheels; trying to build them, which runs their own code"), "{built:?}");
    assert!(place.files().iter().any(|file| file.ends_with("packages/dep.py")), "{:?}", place.files());
    // They can be removed when no server uses them.
    let clean = || launch(&place).flags(["clean"]).env("XDG_CACHE_HOME", &cache).run().stdout;
    let is_there = || place.files().iter().any(|file| file.ends_with("packages/dep.py"));
    let server = with_uv(served(&place, &["app.py"]), &place, UV).env("XDG_CACHE_HOME", &cache).start();
    let said = clean();
    assert!(said.contains("; a Python app that is served keeps its dependencies"), "{said}");
    assert!(is_there());
    server.stop();
    assert!(!clean().contains("keeps") && !is_there());
}

#[test]
fn an_index_that_cannot_be_reached_is_one_line() {
    let place = Place::new();
    place.file("app.py", app("1"));
    place.file("requirements.txt", requirements(&place));
    let offline =
        "echo 'error: Request failed after 3 retries' >&2; echo '  cause: error sending request for url' >&2; exit 2";
    let ended = with_uv(served(&place, &["app.py"]), &place, offline).run();
    let last = "wasmserve: `app.py` has dependencies in `requirements.txt`, and uv cannot reach the package index; connect \
                to the network, or activate a virtual environment that has them";
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!((ended.code, &lines[1..]), (Some(4), &[last][..]), "{ended:?}");

    // What is in a virtual environment is used then, and the index is asked once only.
    tree(&place, &[(".venv/pyvenv.cfg", ""), (".venv/lib/python3.14/site-packages/dep.py", "NUMBER = 5\n")]);
    place.file("app.py", format!("import dep\n{}", app("dep.NUMBER")));
    let counted = format!("echo >> \"$UV_CALLS\"\n{offline}");
    let launch = with_uv(served(&place, &["app.py"]), &place, &counted).env("UV_CALLS", place.join(".calls"));
    let server = launch.start();
    assert_eq!(server.get("/").text(), "5");
    server.line_with(
        "the dependencies in `requirements.txt` cannot be installed now; using those in the virtual environment `",
    );
    place.file("app.py", format!("import dep\n{}", app("dep.NUMBER + 1")));
    server.served_anew(1);
    assert_eq!(server.get("/").text(), "6");
    assert_eq!(fs::read_to_string(place.join(".calls")).expect("uv was called").lines().count(), 1);
}

#[test]
fn without_an_installer_only_apps_with_dependencies_are_refused() {
    let place = Place::new();
    fs::create_dir(place.join("nothing")).expect("a place is writable");
    place.file("app.py", app("1"));
    let launch = || served(&place, &["app.py"]).env("PATH", place.join("nothing")).env("VIRTUAL_ENV", "");
    assert_eq!(launch().start().get("/").text(), "1");
    place.file("requirements.txt", "flask\n");
    refuses(
        launch(),
        4,
        &["`app.py` has dependencies in `requirements.txt`", "install uv: https://docs.astral.sh/uv/"],
    );
}

/// Writes a wheel of a package `dep`. Returns false, after a line, if there is no Python with pip.
fn wheel(place: &Place) -> bool {
    let script = r#"
import sys, zipfile, pip
with zipfile.ZipFile("dep-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("dep.py", "NUMBER = 7\n")
    info = "dep-1.0.dist-info/"
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: dep\nVersion: 1.0\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "RECORD", "dep.py,,\n")
"#;
    let ended = Command::new("python3").args(["-c", script]).current_dir(&**place).output();
    let has_pip = ended.is_ok_and(|ended| ended.status.success());
    if !has_pip {
        #[expect(clippy::print_stderr, reason = "a test that checks nothing has to say so")]
        {
            eprintln!("skipped: there is no python3 with pip");
        }
    }
    has_pip
}

/// A directory with Python alone, so that uv is not found.
fn only_python(place: &Place) -> PathBuf {
    let found =
        Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().expect("Python runs");
    let python = String::from_utf8(found.stdout).expect("a path");
    tools(place, &[("python3", &format!("exec '{}' \"$@\"", python.trim()))])
}

#[test]
fn pip_installs_from_the_index_that_users_configure_and_imports_nothing_from_the_app() {
    let place = Place::new();
    if !wheel(&place) {
        return;
    }
    let trap = "open('trapped', 'w')\n";
    let files = ["pip/__init__.py", "pip/__main__.py", "runpy.py", "logging/__init__.py", "sitecustomize.py"];
    tree(&place, &files.map(|file| (file, trap)));
    place.file("app.py", format!("import dep\n{}", app("dep.NUMBER")));
    place.file("requirements.txt", requirements(&place));
    let launch = served(&place, &["app.py"]).env("PATH", only_python(&place)).env("VIRTUAL_ENV", "");
    let launch = launch.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", &*place).env("PIP_USER", "1");
    let server = launch.start();
    assert_eq!(server.get("/").text(), "7");
    server.line_with("installing the dependencies in `requirements.txt` with pip…");
    assert!(!place.join("trapped").exists());
}

#[test]
fn a_module_that_pip_left_out_is_explained() {
    let place = Place::new();
    if !wheel(&place) {
        return;
    }
    place.file("app.py", "import dep, cgi_of_old\napp = 1\n");
    place.file("requirements.txt", requirements(&place));
    let launch = served(&place, &["app.py"]).env("PATH", only_python(&place)).env("VIRTUAL_ENV", "");
    let ended = launch.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", &*place).run();
    assert_eq!(ended.code, Some(4));
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(
        last.contains("cgi_of_old") && last.contains("pip chose the packages for its own version of Python"),
        "{last}"
    );
}

#[test]
fn a_virtual_environment_is_read_and_not_run() {
    let place = Place::new();
    let packages = ".venv/lib/python3.12/site-packages";
    let elsewhere = format!("{}\nimport evil\n", place.join("elsewhere/src").display());
    tree(
        &place,
        &[
            ("app/app.py", &format!("import dep, edited\n{}", app("dep.NUMBER + edited.NUMBER"))),
            ("app/.venv/pyvenv.cfg", "home = /usr/bin\n"),
            ("app/.venv/bin/python", "#!/bin/sh\necho > trapped\n"),
            (&format!("app/{packages}/dep.py"), "NUMBER = 1\n"),
            (&format!("app/{packages}/edited.pth"), &elsewhere),
            (&format!("app/{packages}/fast-1.0.dist-info/RECORD"), "fast.cpython-312-x86_64-linux-gnu.so,,\n"),
            ("elsewhere/src/edited.py", "NUMBER = 10\n"),
            ("active/pyvenv.cfg", ""),
            ("active/lib/python3.14/site-packages/dep.py", "NUMBER = 2\n"),
            ("active/lib/python3.14/site-packages/edited.py", "NUMBER = 20\n"),
        ],
    );
    let python = place.join("app/.venv/bin/python");
    fs::set_permissions(python, fs::Permissions::from_mode(0o755)).expect("we own the file");
    let start = |active: &Path| served(&place, &["app/app.py"]).env("VIRTUAL_ENV", active).start();
    assert_eq!(start(&place.join("active")).get("/").text(), "22");
    let server = start(Path::new(""));
    assert_eq!(server.get("/").text(), "11");
    server.line_with("fast cannot be imported without compiled code");
    // What is edited in place is watched, and so is what is installed.
    place.file("elsewhere/src/edited.py", "NUMBER = 30\n");
    server.served_anew(1);
    assert_eq!(server.get("/").text(), "31");
    place.file(&format!("app/{packages}/dep.py"), "NUMBER = 3\n");
    place.file(&format!("app/{packages}/other.py"), "");
    server.served_anew(2);
    assert_eq!(server.get("/").text(), "33");
    assert!(!place.join("trapped").exists() && !place.join("app/trapped").exists());
}

#[test]
fn every_file_that_an_app_consists_of_is_watched_and_what_it_writes_is_not() {
    let place = Place::new();
    let text = format!("import other\nTEXT = open('/app/texts/a.txt').read()\n{}", app("other.TEXT + TEXT"));
    tree(&place, &[("app.py", &text), ("other.py", "TEXT = 'a'\n"), ("texts/a.txt", "b"), ("data/x", "1")]);
    let server = served(&place, &["app.py", "--dir", "data::/app/data"]).start();
    assert_eq!(server.get("/").text(), "ab");
    place.file("other.py", "TEXT = 'c'\n");
    server.served_anew(1);
    place.file("data/x", "2");
    place.file("texts/a.txt", "d");
    server.served_anew(2);
    assert_eq!(server.get("/").text(), "cd");
    // A broken version is reported with its traceback, and the last one that works is served.
    place.file("other.py", "TEXT = \n");
    let line = server.kept(1).pop().unwrap_or_default();
    assert!(line.contains("`app.py` cannot be imported: SyntaxError"), "{line}");
    let broken = format!("File \"{}\", line 1", place.canonicalize().expect("it exists").join("other.py").display());
    assert!(server.log().iter().any(|line| line.contains(&broken)), "{broken}: {:#?}", server.log());
    assert_eq!(server.get("/").text(), "cd");
    place.file("other.py", "TEXT = 'e'\n");
    server.served_anew(3);
    assert_eq!(server.get("/").text(), "ed");
}

#[test]
fn a_traceback_cannot_control_the_terminal() {
    let place = Place::new();
    place.file("app.py", "raise ValueError('\\x1b]0;title\\x07 \\u202e')\n");
    let ended = served(&place, &["app.py"]).run();
    assert_eq!(ended.code, Some(4));
    assert!(ended.stderr.contains("raise ValueError('\\x1b]0;"), "the source is shown as it is: {}", ended.stderr);
    assert!(ended.stderr.chars().all(|char| char == '\n' || !char.is_control()), "{:?}", ended.stderr);
}

#[test]
fn an_app_that_can_change_its_own_source_is_not_watched() {
    let place = Place::new();
    place.file("app.py", app("1"));
    let server = served(&place, &["app.py", "--dir", ".::/data"]).start();
    server.line_with("lets a handler change its own source, so it is not rebuilt on changes; add :ro");
    assert!(!server.watches());
}

#[test]
fn an_app_in_the_users_home_is_reported() {
    let place = Place::new();
    place.file("app.py", app("1"));
    let ended = launch(&place).flags(["inspect", "app.py"]).env("HOME", &*place).run();
    assert!(ended.stderr.contains("the app can read all files in `"), "{ended:?}");
    assert!(!launch(&place).flags(["inspect", "app.py"]).run().stderr.contains("can read all files"));
}

#[test]
fn build_writes_a_component_named_after_the_module() {
    let place = Place::new();
    place.file("hello.py", app("'built'"));
    let built = launch(&place).flags(["build", "hello.py"]).run();
    assert_eq!((built.code, &*built.stdout), (Some(0), "hello.wasm\n"), "{built:?}");
    refuses(
        launch(&place).flags(["build", "hello.py", "-o", "hello.py"]),
        1,
        &["is what the component was built from"],
    );
    refuses(launch(&place).flags(["test", "hello.py"]), 4, &["`hello.py` is Python, whose tests", "pytest"]);
}
