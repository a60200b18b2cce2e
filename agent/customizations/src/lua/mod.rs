//! Rules in Lua, run so that they can do nothing but judge.
//!
//! Every run has a state of its own, so no run can leave anything behind for another. A rule sees
//! `obj` and the functions of `prelude.lua`: no files, processes, network, modules or code of its
//! own making. Instructions, steps of pattern searches and memory are counted, and a clock stands
//! behind the counts for what they do not see.

mod pattern;
mod time;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use mlua::{
    HookTriggers, Lua, LuaOptions, MultiValue, StdLib, Table, VmState, chunk::ChunkMode,
    debug::Debug,
};
use serde_json::Value;

use crate::{Answer, Cause};

/// Instructions a rule may take: a thousand times what rules need, and a few milliseconds.
const INSTRUCTIONS: u64 = 1_000_000;
/// How often instructions are counted.
const EVERY: u32 = 100;
/// Steps that all pattern searches of one run may take together.
const SEARCH_STEPS: u64 = 1_000_000;
/// Memory of one run, with the object in it.
const MEMORY: usize = 64 * 1024 * 1024;
/// Longest time of a run: Argo CD's.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(1);

const PRELUDE: &str = include_str!("prelude.lua");
/// The name of the chunk, by which lines are found in messages.
const CHUNK: &str = "rule";

/// Whether a script can be compiled at all.
pub(crate) fn check(script: &str) -> Result<(), Cause> {
    let lua = state().map_err(|error| cause(&error))?;
    lua.load(script)
        .set_name(format!("={CHUNK}"))
        .set_mode(ChunkMode::Text)
        .into_function()
        .map(|_| ())
        .map_err(|error| cause(&error))
}

/// Runs a rule on an object.
pub(crate) fn run(script: &str, object: &Value) -> Result<Answer, Cause> {
    let limits = Rc::new(Limits::new());
    let outcome = state().and_then(|lua| evaluate(&lua, script, object, &limits));
    // A rule that caught the error of a limit has no verdict all the same.
    if let Some(cause) = limits.reached.take() {
        return Err(cause);
    }
    outcome.map_err(|error| cause(&error))?
}

fn state() -> mlua::Result<Lua> {
    let lua = Lua::new_with(
        StdLib::STRING | StdLib::TABLE | StdLib::MATH,
        LuaOptions::new().catch_rust_panics(false),
    )?;
    lua.set_memory_limit(MEMORY)?;
    Ok(lua)
}

/// What a run has left, and the limit it ran into.
struct Limits {
    instructions: Cell<u64>,
    search_steps: Cell<u64>,
    deadline: Instant,
    reached: RefCell<Option<Cause>>,
}

impl Limits {
    fn new() -> Self {
        Self {
            instructions: Cell::new(INSTRUCTIONS),
            search_steps: Cell::new(SEARCH_STEPS),
            deadline: Instant::now() + SCRIPT_TIMEOUT,
            reached: RefCell::new(None),
        }
    }

    /// Remembers the first limit that was reached.
    fn reach(&self, line: Option<usize>, problem: String) -> mlua::Error {
        let mut reached = self.reached.borrow_mut();
        let cause = reached.get_or_insert_with(|| Cause::limit(line, problem));
        mlua::Error::runtime(&cause.problem)
    }

    fn count(&self, line: Option<usize>) -> mlua::Result<VmState> {
        let left = self.instructions.get().saturating_sub(u64::from(EVERY));
        self.instructions.set(left);
        if left == 0 {
            return Err(self.reach(
                line,
                format!("it did not end after {INSTRUCTIONS} instructions: does it loop?"),
            ));
        }
        if Instant::now() > self.deadline {
            return Err(self.reach(line, format!("it did not end after {SCRIPT_TIMEOUT:?}")));
        }
        Ok(VmState::Continue)
    }
}

fn evaluate(
    lua: &Lua,
    script: &str,
    object: &Value,
    limits: &Rc<Limits>,
) -> mlua::Result<Result<Answer, Cause>> {
    let environment = environment(lua, limits)?;
    environment.raw_set("obj", to_lua(lua, object)?)?;
    let rule = lua
        .load(script)
        .set_name(format!("={CHUNK}"))
        .set_mode(ChunkMode::Text)
        .set_environment(environment)
        .into_function()?;
    let counted = Rc::clone(limits);
    lua.set_hook(
        HookTriggers::new().every_nth_instruction(EVERY),
        move |lua, debug| {
            // In a function of the prelude, the line of the rule that called it.
            let line = std::iter::once(line_of(debug))
                .chain((1..20).map(|level| lua.inspect_stack(level, line_of).flatten()))
                .flatten()
                .next();
            counted.count(line)
        },
    )?;
    let returned = rule.call::<mlua::Value>(());
    lua.remove_hook();
    returned.map(answer)
}

/// The line in the rule, if a function of the rule is what runs.
fn line_of(debug: &Debug) -> Option<usize> {
    let in_rule = debug
        .source()
        .short_src
        .is_some_and(|source| source == CHUNK);
    in_rule.then(|| debug.current_line()).flatten()
}

