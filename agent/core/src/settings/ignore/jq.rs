//! jq expressions that name fields: compiled once, run with a bound on what they may cost.
//!
//! Only asks an expression for paths (`path(…)`), as `del(…)` would. What could run for ever or
//! fill the memory is refused before it runs, and every step of the rest is counted.
//! Source: <https://jqlang.org/manual/#path-expressions>.

mod bound;

use std::cell::Cell;
use std::fmt;

use jaq_core::box_iter::box_once;
use jaq_core::data::HasLut;
use jaq_core::load::parse::Def;
use jaq_core::load::{Arena, File, Lexer, Loader, Parser};
use jaq_core::native::Fun;
use jaq_core::{Compiler, Ctx, DataT, Error, Exn, Filter, Lut, Native, Vars, load, unwrap_valr};
use jaq_json::{Num, Val};
use serde::Deserialize;
use serde_json::Value;

use super::pointer::Step;

/// Steps an expression may take on one object; the largest objects need some ten thousand.
const FUEL: u64 = 500_000;
/// Most fields an expression may name in one object.
const MOST_PATHS: usize = 20_000;
/// Longest expression, in characters.
const LONGEST: usize = 1000;
/// Deepest nesting of brackets.
const DEEPEST: usize = 32;

/// Filters of the standard library that are left out: they need more than is there (clocks, logs,
/// formats, mathematics), or are made here.
const LEFT_OUT: [&str; 33] = [
    "stderr",
    "debug",
    "halt",
    "halt_error",
    "logb",
    "significand",
    "pow10",
    "drem",
    "nexttoward",
    "scalb",
    "gamma",
    "test",
    "scan_",
    "match",
    "capture",
    "split",
    "splits",
    "sub",
    "gsub",
    "scan",
    "capture_of_match",
    "todate",
    "fromdate",
    "@sh",
    "@html",
    "@htmld",
    "@uri",
    "@urid",
    "@base64",
    "@base64d",
    "@text",
    "pick",
    "abs",
];

/// An expression, ready to be asked.
pub(super) struct Expression {
    /// As it was written.
    text: String,
    filter: Filter<Counted>,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

/// The data of a run: the program, and the steps that are left.
struct Counted;

#[derive(Clone)]
struct Run<'a> {
    lut: &'a Lut<Counted>,
    fuel: &'a Cell<u64>,
}

impl DataT for Counted {
    type V<'a> = Val;
    type Data<'a> = Run<'a>;
}

impl<'a> HasLut<'a, Counted> for Run<'a> {
    fn lut(&self) -> &'a Lut<Counted> {
        self.lut
    }
}

impl Expression {
    /// Compiles an expression; the error says what is wrong and where.
    pub(super) fn compile(text: &str) -> Result<Self, String> {
        check_size(text)?;
        let tokens = Lexer::new(text).lex().map_err(|errors| {
            errors.first().map_or_else(String::new, |(expected, rest)| {
                format!("{} expected at {}", expected.as_str(), place(text, rest))
            })
        })?;
        let term = Parser::new(&tokens).parse(Parser::term).map_err(|errors| {
            errors
                .first()
                .map_or_else(String::new, |(expected, found)| {
                    let found = found.map(load::lex::Token::as_str);
                    let place = found.map_or_else(|| "the end".into(), |found| place(text, found));
                    format!("{} expected at {place}", expected.as_str())
                })
        })?;
        let term = bound::allowed(term).map_err(|(what, at)| {
            if at.is_empty() {
                what
            } else {
                format!("{what} at {}", place(text, at))
            }
        })?;
        let wanted = Def {
            name: "ignored",
            args: vec![],
            body: term,
        };
        let standard = jaq_core::defs()
            .chain(jaq_std::defs().filter(|def| !LEFT_OUT.contains(&def.name)))
            .chain(jaq_json::defs())
            .map(|def| Def {
                body: bound::counted(def.body),
                ..def
            });
        let arena = Arena::default();
        let main = File {
            code: "path(ignored)",
            path: (),
        };
        let modules = Loader::new(standard.chain([wanted]))
            .load(&arena, main)
            .map_err(|_| "it cannot be read".to_owned())?;
        let funs = jaq_core::funs::<Counted>()
            .chain(jaq_std::base_funs())
            .chain(jaq_json::funs())
            .chain(bound::natives());
        let filter = Compiler::default()
            .with_funs(funs)
            .compile(modules)
            .map_err(|errors| {
                let undefined = errors.iter().flat_map(|(_, errors)| errors).next();
                undefined.map_or_else(
                    || "it cannot be compiled".to_owned(),
                    |(name, what)| format!("{} {name} is not defined", what.as_str()),
                )
            })?;
        Ok(Self {
            text: text.into(),
            filter,
        })
    }

