//! Rules in CEL: an expression over `object` (also `self`, and its fields by their own names).
//!
//! An expression cannot loop by itself; nested `map` and `filter` can still multiply. Each of them
//! is charged, before it starts, for what it is going to walk. Depth is bounded when compiling, so
//! that no expression uses up the stack.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use cel::{
    Context, Env, ExecutionError, Value as CelValue,
    common::ast::{CallExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue},
};
use serde_json::Value;

use crate::{Answer, Cause};

/// Longest expression, in bytes.
const MAX_BYTES: usize = 16 * 1024;
/// Deepest nesting of the parts of an expression.
const DEEPEST: usize = 100;
/// Values that all comprehensions of one run may walk and copy together: some 100 MB at worst.
const WALKED: u64 = 1_000_000;
/// Stack of the thread that reads an expression before its depth is known.
const STACK: usize = 64 * 1024 * 1024;
/// The function that charges for a comprehension; no name a user could write.
const CHARGE: &str = "@charge";

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct Expression {
    root: IdedExpr,
    /// Top-level fields of the object it names.
    fields: Vec<&'static str>,
}

/// Fields of an object that an expression may name without `object.`.
const FIELDS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];

/// Reads an expression.
pub(crate) fn compile(source: &str) -> Result<Expression, Cause> {
    if source.len() > MAX_BYTES {
        return Err(Cause::new(
            None,
            format!("it is longer than {MAX_BYTES} bytes"),
        ));
    }
    let text = source.to_owned();
    // A thread of its own, because only what has been read shows how deep it is.
    let reader = std::thread::Builder::new()
        .name("cel".into())
        .stack_size(STACK)
        .spawn(move || read(&text));
    match reader.map(std::thread::JoinHandle::join) {
        Ok(Ok(expression)) => expression,
        Ok(Err(_)) => Err(Cause::new(None, "it cannot be read")),
        Err(error) => Err(Cause::new(None, format!("no thread to read it: {error}"))),
    }
}

fn read(source: &str) -> Result<Expression, Cause> {
    let program = Env::stdlib().compile(source).map_err(|errors| {
        let first = errors.errors.first();
        let line = first.and_then(|error| usize::try_from(error.pos.0).ok());
        let problem = first.map_or_else(|| errors.to_string(), |error| error.msg.clone());
        Cause::new(line, problem)
    })?;
    let references = program.references();
    let fields = FIELDS
        .into_iter()
        .filter(|name| references.has_variable(name))
        .collect();
    let mut root = program.expression().clone();
    charge(&mut root, 0)?;
    Ok(Expression { root, fields })
}

/// Puts a charge on the range of every comprehension, and refuses what is too deep.
fn charge(node: &mut IdedExpr, depth: usize) -> Result<(), Cause> {
    if depth > DEEPEST {
        return Err(Cause::new(
            None,
            format!("it is nested more than {DEEPEST} levels deep"),
        ));
    }
    let mut below = |part: &mut IdedExpr| charge(part, depth + 1);
    match &mut node.expr {
        Expr::Call(call) => {
            call.target.as_deref_mut().map_or(Ok(()), &mut below)?;
            call.args.iter_mut().try_for_each(below)
        }
        Expr::Comprehension(loop_) => {
            below(&mut loop_.iter_range)?;
            below(&mut loop_.accu_init)?;
            below(&mut loop_.loop_cond)?;
            below(&mut loop_.loop_step)?;
            below(&mut loop_.result)?;
            let count = i64::try_from(uses(&loop_.loop_step)).unwrap_or(i64::MAX);
            let range = std::mem::take(&mut loop_.iter_range);
            let factor = IdedExpr {
                id: range.id,
                expr: Expr::Literal(LiteralValue::Int(count.into())),
            };
            loop_.iter_range = IdedExpr {
                id: range.id,
                expr: Expr::Call(CallExpr {
                    func_name: CHARGE.into(),
                    target: None,
                    args: vec![range, factor],
                }),
            };
            Ok(())
        }
        Expr::List(list) => list.elements.iter_mut().try_for_each(below),
        Expr::Map(map) => entries(&mut map.entries, below),
        Expr::Struct(literal) => entries(&mut literal.entries, below),
        Expr::Select(select) => below(&mut select.operand),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Ok(()),
    }
}

/// How many values one round of a loop may copy: every name stands for one.
fn uses(step: &IdedExpr) -> usize {
    let of_entries = |entries: &[IdedEntryExpr]| -> usize {
        entries
            .iter()
            .map(|entry| match &entry.expr {
                EntryExpr::StructField(field) => uses(&field.value),
                EntryExpr::MapEntry(entry) => uses(&entry.key) + uses(&entry.value),
            })
            .sum()
    };
    match &step.expr {
        Expr::Ident(_) => 1,
        Expr::Call(call) => {
            call.target.as_deref().map_or(0, uses) + call.args.iter().map(uses).sum::<usize>()
        }
        Expr::Select(select) => uses(&select.operand),
        Expr::List(list) => list.elements.iter().map(uses).sum(),
        Expr::Map(map) => of_entries(&map.entries),
        Expr::Struct(literal) => of_entries(&literal.entries),
        Expr::Comprehension(loop_) => uses(&loop_.iter_range) + uses(&loop_.loop_step),
        Expr::Literal(_) | Expr::Unspecified => 0,
    }
}

