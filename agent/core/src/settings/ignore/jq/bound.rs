//! Which part of jq an expression may use, and where its steps are counted.
//!
//! Decides on the parsed expression alone. Allowed is what picks fields: paths, conditions,
//! comparisons, variables and filters that end. Definitions, loops, assignments and arithmetic are
//! not: with them an expression could run for ever or fill the memory, and no path needs them.

use jaq_core::box_iter::box_once;
use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::native::{Fun, v};
use jaq_core::path::{Opt, Part, Path};
use jaq_core::{Native, ValR};
use jaq_json::Val;
use regex_automata::util::syntax;
use regex_automata::{Input, meta};

use super::{Counted, spend};

/// Name of the filter that counts.
pub(super) const SPEND: &str = "spend";
/// Largest compiled regular expression, in bytes.
const LARGEST_REGEX: usize = 1 << 20;

/// Filters an expression may call, with how many arguments.
const CALLABLE: [(&str, &[usize]); 51] = [
    ("add", &[0]),
    ("all", &[0, 1, 2]),
    ("any", &[0, 1, 2]),
    ("arrays", &[0]),
    ("ascii_downcase", &[0]),
    ("ascii_upcase", &[0]),
    ("booleans", &[0]),
    ("contains", &[1]),
    ("empty", &[0]),
    ("endswith", &[1]),
    ("false", &[0]),
    ("first", &[0, 1]),
    ("flatten", &[0]),
    ("from_entries", &[0]),
    ("getpath", &[1]),
    ("has", &[1]),
    ("in", &[1]),
    ("index", &[1]),
    ("inside", &[1]),
    ("isempty", &[1]),
    ("iterables", &[0]),
    ("keys", &[0]),
    ("keys_unsorted", &[0]),
    ("last", &[0, 1]),
    ("length", &[0]),
    ("ltrimstr", &[1]),
    ("map", &[1]),
    ("max", &[0]),
    ("min", &[0]),
    ("not", &[0]),
    ("nth", &[1]),
    ("null", &[0]),
    ("nulls", &[0]),
    ("numbers", &[0]),
    ("objects", &[0]),
    ("recurse", &[0]),
    ("reverse", &[0]),
    ("rindex", &[1]),
    ("rtrimstr", &[1]),
    ("scalars", &[0]),
    ("select", &[1]),
    ("sort", &[0]),
    ("trim", &[0]),
    ("startswith", &[1]),
    ("strings", &[0]),
    ("test", &[1, 2]),
    ("to_entries", &[0]),
    ("tonumber", &[0]),
    ("true", &[0]),
    ("type", &[0]),
    ("unique", &[0]),
];
/// More of them.
const CALLABLE_TOO: [(&str, &[usize]); 3] =
    [("values", &[0]), ("tojson", &[0]), ("tostring", &[0])];

/// What is not allowed, and the part of the expression that shows where.
type Refusal<'s> = (String, &'s str);

/// Whether an expression may call this filter.
pub(super) fn is_callable(name: &str, arguments: usize) -> bool {
    CALLABLE
        .iter()
        .chain(&CALLABLE_TOO)
        .any(|(known, counts)| *known == name && counts.contains(&arguments))
}

/// The expression with its steps counted, if it keeps to what is allowed.
pub(super) fn allowed(term: Term<&str>) -> Result<Term<&str>, Refusal<'_>> {
    Rewriter { strict: true }.term(term)
}

