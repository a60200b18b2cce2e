//! What a rule in Lua can do.

use serde_json::json;

use super::*;

#[test]
fn a_rule_as_argo_cd_documents_them() {
    let rule = r#"
        hs = {}
        if obj.status ~= nil then
          if obj.status.conditions ~= nil then
            for i, condition in ipairs(obj.status.conditions) do
              if condition.type == "Ready" and condition.status == "False" then
                hs.status = "Degraded"
                hs.message = condition.message
                return hs
              end
              if condition.type == "Ready" and condition.status == "True" then
                hs.status = "Healthy"
                hs.message = condition.message
                return hs
              end
            end
          end
        end
        hs.status = "Progressing"
        hs.message = "Waiting for certificate"
        return hs"#;
    for (status, expected) in [
        (json!(null), "Progressing Waiting for certificate"),
        (
            json!({"conditions": [{"type": "Ready", "status": "False", "message": "no"}]}),
            "Degraded no",
        ),
        (
            json!({"conditions": [{"type": "A", "status": "False"},
                {"type": "Ready", "status": "True", "message": "yes"}]}),
            "Healthy yes",
        ),
    ] {
        assert_eq!(judge(KEY, rule, &status), expected);
    }
}

#[test]
fn what_a_script_may_return() {
    for (rule, expected) in [
        ("return {status = 'Suspended'}", "Suspended "),
        ("return {}", "-"),
        ("return nil", "-"),
        ("", "-"),
        ("return {status = ''}", "-"),
        (
            "return {status = 'healthy'}",
            "\"healthy\" is no health status",
        ),
        ("return 'Healthy'", "it returns a string, not a table"),
        (
            "return {status = true}",
            "the status it returns is a boolean",
        ),
        (
            "return {status = 'Healthy', message = obj.spec.replicas}",
            "the message it returns is a number",
        ),
    ] {
        if rule.is_empty() {
            assert!(read(&[(KEY, rule)]).0.is_empty(), "a blank rule is none");
            continue;
        }
        let said = lua(rule);
        assert!(said.contains(expected), "{rule}: {said}");
    }
}

#[test]
fn errors_name_key_line_and_cause() {
    assert_eq!(
        lua("local a = 1\nreturn {status = obj.nothing.here}"),
        "health rule of argocd-cm, key resource.customizations.health.example.org_Thing, line 2: \
         attempt to index field 'nothing' (a nil value)"
    );
    let (rules, warnings) = read(&[(KEY, "a = 1\nif a then")]);
    assert_eq!(
        warnings,
        [
            "argocd-cm key resource.customizations.health.example.org_Thing: line 2: \
          'end' expected near <eof>"
        ]
    );
    // A rule that does not compile makes objects Unknown; it is not as if there were none.
    let error = rules.health(&thing(&json!({}))).expect("a rule");
    assert_eq!(error.expect_err("no verdict").line, Some(2));
    assert!(
        lua("error({})").contains("key resource"),
        "{}",
        lua("error({})")
    );
    assert!(lua("error('told', 0)").ends_with(": told"));
    let Customized::Health(health) = rules.judge(&thing(&json!({}))) else {
        panic!("a rule that does not compile is a rule");
    };
    assert_eq!(health.status, HealthStatusCode::Unknown);
    assert!(
        health.message.contains("line 2: 'end' expected"),
        "{health:?}"
    );
}

#[test]
fn numbers_arrive_as_lua_numbers() {
    assert_eq!(lua_value("obj.spec.replicas, 7 / 2, 10 / 5"), "3 3.5 2");
    assert_eq!(
        lua_value("type(obj.spec.replicas), obj.spec.none"),
        "number nil"
    );
}