fn entries(
    entries: &mut [IdedEntryExpr],
    mut below: impl FnMut(&mut IdedExpr) -> Result<(), Cause>,
) -> Result<(), Cause> {
    entries
        .iter_mut()
        .try_for_each(|entry| match &mut entry.expr {
            EntryExpr::StructField(field) => below(&mut field.value),
            EntryExpr::MapEntry(entry) => {
                below(&mut entry.key)?;
                below(&mut entry.value)
            }
        })
}

impl Expression {
    /// Judges an object: a map with status and message, or the status alone.
    pub(crate) fn run(&self, object: &Value) -> Result<Answer, Cause> {
        let left = Arc::new(AtomicU64::new(WALKED));
        let mut context = Context::default();
        let value = to_cel(object);
        for name in &self.fields {
            context.add_variable_from_value(*name, to_cel(&object[*name]));
        }
        let counter = Arc::clone(&left);
        let whole = weight(&value);
        context.add_variable_from_value("self", value.clone());
        context.add_variable_from_value("object", value);
        context
            .add_function(CHARGE, move |range: CelValue, uses: i64| {
                let rounds = match &range {
                    CelValue::List(items) => items.len() as u64,
                    CelValue::Map(map) => map.map.len() as u64,
                    _ => 0,
                };
                let each = whole.saturating_mul(uses.unsigned_abs());
                let elements = weight(&range).saturating_mul(uses.unsigned_abs());
                let cost = rounds.saturating_mul(each).saturating_add(elements);
                counter
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                        left.checked_sub(cost.saturating_add(1))
                    })
                    .map(|_| range)
                    .map_err(|_| ExecutionError::function_error("limit", "reached"))
            })
            .map_err(|error| Cause::new(None, error.to_string()))?;
        let result = CelValue::resolve(&self.root, &context);
        answer(result.map_err(|error| explain(&error))?)
    }
}

fn explain(error: &ExecutionError) -> Cause {
    match error {
        ExecutionError::FunctionError { function, .. } if function == "limit" => Cause::limit(
            None,
            format!("its loops walk over more than {WALKED} values: are they nested?"),
        ),
        ExecutionError::NoSuchKey(key) => Cause::new(
            None,
            format!("there is no field {key}; ask has(…) before using a field that may be absent"),
        ),
        // Values themselves are not quoted: they may be secret.
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => Cause::new(
            None,
            format!(
                "{operator} is not defined for {} and {}",
                left.type_of(),
                right.type_of()
            ),
        ),
        ExecutionError::ValuesNotComparable(left, right) => Cause::new(
            None,
            format!(
                "{} cannot be compared to {}",
                left.type_of(),
                right.type_of()
            ),
        ),
        ExecutionError::UnsupportedIndex(_, value) => {
            Cause::new(None, format!("{} has no such elements", value.type_of()))
        }
        ExecutionError::UnsupportedTargetType { target }
        | ExecutionError::NotSupportedAsMethod { target, .. } => Cause::new(
            None,
            format!("the function is not defined for {}", target.type_of()),
        ),
        ExecutionError::UnsupportedKeyType(key) | ExecutionError::DuplicateKey(key) => Cause::new(
            None,
            format!(
                "a map cannot be made: a key, {}, does not fit",
                key.type_of()
            ),
        ),
        ExecutionError::Overflow(operator, ..) => {
            Cause::new(None, format!("the result of {operator} is out of range"))
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            Cause::new(None, "it divides by zero")
        }
        ExecutionError::IndexOutOfBounds(_) => {
            Cause::new(None, "a list has fewer elements than it asks for")
        }
        other => Cause::new(None, other.to_string()),
    }
}

/// How many values there are in a value; long texts count for more.
fn weight(value: &CelValue) -> u64 {
    1 + match value {
        CelValue::List(items) => items.iter().map(weight).sum(),
        CelValue::Map(map) => map.map.values().map(weight).sum(),
        CelValue::String(text) => text.len() as u64 / 64,
        _ => 0,
    }
}

fn to_cel(value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => integer.into(),
            None => number.as_f64().unwrap_or_default().into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(to_cel).collect::<Vec<_>>().into(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| (name.clone(), to_cel(field)))
            .collect::<std::collections::HashMap<_, _>>()
            .into(),
    }
}

fn answer(value: CelValue) -> Result<Answer, Cause> {
    match value {
        CelValue::String(status) => Ok(Answer {
            status: status.to_string(),
            message: String::new(),
        }),
        CelValue::Null => Ok(Answer::default()),
        CelValue::Map(map) => {
            let field = |name: &str| match map.get(&cel::objects::KeyRef::String(name)) {
                None | Some(CelValue::Null) => Ok(String::new()),
                Some(CelValue::String(text)) => Ok(text.to_string()),
                Some(other) => Err(Cause::new(
                    None,
                    format!("the {name} it gives is a {}, not text", other.type_of()),
                )),
            };
            Ok(Answer {
                status: field("status")?,
                message: field("message")?,
            })
        }
        other => Err(Cause::new(
            None,
            format!(
                "it gives a {}, neither a status nor a map with status and message",
                other.type_of()
            ),
        )),
    }
}
