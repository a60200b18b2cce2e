//! The programs as users run them: help, usage errors, a cluster that is not there.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::path::PathBuf;

use assert_cmd::Command;

/// The program under a name: its own, or that of one command.
fn command(name: &str) -> Command {
    let program = assert_cmd::cargo::cargo_bin("kubectl-gitops");
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bin");
    std::fs::create_dir_all(&directory).unwrap();
    let link = directory.join(name);
    // Tests run side by side and make the same links.
    match std::os::unix::fs::symlink(&program, &link) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => panic!("{error}"),
        _ => {}
    }
    let mut command = Command::new(link);
    command
        .env_clear()
        .env("HOME", env!("CARGO_TARGET_TMPDIR"))
        .env("LANG", "C");
    command
}

/// Output as text: standard output, standard error, exit code.
fn run(name: &str, arguments: &[&str]) -> (String, String, i32) {
    let output = command(name).args(arguments).output().unwrap();
    (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
        output.status.code().unwrap(),
    )
}

/// A kubeconfig whose cluster refuses connections.
fn kubeconfig(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.kubeconfig"));
    let text = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "prod",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}},
                     {"name": "staging", "context": {"cluster": "c", "user": "u"}}]}"#;
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn help_names_the_command_as_it_is_typed() {
    let (help, _, code) = run("kubectl-gitops", &["status", "--help"]);
    assert_eq!(code, 0);
    assert!(help.contains("Usage: kubectl gitops status"), "{help}");
    assert!(
        help.contains("kubectl gitops status web --exit-code"),
        "{help}"
    );
    for flag in [
        "--namespace",
        "--context",
        "--cluster",
        "--user",
        "--kubeconfig",
        "--as ",
        "--as-group",
        "--request-timeout",
        "--selector",
        "--output",
        "--watch",
        "--no-headers",
        "--exit-code",
    ] {
        assert!(help.contains(flag), "{flag} is missing:\n{help}");
    }
    let (own, _, _) = run("kubectl-gitops-status", &["--help"]);
    assert!(own.contains("Usage: kubectl gitops status"), "{own}");
    assert!(own.contains("Show what is deployed"), "{own}");
    let (suite, _, _) = run("kubectl-gitops", &["--help"]);
    assert!(suite.contains("GitOps from the terminal"), "{suite}");
}