/// The globals of a rule.
fn environment(lua: &Lua, limits: &Rc<Limits>) -> mlua::Result<Table> {
    let searched = Rc::clone(limits);
    let find = lua.create_function(
        move |lua,
              (text, pattern, from, anchors, plain): (
            mlua::LuaString,
            mlua::LuaString,
            f64,
            bool,
            bool,
        )| {
            // Places beyond the end find nothing.
            if from > text.as_bytes().len() as f64 + 1.0 {
                return Ok(nothing());
            }
            search(
                lua,
                &searched,
                &text,
                &pattern,
                from as usize - 1,
                anchors,
                plain,
            )
        },
    )?;
    let asked = Rc::clone(limits);
    let spent = lua.create_function(move |_, ()| {
        Ok(asked.reached.borrow().is_some() || Instant::now() > asked.deadline)
    })?;
    lua.load(PRELUDE)
        .set_name("=prelude")
        .set_mode(ChunkMode::Text)
        .call((
            find,
            spent,
            lua.create_function(time::date)?,
            lua.create_function(time::time)?,
            lua.create_function(|_, ()| Ok(time::clock()))?,
        ))
}

fn nothing() -> MultiValue {
    MultiValue::from_vec(vec![mlua::Value::Nil])
}

/// From, to and captures as Lua counts them; nil when there is no match.
fn search(
    lua: &Lua,
    limits: &Limits,
    text: &mlua::LuaString,
    pattern: &mlua::LuaString,
    from: usize,
    anchors: bool,
    plain: bool,
) -> mlua::Result<MultiValue> {
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let mut steps = limits.search_steps.get();
    let found = if plain {
        pattern::find_plain(&text, &pattern, from, &mut steps)
    } else {
        pattern::find(&text, &pattern, from, anchors, &mut steps)
    };
    limits.search_steps.set(steps);
    let found = found.map_err(|error| match error {
        pattern::PatternError::OutOfSteps => limits.reach(
            (1..20).find_map(|level| lua.inspect_stack(level, line_of).flatten()),
            format!("searching patterns took more than {SEARCH_STEPS} steps"),
        ),
        error => mlua::Error::runtime(error),
    })?;
    let Some(found) = found else {
        return Ok(nothing());
    };
    let mut values = vec![
        mlua::Value::Number((found.start + 1) as f64),
        mlua::Value::Number(found.end as f64),
    ];
    for captured in found.captures {
        values.push(match captured {
            pattern::Captured::Text(start, end) => {
                mlua::Value::String(lua.create_string(&text[start..end])?)
            }
            pattern::Captured::Position(at) => mlua::Value::Number((at + 1) as f64),
        });
    }
    Ok(MultiValue::from_vec(values))
}

/// As Argo CD hands objects over: every number is a Lua number, null is nil.
fn to_lua(lua: &Lua, value: &Value) -> mlua::Result<mlua::Value> {
    Ok(match value {
        Value::Null => mlua::Value::Nil,
        Value::Bool(flag) => mlua::Value::Boolean(*flag),
        Value::Number(number) => mlua::Value::Number(number.as_f64().unwrap_or_default()),
        Value::String(text) => mlua::Value::String(lua.create_string(text)?),
        Value::Array(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for (index, item) in items.iter().enumerate() {
                table.raw_set(index + 1, to_lua(lua, item)?)?;
            }
            mlua::Value::Table(table)
        }
        Value::Object(fields) => {
            let table = lua.create_table_with_capacity(0, fields.len())?;
            for (name, field) in fields {
                table.raw_set(name.as_str(), to_lua(lua, field)?)?;
            }
            mlua::Value::Table(table)
        }
    })
}

/// Nothing and an empty table give no status (Argo CD, `ExecuteHealthLua`).
fn answer(returned: mlua::Value) -> Result<Answer, Cause> {
    match returned {
        mlua::Value::Nil => Ok(Answer::default()),
        mlua::Value::Table(table) => Ok(Answer {
            status: field(&table, "status")?,
            message: field(&table, "message")?,
        }),
        other => Err(Cause::new(
            None,
            format!(
                "it returns a {}, not a table with status and message",
                type_name(&other)
            ),
        )),
    }
}

fn field(table: &Table, name: &str) -> Result<String, Cause> {
    match table.raw_get::<mlua::Value>(name) {
        Ok(mlua::Value::Nil) => Ok(String::new()),
        Ok(mlua::Value::String(text)) => Ok(text.to_string_lossy()),
        Ok(other) => Err(Cause::new(
            None,
            format!("the {name} it returns is a {}, not text", type_name(&other)),
        )),
        Err(error) => Err(cause(&error)),
    }
}

/// Lua knows one type of numbers.
fn type_name(value: &mlua::Value) -> &'static str {
    match value {
        mlua::Value::Integer(_) => "number",
        other => other.type_name(),
    }
}

/// The line and the reason of an error, without Lua's traceback.
fn cause(error: &mlua::Error) -> Cause {
    let text = match error {
        mlua::Error::CallbackError { cause: inner, .. } => return cause(inner),
        mlua::Error::MemoryError(_) => {
            return Cause::limit(
                None,
                format!("it needs more than {} MiB of memory", MEMORY / 1024 / 1024),
            );
        }
        mlua::Error::RuntimeError(text) | mlua::Error::SyntaxError { message: text, .. } => {
            text.clone()
        }
        other => other.to_string(),
    };
    let text = text.split("\nstack traceback:").next().unwrap_or_default();
    let place = text
        .strip_prefix(CHUNK)
        .and_then(|rest| rest.strip_prefix(':'))
        .and_then(|rest| rest.split_once(": "))
        .and_then(|(line, problem)| Some((line.parse().ok()?, problem)));
    match place {
        Some((line, problem)) => Cause::new(Some(line), problem),
        None => Cause::new(None, text),
    }
}