/// A definition of the standard library with its steps counted.
pub(super) fn counted(term: Term<&'static str>) -> Term<&'static str> {
    Rewriter { strict: false }.term(term).unwrap_or_default()
}

/// The filters made here: the one that counts, and `test`.
pub(super) fn natives() -> [Fun<Counted>; 3] {
    let short = Native::<Counted>::new(|mut cv| {
        let pattern = cv.0.pop_var();
        box_once(matches(&cv.1, &pattern, "").map_err(Into::into))
    });
    let long = Native::<Counted>::new(|mut cv| {
        let flags = cv.0.pop_var();
        let pattern = cv.0.pop_var();
        box_once(match text(&flags) {
            Some(flags) => matches(&cv.1, &pattern, flags).map_err(Into::into),
            None => Err(jaq_core::Error::typ(flags, "string").into()),
        })
    });
    [spend(), ("test", v(1), short), ("test", v(2), long)]
}

fn text(value: &Val) -> Option<&str> {
    match value {
        Val::TStr(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// `test(pattern; flags)`. Source: <https://jqlang.org/manual/#test>.
fn matches(input: &Val, pattern: &Val, flags: &str) -> ValR<Val> {
    let (Some(input), Some(pattern)) = (text(input), text(pattern)) else {
        return Err(jaq_core::Error::typ(input.clone(), "string"));
    };
    let syntax = syntax::Config::new()
        .case_insensitive(flags.contains('i'))
        .ignore_whitespace(flags.contains('x'))
        .dot_matches_new_line(flags.contains('s') || flags.contains('p'));
    let regex = meta::Regex::builder()
        .syntax(syntax)
        .configure(meta::Config::new().nfa_size_limit(Some(LARGEST_REGEX)))
        .build(pattern)
        .map_err(jaq_core::Error::str)?;
    Ok(Val::from(regex.is_match(Input::new(input))))
}

struct Rewriter {
    /// Refuse what is not allowed; the standard library may use more.
    strict: bool,
}

impl Rewriter {
    fn term<'s>(&self, term: Term<&'s str>) -> Result<Term<&'s str>, Refusal<'s>> {
        Ok(match term {
            Term::Id | Term::Num(_) | Term::Var(_) | Term::Break(_) | Term::Arr(None) => term,
            Term::Recurse => spent(term),
            Term::Str(format, parts) => {
                if let Some(format) = format {
                    self.refuse("a format such as @json", format)?;
                }
                let parts = parts
                    .into_iter()
                    .map(|part| {
                        Ok(match part {
                            StrPart::Term(term) => StrPart::Term(self.term(term)?),
                            part => part,
                        })
                    })
                    .collect::<Result<_, _>>()?;
                spent(Term::Str(format, parts))
            }
            Term::Arr(Some(inner)) => spent(Term::Arr(Some(self.boxed(*inner)?))),
            Term::Obj(entries) => {
                let entries = entries.into_iter().map(|(key, value)| {
                    Ok((
                        self.term(key)?,
                        value.map(|value| self.term(value)).transpose()?,
                    ))
                });
                spent(Term::Obj(entries.collect::<Result<_, _>>()?))
            }
            Term::Neg(inner) => Term::Neg(self.boxed(*inner)?),
            Term::BinOp(left, op, right) => self.operation(*left, op, *right)?,
            Term::Label(name, inner) => {
                self.refuse("label", name)?;
                Term::Label(name, self.boxed(*inner)?)
            }
            Term::Fold(name, source, pattern, steps) => {
                self.refuse(name, name)?;
                let steps = steps.into_iter().map(|step| self.counted_step(step));
                let steps = steps.collect::<Result<_, _>>()?;
                Term::Fold(name, self.boxed(*source)?, self.pattern(pattern)?, steps)
            }
            Term::TryCatch(inner, caught) => {
                let caught = caught.map(|caught| self.boxed(*caught)).transpose()?;
                Term::TryCatch(self.boxed(*inner)?, caught)
            }
            Term::IfThenElse(branches, otherwise) => {
                let branches = branches
                    .into_iter()
                    .map(|(condition, then)| Ok((self.term(condition)?, self.term(then)?)))
                    .collect::<Result<_, _>>()?;
                let otherwise = otherwise
                    .map(|otherwise| self.boxed(*otherwise))
                    .transpose()?;
                Term::IfThenElse(branches, otherwise)
            }
            Term::Def(mut defs, inner) => {
                let name = defs.first().map_or("", |def| def.name);
                self.refuse("a definition", name)?;
                for def in &mut defs {
                    def.body = spent_first(self.term(std::mem::take(&mut def.body))?);
                }
                Term::Def(defs, self.boxed(*inner)?)
            }
            Term::Call(name, arguments) => {
                if self.strict && !is_callable(name, arguments.len()) {
                    let what = format!(
                        "filter {name}/{} cannot be used to name fields",
                        arguments.len()
                    );
                    return Err((what, name));
                }
                let arguments = arguments.into_iter().map(|argument| self.term(argument));
                let call = Term::Call(name, arguments.collect::<Result<_, _>>()?);
                // Arguments of a definition are calls too, and counted where they are made.
                if self.strict { spent(call) } else { call }
            }
            Term::Path(base, Path(parts)) => {
                let parts = parts
                    .into_iter()
                    .map(|(part, optional)| self.part(part, optional))
                    .collect::<Result<_, _>>()?;
                spent(Term::Path(self.boxed(*base)?, Path(parts)))
            }
        })
    }

    fn operation<'s>(
        &self,
        left: Term<&'s str>,
        op: BinaryOp<&'s str>,
        right: Term<&'s str>,
    ) -> Result<Term<&'s str>, Refusal<'s>> {
        let forbidden = match &op {
            BinaryOp::Math(_) => Some("arithmetic"),
            BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt => {
                Some("an assignment")
            }
            _ => None,
        };
        if let Some(what) = forbidden {
            self.refuse(what, "")?;
        }
        let counts = matches!(op, BinaryOp::Math(_));
        let op = match op {
            BinaryOp::Pipe(Some(pattern)) => BinaryOp::Pipe(Some(self.pattern(pattern)?)),
            op => op,
        };
        let result = Term::BinOp(Box::new(self.term(left)?), op, Box::new(self.term(right)?));
        Ok(if counts { spent(result) } else { result })
    }

    fn pattern<'s>(&self, pattern: Pattern<&'s str>) -> Result<Pattern<&'s str>, Refusal<'s>> {
        Ok(match pattern {
            Pattern::Var(name) => Pattern::Var(name),
            Pattern::Arr(items) => {
                let items = items.into_iter().map(|item| self.pattern(item));
                Pattern::Arr(items.collect::<Result<_, _>>()?)
            }
            Pattern::Obj(entries) => {
                let entries = entries
                    .into_iter()
                    .map(|(key, value)| Ok((self.term(key)?, self.pattern(value)?)));
                Pattern::Obj(entries.collect::<Result<_, _>>()?)
            }
        })
    }

    fn part<'s>(
        &self,
        part: Part<Term<&'s str>>,
        optional: Opt,
    ) -> Result<(Part<Term<&'s str>>, Opt), Refusal<'s>> {
        let part = match part {
            Part::Index(index) => Part::Index(self.term(index)?),
            Part::Range(None, None) => Part::Range(None, None),
            Part::Range(from, to) => {
                self.refuse("a slice such as .[1:]", "")?;
                let from = from.map(|from| self.term(from)).transpose()?;
                Part::Range(from, to.map(|to| self.term(to)).transpose()?)
            }
        };
        Ok((part, optional))
    }

    fn counted_step<'s>(&self, step: Term<&'s str>) -> Result<Term<&'s str>, Refusal<'s>> {
        Ok(spent(self.term(step)?))
    }

    fn boxed<'s>(&self, term: Term<&'s str>) -> Result<Box<Term<&'s str>>, Refusal<'s>> {
        self.term(term).map(Box::new)
    }

    fn refuse<'s>(&self, what: &str, at: &'s str) -> Result<(), Refusal<'s>> {
        if self.strict {
            Err((format!("{what} cannot be used to name fields"), at))
        } else {
            Ok(())
        }
    }
}

/// `term | spend`.
fn spent(term: Term<&str>) -> Term<&str> {
    let spend = Term::Call(SPEND, Vec::new());
    Term::BinOp(Box::new(term), BinaryOp::Pipe(None), Box::new(spend))
}

/// `spend | term`.
fn spent_first(term: Term<&str>) -> Term<&str> {
    let spend = Term::Call(SPEND, Vec::new());
    Term::BinOp(Box::new(spend), BinaryOp::Pipe(None), Box::new(term))
}