#[test]
fn wrong_usage_ends_with_2() {
    let table: [(&[&str], &str); 6] = [
        (&["statsu"], "did you mean status"),
        (
            &["status", "--output", "xml"],
            "possible values: table, wide, json, yaml, name, jsonpath=",
        ),
        (
            &["status", "--watch", "-o", "json"],
            "--watch shows tables only",
        ),
        (&["status", "web", "-l", "a=b"], "cannot be used with"),
        (&["status", "a/web", "-n", "b"], "different namespaces"),
        (&["status", "--request-timeout", "soon"], "10s, 2m, 0"),
    ];
    for (arguments, expected) in table {
        let (_, stderr, code) = run("kubectl-gitops", arguments);
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
}

#[test]
fn flags_work_before_and_after_the_command() {
    let path = kubeconfig("flags");
    let path = path.to_str().unwrap();
    for arguments in [
        ["--kubeconfig", path, "--context", "staging", "status"],
        ["status", "--kubeconfig", path, "--context", "staging"],
    ] {
        let (stdout, stderr, code) = run("kubectl-gitops", &arguments);
        assert_eq!((code, stdout.as_str()), (3, ""), "{stderr}");
        assert!(
            stderr.starts_with(
                "error: cannot reach the cluster of context \"staging\" at http://127.0.0.1:1: "
            ),
            "{stderr}"
        );
        assert!(
            stderr.contains("refused") && stderr.contains("hint: "),
            "{stderr}"
        );
    }
}

#[test]
fn contexts_that_do_not_exist_are_suggested() {
    let path = kubeconfig("suggestions");
    let (_, stderr, code) = run(
        "kubectl-gitops-status",
        &["--kubeconfig", path.to_str().unwrap(), "--context", "prd"],
    );
    assert_eq!(code, 2);
    assert!(stderr.contains("did you mean prod?"), "{stderr}");
}

#[test]
fn flags_that_need_others_say_so() {
    let path = kubeconfig("needs");
    let path = path.to_str().unwrap();
    for (flags, expected) in [
        (["--as-group", "admins"], "need --as USER"),
        (["--client-key", path], "--client-certificate"),
        (
            ["--certificate-authority", "/does/not/exist"],
            "/does/not/exist",
        ),
        (["--server", "http://"], "is no address"),
    ] {
        let mut arguments = vec!["status", "--kubeconfig", path];
        arguments.extend(flags);
        let (_, stderr, code) = run("kubectl-gitops", &arguments);
        assert_eq!(code, 2, "{flags:?}: {stderr}");
        assert!(stderr.contains(expected), "{flags:?}: {stderr}");
    }
}

#[test]
fn the_server_named_by_a_flag_is_asked() {
    let path = kubeconfig("server");
    let (_, stderr, code) = run(
        "kubectl-gitops",
        &[
            "status",
            "--kubeconfig",
            path.to_str().unwrap(),
            "-s",
            "http://127.0.0.1:2",
        ],
    );
    assert_eq!(code, 3);
    assert!(stderr.contains("http://127.0.0.1:2"), "{stderr}");
}

#[cfg(unix)]
#[test]
fn unknown_commands_are_extensions_on_the_path() {
    use std::os::unix::fs::PermissionsExt;
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("extensions");
    std::fs::create_dir_all(&directory).unwrap();
    let program = directory.join("kubectl-gitops-fancy_report");
    std::fs::write(&program, "#!/bin/sh\nprintf '%s ' \"$@\"; exit 7\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = command("kubectl-gitops")
        .env("PATH", &directory)
        .args(["-n", "a", "fancy-report", "web", "-o", "json"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert_eq!(said, "-n a web -o json ");
    let output = command("kubectl-gitops")
        .env("PATH", &directory)
        .arg("fancy-raport")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("did you mean fancy-report?"), "{said}");
}

#[test]
fn without_a_kubeconfig_it_says_so() {
    let (_, stderr, code) = run("kubectl-gitops", &["status"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("there is no kubeconfig"), "{stderr}");
    let (_, stderr, code) = run(
        "kubectl-gitops",
        &["status", "--kubeconfig", "/does/not/exist"],
    );
    assert_eq!(code, 2);
    assert!(stderr.contains("/does/not/exist"), "{stderr}");
}

#[test]
fn the_credentials_programs_output_is_not_shown() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("exec.kubeconfig");
    let text = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "prod",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"exec": {"apiVersion": "client.authentication.k8s.io/v1",
            "command": "/bin/sh", "args": ["-c", "echo tok3n; echo please log in >&2; exit 4"],
            "interactiveMode": "Never"}}}],
        "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}}]}"#;
    std::fs::write(&path, text).unwrap();
    let (_, stderr, code) = run(
        "kubectl-gitops",
        &["status", "--kubeconfig", path.to_str().unwrap()],
    );
    assert_eq!(code, 3);
    assert!(stderr.contains("please log in"), "{stderr}");
    assert!(!stderr.contains("tok3n"), "{stderr}");
}

#[test]
fn a_broken_kubeconfig_is_not_quoted() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("broken.kubeconfig");
    std::fs::write(
        &path,
        "apiVersion: v1\nusers: [{name: u, user: {token: tok3n}]\n",
    )
    .unwrap();
    let (_, stderr, code) = run(
        "kubectl-gitops",
        &["status", "--kubeconfig", path.to_str().unwrap()],
    );
    assert_eq!(code, 2);
    assert!(
        stderr.contains("broken.kubeconfig, line 2, column "),
        "{stderr}"
    );
    assert!(!stderr.contains("tok3n"), "{stderr}");
}
