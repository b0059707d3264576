//! Where Python code is: reads the frames of the interpreter from its memory.
//!
//! CPython begins its state with a table of what a debugger in another process has to know: the offsets of fields
//! (`_Py_DebugOffsets` in `Include/internal/pycore_debug_offsets.h`). What the table does not have is the same for all
//! releases of one version: how texts and line tables are packed (`Include/cpython/unicodeobject.h`,
//! `InternalDocs/code_objects.md`).
//!
//! The memory is the handler's, which may have written anything into it. Each read is checked, and the reads for one
//! stack are limited together. Since every loop reads, that limits the loops as well, and no list can be too long.

use std::{cell::Cell, iter::successors, sync::Arc};

use wasmtime::{AsContext, component::WasmList};

use super::{dirs::Dirs, locks::Locks};
use crate::base::stack::{Frame, Stack};

/// How many bytes are read for a stack.
const READ_MAX: usize = 8 << 20;

/// How many frames are shown of a stack: as many as Python allows by default.
const FRAMES_MAX: usize = 1000;

/// How many characters are read of a name or path.
const TEXT_MAX: u32 = 500;

/// What CPython's table begins with.
const COOKIE: &[u8] = b"xdebugpy";

/// The version whose memory this reads, as the first two bytes of `PY_VERSION_HEX`.
const VERSION: u32 = 0x030e;

/// A view of an instance's memory.
pub(in crate::kind::wasm) struct View {
    /// The address of the interpreter's state.
    pub(super) runtime: u32,
    /// All of the memory, once it was shown.
    pub(super) memory: Option<WasmList<u8>>,
    /// The directories that it sees, whatever it is granted.
    pub(in crate::kind::wasm) dirs: Arc<Dirs>,
    /// The locks of databases that it holds.
    pub(in crate::kind::wasm) locks: Locks,
}

impl View {
    /// The Python functions that the instance is in; `None` if its memory does not say.
    pub(in crate::kind::wasm) fn stack(&self, store: &impl AsContext) -> Option<Stack> {
        let memory = self.memory.as_ref()?.as_le_slice(store.as_context());
        Interpreter { memory, runtime: self.runtime, left: Cell::new(READ_MAX) }.stack()
    }
}

/// The fields that are read, by the place of their offsets in the table.
#[derive(Clone, Copy)]
enum Field {
    Version = 1,
    Interpreters = 5,
    NextInterpreter = 8,
    Threads = 9,
    NextThread = 24,
    CurrentFrame = 26,
    Caller = 32,
    Code = 33,
    Instruction = 34,
    Owner = 36,
    File = 40,
    QualifiedName = 42,
    LineTable = 43,
    FirstLine = 44,
    Instructions = 48,
    BytesLength = 75,
    Bytes = 76,
    TextSize = 77,
    TextState = 78,
    TextLength = 79,
    AsciiText = 80,
}

/// The owner of the first frame that is not of a Python function, but where C code has called one.
const OWNED_BY_INTERPRETER: u8 = 3;

/// An interpreter in memory. Reading returns `None` if something is not there or too much was read.
struct Interpreter<'a> {
    memory: &'a [u8],
    runtime: u32,
    /// How many bytes may still be read.
    left: Cell<usize>,
}

impl<'a> Interpreter<'a> {
    fn stack(&self) -> Option<Stack> {
        let version = self.word(self.runtime.checked_add(8 * Field::Version as u32)?)? >> 16;
        if self.bytes(self.runtime, 8)? != COOKIE || version != VERSION {
            return None;
        }
        // Each interpreter was started by the next one, so its code is further in.
        let interpreters = self.list(self.runtime, Field::Interpreters, Field::NextInterpreter);
        let threads = interpreters.flat_map(|interpreter| self.list(interpreter, Field::Threads, Field::NextThread));
        let frames = threads.flat_map(|thread| self.list(thread, Field::CurrentFrame, Field::Caller));
        let mut functions = frames.filter_map(|frame| self.function(frame)).peekable();
        functions.peek()?;
        Some(Stack::new(functions.filter_map(Function::frame).take(FRAMES_MAX).collect()))
    }