#[test]
fn text_functions() {
    for (expression, expected) in [
        ("string.find('hello world', 'o w')", "5 7"),
        ("string.find('hello', 'l+')", "3 4"),
        ("string.find('hello', '(l)(l)')", "3 4 l l"),
        ("string.find('hello', 'xyz')", "nil"),
        ("string.find('a.b', '.', 1, true)", "2 2"),
        ("string.find('hello', 'l', -2)", "4 4"),
        ("string.find('hello', '', 10)", "nil"),
        ("string.find('hello', '', 6)", "6 5"),
        ("('v1.2.3'):match('^v(%d+)%.(%d+)')", "1 2"),
        ("('key = value'):match('(%w+)%s*=%s*(%w+)')", "key value"),
        ("('  trim '):match('^%s*(.-)%s*$')", "trim"),
        ("('x(a(b)c)y'):match('%b()')", "(a(b)c)"),
        ("('THE (quick) fox'):find('%f[%a]%a+%f[%A]')", "1 3"),
        ("('hello'):match('()ll()')", "3 5"),
        ("('abcabc'):match('(abc)%1')", "abc"),
        ("('2026-11-21'):match('[0-9]+%-([^-]+)')", "11"),
        ("('a,b,,c'):gsub(',', ';')", "a;b;;c 3"),
        ("('hello world'):gsub('o', '0', 1)", "hell0 world 1"),
        ("('abc'):gsub('%w', '%0%0')", "aabbcc 3"),
        (
            "('hello world'):gsub('(%w+) (%w+)', '%2 %1')",
            "world hello 1",
        ),
        ("('$name!'):gsub('%$(%w+)', {name = 'x'})", "x! 1"),
        (
            "('abc'):gsub('%w', function(c) if c == 'b' then return '-' end end)",
            "a-c 3",
        ),
        ("('abc'):gsub('', '-')", "-a-b-c- 4"),
        ("('abc'):gsub('^a', 'x')", "xbc 1"),
        ("('50'):gsub('0', '%%')", "5% 1"),
        ("('ab'):rep(3, '-'), (''):rep(1e9)", "ab-ab-ab "),
        ("('%5.1f|%s|%d'):format(1.25, 'x', 3)", "  1.2|x|3"),
        (
            "('Ab'):upper(), ('Ab'):lower(), #'abc', ('abc'):sub(-2)",
            "AB ab 3 bc",
        ),
        (
            "tostring(1e15), tostring(2^53), 1e100",
            "1e+15 9.007199254741e+15 1e+100",
        ),
        (
            "(function() local t = {} for k, v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do \
             t[#t + 1] = k .. v end return table.concat(t, '+') end)()",
            "a1+b2",
        ),
        (
            "(function() local n = 0 for w in ('one two'):gmatch('%a+') do n = n + 1 end return n end)()",
            "2",
        ),
        (
            "(function() local n = 0 for w in ('ab'):gmatch('') do n = n + 1 end return n end)()",
            "3",
        ),
    ] {
        assert_eq!(lua_value(expression), expected, "{expression}");
    }
}

#[test]
fn table_time_and_error_functions() {
    for (expression, expected) in [
        (
            "(function() local t = {3, 1, 2} table.sort(t) table.insert(t, 4) table.insert(t, 1, 0) \
             return table.concat(t, ','), table.remove(t), table.remove(t, 1), #t end)()",
            "0,1,2,3,4 4 0 3",
        ),
        ("unpack({1, 2}), table.getn({1, 2, 3})", "1 3"),
        ("pcall(error, 'x')", "false x"),
        ("pcall(function() return 1, 2 end)", "true 1 2"),
        (
            "xpcall(function() error('x', 0) end, function(e) return e .. '!' end)",
            "false x!",
        ),
        ("math.floor(3.7), math.max(1, 5), math.huge > 1", "3 5 true"),
        (
            "os.time({year = 2026, month = 11, day = 21, hour = 12})",
            "1795262400",
        ),
        ("os.date('!%Y-%m-%dT%H:%M:%SZ', 0)", "1970-01-01T00:00:00Z"),
        ("os.date('!*t', 86400).day, os.time() > 1.7e9", "2 true"),
        (
            "(function() for i = 1, 3 do if i == 2 then goto done end end ::done:: return 'goto' end)()",
            "goto",
        ),
    ] {
        assert_eq!(lua_value(expression), expected, "{expression}");
    }
}
