//! What a rule cannot do: harm anybody, or never end.

use serde_json::json;

use super::*;

#[test]
fn nothing_reaches_outside() {
    for name in [
        "io",
        "debug",
        "package",
        "require",
        "module",
        "load",
        "loadstring",
        "loadfile",
        "dofile",
        "collectgarbage",
        "getfenv",
        "setfenv",
        "newproxy",
        "coroutine",
        "jit",
        "ffi",
        "os.execute",
        "os.getenv",
        "os.exit",
        "os.remove",
        "os.rename",
        "os.tmpname",
        "os.setlocale",
        "string.dump",
        "math.randomseed",
    ] {
        assert_eq!(lua_value(name), "nil", "{name}");
    }
    // Also not by way of the metatable of texts, or with the libraries asked for.
    assert_eq!(lua_value("getmetatable('').__index.dump"), "nil");
    let (rules, _) = read(&[
        (
            KEY,
            "return {status = 'Healthy', message = tostring(io) .. tostring(os.execute)}",
        ),
        (
            "resource.customizations.useOpenLibs.example.org_Thing",
            "true",
        ),
    ]);
    let said = rules
        .health(&thing(&json!({})))
        .expect("a rule")
        .expect("a verdict");
    assert_eq!(said.expect("a status").message, "nilnil");
    assert!(
        lua("return {status = 'Healthy', message = string.rep('x', 10)}").ends_with("xxxxxxxxxx")
    );
}

#[test]
fn bytecode_is_refused() {
    let (_, warnings) = read(&[(KEY, "\u{1b}Lua")]);
    assert_eq!(warnings.len(), 1);
}

#[test]
fn nothing_is_left_for_the_next_run() {
    let (rules, _) = read(&[
        (
            KEY,
            "seen = (seen or 0) + 1 string.seen = (string.seen or 0) + 1 \
             getmetatable('').__index.upper = nil \
             return {status = 'Healthy', message = seen .. ' ' .. string.seen}",
        ),
        (
            "resource.customizations.health.Other",
            "return {status = 'Healthy', message = ('x'):upper() .. tostring(seen)}",
        ),
    ]);
    let message = |object: &Value| {
        let health = rules.health(object).expect("a rule").expect("a verdict");
        health.expect("a status").message
    };
    for _ in 0..2 {
        assert_eq!(message(&thing(&json!({}))), "1 1");
    }
    assert_eq!(
        message(&json!({"apiVersion": "v1", "kind": "Other"})),
        "Xnil"
    );
}