    /// The addresses of a linked list.
    fn list(&self, owner: u32, first: Field, next: Field) -> impl Iterator<Item = u32> {
        successors(self.pointer(owner, first), move |item| self.pointer(*item, next))
    }

    /// The function of a frame, unless it is not of one.
    fn function(&self, frame: u32) -> Option<Function> {
        let [owner] = *self.bytes(self.field(frame, Field::Owner)?, 1)? else { return None };
        if owner >= OWNED_BY_INTERPRETER {
            return None;
        }
        // The lowest bits say how the reference is counted.
        let code = self.pointer(frame, Field::Code)? & !3;
        Some(Function {
            name: self.text(self.pointer(code, Field::QualifiedName)?)?,
            file: self.text(self.pointer(code, Field::File)?)?,
            line: self.line(code, self.pointer(frame, Field::Instruction)?),
        })
    }

    /// The line of an instruction.
    fn line(&self, code: u32, instruction: u32) -> Option<u32> {
        // An instruction and each of its operands have two bytes.
        let unit = instruction.checked_sub(self.field(code, Field::Instructions)?)? / 2;
        let table = self.pointer(code, Field::LineTable)?;
        let length = self.word(self.field(table, Field::BytesLength)?)?;
        let first = self.word(self.field(code, Field::FirstLine)?)?;
        line_at(self.bytes(self.field(table, Field::Bytes)?, length)?, first, unit)
    }

    /// The begin of a `str`.
    fn text(&self, object: u32) -> Option<String> {
        // Two bits are about interning; three are the size of a character; then there are two flags.
        let [state] = *self.bytes(self.field(object, Field::TextState)?, 1)? else { return None };
        let (width, is_compact, is_ascii) =
            (u32::from(state >> 2 & 0b111), state & 0b10_0000 != 0, state & 0b100_0000 != 0);
        if !is_compact || !matches!(width, 1 | 2 | 4) {
            return None;
        }
        let begin = match is_ascii {
            true => self.field(object, Field::AsciiText)?,
            // The whole structure ends in a pointer that a compact text does not have.
            false => self.field(object, Field::TextSize)?.checked_sub(4)?,
        };
        let length = self.word(self.field(object, Field::TextLength)?)?.min(TEXT_MAX);
        let bytes = self.bytes(begin, length * width)?;
        let character = |bytes: &[u8]| {
            let value = bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
            char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER)
        };
        Some(bytes.chunks(width as usize).map(character).collect())
    }

    /// The pointer in a field, unless it is null.
    fn pointer(&self, object: u32, field: Field) -> Option<u32> {
        self.word(self.field(object, field)?).filter(|pointer| *pointer != 0)
    }

    /// The address of a field.
    fn field(&self, object: u32, field: Field) -> Option<u32> {
        let entry = self.bytes(self.runtime.checked_add(8 * field as u32)?, 8)?;
        object.checked_add(u64::from_le_bytes(entry.try_into().ok()?).try_into().ok()?)
    }

    fn word(&self, address: u32) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes(address, 4)?.try_into().ok()?))
    }

    fn bytes(&self, address: u32, length: u32) -> Option<&'a [u8]> {
        let (begin, length) = (usize::try_from(address).ok()?, usize::try_from(length).ok()?);
        self.left.set(self.left.get().checked_sub(length)?);
        self.memory.get(begin..begin.checked_add(length)?)
    }
}

/// A function that runs.
struct Function {
    name: String,
    file: String,
    line: Option<u32>,
}

impl Function {
    /// The frame as it is shown, unless it is our own.
    fn frame(self) -> Option<Frame> {
        let file = &*self.file;
        let (file, is_library) = match file.rsplit_once("/site-packages/") {
            Some((_, file)) => (file, true),
            None if file.starts_with("/bundled/") => return None,
            None => match (file.strip_prefix("/app/"), file.strip_prefix("/python/"), file.strip_prefix("/deps/")) {
                (Some(file), ..) => (file, false),
                (_, Some(file), _) => (file, true),
                (_, _, Some(file)) => (file.split_once('/').map_or(file, |(_, file)| file), true),
                // Such as `<frozen importlib._bootstrap>`, or code that a library has generated.
                (None, None, None) => (file, file.starts_with('<')),
            },
        };
        // A template is compiled to Python under its own name, and lines are those of the result.
        let line = self.line.filter(|_| file.ends_with(".py"));
        let place = line.map_or_else(|| file.to_owned(), |line| format!("{file}:{line}"));
        // The line says in which function this one was defined.
        let name = self.name.rsplit("<locals>.").next().unwrap_or_default();
        Some(Frame { function: name.to_owned(), place: Some(place), is_library, filter: None })
    }
}