    /// Paths in `object` the expression names, whether or not there is something; the error says
    /// why it was given up.
    pub(super) fn paths(&self, object: &Value) -> Result<Vec<Vec<Step>>, String> {
        let input = Val::deserialize(object).map_err(|error| error.to_string())?;
        let fuel = Cell::new(FUEL);
        let run = Run {
            lut: &self.filter.lut,
            fuel: &fuel,
        };
        let context = Ctx::<Counted>::new(run, Vars::new([]));
        let mut paths = Vec::new();
        for answer in self.filter.id.run((context, input)).map(unwrap_valr) {
            // As in Argo CD, an expression that fails on an object names nothing in it.
            let Ok(Val::Arr(path)) = answer else {
                paths.clear();
                break;
            };
            if let Some(path) = path.iter().map(step).collect() {
                paths.push(path);
            }
            if paths.len() > MOST_PATHS {
                fuel.set(0);
                break;
            }
        }
        if fuel.get() == 0 {
            return Err(format!(
                "jq expression {:?} takes more than {FUEL} steps on one object, or names more than {MOST_PATHS} \
                 fields of it; write a narrower one",
                self.text
            ));
        }
        Ok(paths)
    }
}

fn check_size(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("it is empty".into());
    }
    if text.chars().count() > LONGEST {
        return Err(format!("it is longer than {LONGEST} characters"));
    }
    let mut depth = 0_usize;
    for (index, character) in text.char_indices() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Err(format!(
                "brackets are nested deeper than {DEEPEST} at {}",
                place(text, &text[index..])
            ));
        }
    }
    Ok(())
}

/// Where a part of the expression begins, for people.
fn place(text: &str, part: &str) -> String {
    let start = load::span(text, part).start;
    let column = text.get(..start).map_or(0, |before| before.chars().count()) + 1;
    let word: String = part
        .chars()
        .take(12)
        .take_while(|c| !c.is_whitespace())
        .collect();
    if word.is_empty() {
        "the end".into()
    } else {
        format!("character {column} ({word})")
    }
}

fn step(key: &Val) -> Option<Step> {
    match key {
        Val::TStr(name) => Some(Step::Field(String::from_utf8(name.to_vec()).ok()?)),
        Val::Num(Num::Int(index)) => Some(Step::Index(*index as i64)),
        _ => None,
    }
}

/// The filter `spend`: passes its input on and counts it.
fn spend() -> Fun<Counted> {
    let native = Native::<Counted>::new(|cv| {
        let left = charge(cv.0.data().fuel, &cv.1);
        box_once(if left { Ok(cv.1) } else { Err(exhausted()) })
    })
    .with_paths(|cv| {
        let left = charge(cv.0.data().fuel, &cv.1.0);
        box_once(if left { Ok(cv.1) } else { Err(exhausted()) })
    });
    (bound::SPEND, [].into(), native)
}

fn exhausted<'a>() -> Exn<'a, Val> {
    Exn::from(Error::new(Val::Null))
}

/// Takes the weight of a value off what is left; `false` when there is not enough.
fn charge(fuel: &Cell<u64>, value: &Val) -> bool {
    let left = weigh(value, fuel.get().saturating_sub(1)).unwrap_or(0);
    fuel.set(left);
    left > 0
}

/// What is left of `fuel` after a walk through the value; `None` when it does not suffice.
fn weigh(value: &Val, fuel: u64) -> Option<u64> {
    let fuel = fuel.checked_sub(1)?;
    match value {
        Val::Null | Val::Bool(_) | Val::Num(_) => Some(fuel),
        Val::BStr(text) | Val::TStr(text) => fuel.checked_sub(text.len() as u64 / 64),
        Val::Arr(items) => items.iter().try_fold(fuel, |fuel, item| weigh(item, fuel)),
        Val::Obj(map) => map.values().try_fold(fuel, |fuel, item| weigh(item, fuel)),
    }
}

#[cfg(test)]
mod tests;