#[test]
fn hostile_scripts_end_and_say_why() {
    for (rule, expected) in [
        (
            "local a = 1\nwhile true do end",
            "line 2: it did not end after 1000000 instructions",
        ),
        (
            "local function f() return f() end return f()",
            "did not end",
        ),
        (
            "local function f() return 1 + f() end return f()",
            "did not end",
        ),
        (
            "while true do pcall(function() while true do end end) end",
            "did not end",
        ),
        (
            "local function f() pcall(f) while true do end end f()",
            "did not end",
        ),
        (
            "xpcall(function() while true do end end, function() while true do end end)",
            "did not end",
        ),
        (
            "pcall(function() while true do end end) return {status = 'Healthy'}",
            "did not end",
        ),
        (
            "setmetatable({}, {__index = function(t, k) return t[k + 1] end})[1] = nil \
          return setmetatable({}, {__index = function(t, k) return t[k] end}).x",
            "",
        ),
        ("return {status = ('x'):rep(1e10)}", ""),
        (
            "local s = 'x' while true do s = s .. s end",
            "64 MiB of memory",
        ),
        ("local t = {} for i = 1, 1e9 do t[i] = {i} end", ""),
        (
            "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end",
            "",
        ),
        (
            "('a'):rep(10000):find('a*a*a*a*a*a*b')",
            "line 1: searching patterns took more than",
        ),
        (
            "pcall(function() ('a'):rep(10000):find('.-.-.-.-.-b') end) return {status = 'Healthy'}",
            "searching patterns",
        ),
        (
            "('a'):rep(1e6):find(('a'):rep(5e5) .. 'b', 1, true)",
            "searching patterns",
        ),
        (
            "('x'):rep(100000):gsub('x', function(c) return ('x'):rep(1000) end)",
            "",
        ),
        (
            "('x'):rep(300):find(('x?'):rep(300))",
            "pattern too complex",
        ),
        (
            "setmetatable({}, {__gc = function() while true do end end})",
            "__gc is not available",
        ),
        (
            "local m = {} setmetatable({}, m) m.__gc = function() while true do end end \
          return {status = 'Healthy'}",
            "Healthy",
        ),
        (
            "local m = {__len = function() return 2^31 - 1 end} local t = setmetatable({}, m) \
          table.remove(t, 1) table.insert(t, 1, 2) table.sort(t)",
            "metatable can not be sorted",
        ),
        (
            "for i = 1, 1e9 do string.format('%99d', i) end",
            "did not end",
        ),
        (
            "local function f(s) return s:gsub('.', f) end return f('x')",
            "",
        ),
        ("return table.concat({}, 'x', 1, 2^31 - 1)", "invalid value"),
        ("return unpack({}, 1, 1e8)", "too many results"),
        (
            "local t = {} for i = 1, 200000 do t[i] = i end for i = 1, 1e6 do table.insert(t, 1, i) end",
            "did not end",
        ),
        (
            "local t = setmetatable({}, {__tostring = function(t) return tostring(t) end}) tostring(t)",
            "stack overflow",
        ),
        (
            "local t = {} t.t = t return {status = t}",
            "the status it returns is a table",
        ),
    ] {
        let begin = Instant::now();
        let said = lua(rule);
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "{rule}: {:?}",
            begin.elapsed()
        );
        assert!(said.contains(expected), "{rule}: {said}");
        if !expected.contains("Healthy") {
            assert!(!said.starts_with("Healthy"), "{rule}: {said}");
        }
    }
}

#[test]
fn a_rule_that_always_loops_is_given_up() {
    let (rules, _) = read(&[
        (KEY, "while true do end"),
        (
            "resource.customizations.health.Other",
            "return {status = 'Healthy'}",
        ),
    ]);
    let error = |rules: &Customizations| {
        let outcome = rules.health(&thing(&json!({}))).expect("a rule");
        outcome.expect_err("no verdict").to_string()
    };
    for _ in 0..MAX_LIMITS_REACHED {
        assert!(error(&rules).contains("does it loop?"));
    }
    assert!(
        error(&rules).contains("not run again until argocd-cm changes"),
        "{}",
        error(&rules)
    );
    let other = rules
        .health(&json!({"apiVersion": "v1", "kind": "Other"}))
        .expect("a rule");
    assert!(other.is_ok());
}

#[test]
fn hostile_expressions_end_and_say_why() {
    for rule in [
        "object.status.",
        &"(".repeat(20_000),
        &"(".repeat(10_000),
        &"!".repeat(10_000),
        &format!("{}'Healthy'{}", "[".repeat(5_000), "]".repeat(5_000)),
        &format!("'a'{}", " + 'a'".repeat(2_000)),
        &format!("object{}", ".a".repeat(5_000)),
    ] {
        let (rules, warnings) = read(&[(CEL_KEY, rule)]);
        let shown: String = rule.chars().take(20).collect();
        assert_eq!(warnings.len(), 1, "{shown}");
        assert!(
            rules.health(&thing(&json!({}))).expect("a rule").is_err(),
            "{shown}"
        );
    }
    let many: Vec<_> = (0..2_000).collect();
    let rule =
        "status.l.map(a, status.l.map(b, status.l.map(c, a + b + c))).size() > 1 ? 'Healthy' : ''";
    let begin = Instant::now();
    let said = judge(CEL_KEY, rule, &json!({"l": many}));
    assert!(said.contains("its loops walk over more than"), "{said}");
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "{:?}",
        begin.elapsed()
    );
    // Every element takes the whole object: bounded all the same.
    let rule = "status.l.map(a, status.l.map(b, object)).size() > 1 ? 'Healthy' : ''";
    let said = judge(CEL_KEY, rule, &json!({"l": many}));
    assert!(said.contains("its loops walk over more than"), "{said}");
}