/// The line of a code unit, by a line table of a function that begins in the line `first`.
///
/// An entry of the table is a byte with its highest bit set, and bytes without: it says for how many units it is, and
/// how far their line is from the line of the entry before.
fn line_at(table: &[u8], first: u32, unit: u32) -> Option<u32> {
    let mut line = i64::from(first);
    let mut end = 0;
    let mut bytes = table.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte & 0x80 == 0 {
            continue;
        }
        end += usize::from(byte & 0b111) + 1;
        line = line.wrapping_add(match byte >> 3 & 0b1111 {
            13 | 14 => signed(&mut bytes),
            code @ 10..=12 => i64::from(code) - 10,
            // The columns in the same line; or the unit is of no line, so that it counts for the one before.
            _ => 0,
        });
        if end > usize::try_from(unit).ok()? {
            return line.try_into().ok();
        }
    }
    None
}

/// Reads a number: six bits in each byte, the lowest ones first, and a flag if another byte follows. The lowest bit of
/// all is the sign.
fn signed(bytes: &mut impl Iterator<Item = u8>) -> i64 {
    let (mut value, mut shift) = (0, 0);
    for byte in bytes {
        value |= i64::from(byte & 0x3f).checked_shl(shift).unwrap_or(0);
        shift = shift.saturating_add(6);
        if byte & 0x40 == 0 {
            break;
        }
    }
    let magnitude = value >> 1 & i64::MAX;
    if value & 1 == 1 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Where everything is in the memory of the tests. Each structure has its fields in the order of `FIELDS`.
    const RUNTIME: u32 = 16;
    const FIELDS: [(Field, u32); 20] = [
        (Field::Interpreters, 1000),
        (Field::NextInterpreter, 0),
        (Field::Threads, 4),
        (Field::NextThread, 0),
        (Field::CurrentFrame, 4),
        (Field::Caller, 0),
        (Field::Code, 4),
        (Field::Instruction, 8),
        (Field::Owner, 14),
        (Field::File, 0),
        (Field::QualifiedName, 4),
        (Field::LineTable, 8),
        (Field::FirstLine, 12),
        (Field::Instructions, 16),
        (Field::BytesLength, 0),
        (Field::Bytes, 4),
        (Field::TextSize, 16),
        (Field::TextState, 4),
        (Field::TextLength, 0),
        (Field::AsciiText, 8),
    ];

    /// A memory in which an interpreter runs a thread.
    struct Memory {
        bytes: Vec<u8>,
        /// Where the pointer to the next frame has to be written.
        next: usize,
    }

    impl Memory {
        fn new() -> Self {
            let mut bytes = vec![0; 2000];
            bytes[16..24].copy_from_slice(COOKIE);
            let mut memory = Self { bytes, next: 0 };
            memory.set(RUNTIME + 8, VERSION << 16 | 0xf0);
            for (field, offset) in FIELDS {
                memory.set(RUNTIME + 8 * field as u32, offset);
            }
            let thread = memory.add(&[0, 0]);
            let interpreter = memory.add(&[0, thread]);
            memory.set(RUNTIME + 1000, interpreter);
            memory.next = thread as usize + 4;
            memory
        }

        fn set(&mut self, address: u32, word: u32) {
            self.bytes[address as usize..][..4].copy_from_slice(&word.to_le_bytes());
        }

        /// Adds a structure, and returns its address.
        fn add(&mut self, words: &[u32]) -> u32 {
            self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
            let address = self.bytes.len();
            self.bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            address.try_into().expect("it is small")
        }

        fn text(&mut self, text: &str) -> u32 {
            let length = u32::try_from(text.chars().count()).expect("it is short");
            let widest = text.chars().map(u32::from).max().unwrap_or(0);
            let width = if widest < 0x100 {
                1
            } else if widest < 0x1_0000 {
                2
            } else {
                4
            };
            let is_ascii = text.is_ascii();
            let state = 1 | width << 2 | 1 << 5 | u32::from(is_ascii) << 6;
            let address = self.add(&[length, state]);
            if !is_ascii {
                self.bytes.extend([0; 4]);
            }
            for character in text.chars() {
                self.bytes.extend_from_slice(&u32::from(character).to_le_bytes()[..width as usize]);
            }
            address
        }

        /// Adds a frame, further out than those before.
        fn frame(&mut self, name: &str, file: &str, first: u32, table: &[u8], unit: u32, owner: u8) -> &mut Self {
            let (file, name) = (self.text(file), self.text(name));
            let lines = self.add(&[u32::try_from(table.len()).expect("it is short")]);
            self.bytes.extend_from_slice(table);
            let code = self.add(&[file, name, lines, first]);
            let frame = self.add(&[0, code | 1, code + 16 + 2 * unit, u32::from(owner) << 16]);
            self.set(u32::try_from(self.next).expect("it is small"), frame);
            self.next = frame as usize;
            self
        }

        /// Adds the frame of a function of one line.
        fn at(&mut self, name: &str, file: &str, line: u32) -> &mut Self {
            self.frame(name, file, line, &[0x87, 0], 0, 0)
        }

        fn interpreter(&self) -> Interpreter<'_> {
            Interpreter { memory: &self.bytes, runtime: RUNTIME, left: Cell::new(READ_MAX) }
        }

        fn lines(&self) -> Option<Vec<String>> {
            Some(self.interpreter().stack()?.lines())
        }
    }

    #[test]
    fn frames_are_listed_from_the_innermost_one_with_their_lines() {
        let mut memory = Memory::new();
        memory.at("inner", "/app/app.py", 22).at("app", "/app/app.py", 7);
        assert_eq!(memory.lines().expect("it is Python"), ["at inner (app.py:22)", "at app (app.py:7)"]);
    }

    #[test]
    fn library_frames_are_counted_and_our_own_are_left_out() {
        let mut memory = Memory::new();
        memory.at("read", "/bundled/wasmserve_wsgi.py", 1).at("loads", "/python/json/__init__.py", 1);
        memory.at("dispatch", "/deps/0/flask/app.py", 1).at("_call", "<frozen importlib._bootstrap>", 1);
        memory.at("get", "/app/.venv/lib/python3.14/site-packages/requests/api.py", 1);
        memory.at("__call__", "/app/pages/views.py", 9).at("run", "/bundled/wasmserve_wsgi.py", 1);
        assert_eq!(memory.lines().expect("it is Python"), ["(4 library frames)", "at __call__ (pages/views.py:9)"]);
    }

    #[test]
    fn library_frames_are_shown_if_there_are_no_others() {
        let mut memory = Memory::new();
        memory.at("loads", "/python/json/__init__.py", 12).at("dispatch", "/deps/0/flask/app.py", 3);
        assert_eq!(
            memory.lines().expect("it is Python"),
            ["at loads (json/__init__.py:12)", "at dispatch (flask/app.py:3)"]
        );
    }

    #[test]
    fn a_stack_of_nothing_but_our_own_frames_is_empty() {
        assert_eq!(Memory::new().at("run", "/bundled/wasmserve_wsgi.py", 1).lines(), Some(Vec::new()));
    }

    #[test]
    fn functions_have_the_names_by_which_they_are_known_in_their_class() {
        let mut memory = Memory::new();
        memory.at("create_app.<locals>.Page.get", "/app/app.py", 1).at("App.<lambda>", "/app/app.py", 2);
        assert_eq!(memory.lines().expect("it is Python"), ["at Page.get (app.py:1)", "at App.<lambda> (app.py:2)"]);
    }

    #[test]
    fn texts_may_have_characters_of_any_width() {
        for name in ["plain", "läuft", "работает", "😀"] {
            let lines = Memory::new().at(name, "/app/größe.py", 1).lines();
            assert_eq!(lines.expect("it is Python"), [format!("at {name} (größe.py:1)")]);
        }
    }

    #[test]
    fn the_lines_of_a_template_are_not_those_of_its_file() {
        let lines = Memory::new().at("root", "/app/templates/index.html", 40).lines();
        assert_eq!(lines.expect("it is Python"), ["at root (templates/index.html)"]);
    }

    #[test]
    fn frames_of_the_interpreter_are_left_out() {
        let mut memory = Memory::new();
        memory.at("inner", "/app/app.py", 2).frame("entry", "/app/app.py", 1, &[], 0, OWNED_BY_INTERPRETER);
        memory.frame("generator", "/app/app.py", 3, &[0x80, 0], 0, 1);
        assert_eq!(memory.lines().expect("it is Python"), ["at inner (app.py:2)", "at generator (app.py:3)"]);
    }

    #[test]
    fn line_tables_are_read_in_all_their_forms() {
        // A short form for 2 units; one more line; two more lines; 100 more without columns; 3 fewer, the long form;
        // no line.
        let table = [0x81, 0x11, 0xd8, 1, 2, 0xe0, 1, 2, 0xe8, 0x48, 0x03, 0xf1, 7, 0, 1, 2, 0xf8];
        let lines: Vec<_> = (0..9).map(|unit| line_at(&table, 10, unit)).collect();
        let known = [10, 10, 11, 13, 113, 110, 110, 110].map(Some);
        assert_eq!(lines, [&known[..], &[None]].concat());
    }

    #[test]
    fn a_line_table_that_ends_early_or_is_absurd_has_no_line() {
        for table in [&[][..], &[0xe8], &[0, 0, 0], &[0xe8, 0x43, 0x01], &[0xf0; 3]] {
            assert_eq!(line_at(table, 0, 5), None, "{table:?}");
        }
        assert_eq!(line_at(&[&[0xe8][..], &[0x7f; 100]].concat(), u32::MAX, 0), None);
    }

    #[test]
    fn another_memory_has_no_stack() {
        for memory in [&[][..], &[0; 16], &[0xff; 5000]] {
            let interpreter = Interpreter { memory, runtime: RUNTIME, left: Cell::new(READ_MAX) };
            assert_eq!(interpreter.stack(), None);
        }
        let mut old = Memory::new();
        old.at("inner", "/app/app.py", 2).set(RUNTIME + 8, 0x030d_00f0);
        assert_eq!(old.lines(), None);
        assert_eq!(Memory::new().lines(), None, "it runs no Python");
    }

    #[test]
    fn a_list_that_leads_back_to_its_begin_ends() {
        let mut memory = Memory::new();
        let first = memory.at("inner", "/app/app.py", 2).next;
        let frame = u32::try_from(first).expect("it is small");
        memory.set(frame, frame);
        assert_eq!(memory.lines().expect("it is Python"), [format!("at inner (app.py:2), {FRAMES_MAX} times")]);
        // Frames of the interpreter are not counted.
        memory.set(frame + 12, u32::from(OWNED_BY_INTERPRETER) << 16);
        assert_eq!(memory.lines(), None);
    }

    #[test]
    fn a_text_without_an_end_is_cut() {
        let mut memory = Memory::new();
        memory.at("inner", &"x".repeat(10_000), 2);
        let lines = memory.lines().expect("it is Python");
        assert!(lines[0].len() < 600, "{}", lines[0].len());
    }

    proptest! {
        #[test]
        fn no_memory_makes_reading_fail_or_go_on_forever(changes in vec((any::<u16>(), any::<u32>(), 0..4_u8), 0..20)) {
            let mut memory = Memory::new();
            memory.at("inner", "/app/app.py", 22).at("größe", "/deps/0/flask/app.py", 7);
            memory.frame("app", "/app/app.py", 7, &[0x81, 0x11, 0xe8, 0x48, 0x03, 0xf1, 7, 0, 1, 2, 0xf8], 5, 1);
            let length = u32::try_from(memory.bytes.len()).expect("it is small");
            for (place, value, kind) in changes {
                // Mostly what may pass for an address or an offset, and mostly what is not zero already.
                let place = u32::from(place) % (length - 4);
                let place = if kind < 2 { RUNTIME + 8 * (place % 81) } else { place };
                memory.set(place, if kind % 2 == 0 { value % length } else { value });
            }
            let interpreter = memory.interpreter();
            if let Some(stack) = interpreter.stack() {
                prop_assert!(stack.lines().len() <= 13);
            }
        }
    }
}
