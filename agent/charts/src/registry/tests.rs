use super::*;

#[test]
fn credentials_go_to_token_servers_of_the_registrys_own_domain() {
    for (registry, realm, own) in [
        ("https://ghcr.io", "https://ghcr.io/token", true),
        ("https://r.example:5000", "https://r.example/token", true),
        (
            "https://registry-1.docker.io",
            "https://auth.docker.io/token",
            true,
        ),
        (
            "https://registry.gitlab.com",
            "https://gitlab.com/jwt/auth",
            true,
        ),
        (
            "https://registry.corp.example.com",
            "https://sso.corp.example.com/t",
            true,
        ),
        (
            "https://registry.corp.example.com",
            "https://example.com/t",
            false,
        ),
        (
            "https://registry.example.com",
            "https://registry.example.com.evil.net/t",
            false,
        ),
        (
            "https://registry.example.com",
            "https://evilexample.com/t",
            false,
        ),
        ("https://registry.example.com", "https://evil.com/t", false),
        ("https://example.com", "https://evil.com/t", false),
        ("https://example.co.uk", "https://evil.co.uk/t", false),
        ("https://registry", "https://evil/t", false),
        ("https://10.0.0.1", "https://10.0.0.2/t", false),
        ("https://10.0.0.1:5000", "https://10.0.0.1:5001/t", true),
    ] {
        let parse = |text: &str| Url::parse(text).unwrap();
        assert_eq!(
            is_of_registry(&parse(registry), &parse(realm)),
            own,
            "{registry} {realm}"
        );
    }
}

#[test]
fn names_and_references() {
    for (name, valid) in [
        ("web", true),
        ("team/charts/web-app_1.x", true),
        ("", false),
        ("Web", false),
        ("a//b", false),
        ("../v2/other", false),
        ("a/..", false),
        ("a?b", false),
        ("a%2fb", false),
    ] {
        assert_eq!(is_repository_name(name), valid, "{name}");
    }
    let digest = format!("sha256:{}", "a".repeat(64));
    for (reference, valid) in [
        ("1.2.3", true),
        ("1.2.3-rc.1_build", true),
        (digest.as_str(), true),
        ("sha256:ab", false),
        ("^1.2", false),
        ("", false),
        ("a/b", false),
        (".a", false),
    ] {
        assert_eq!(is_reference(reference), valid, "{reference}");
    }
}

#[test]
fn pages_of_tags() {
    assert_eq!(
        next_page("</v2/a/tags/list?last=x&n=2>; rel=\"next\""),
        Some("/v2/a/tags/list?last=x&n=2")
    );
    assert_eq!(next_page("<a>; rel=\"prev\", <b>; rel=next"), Some("b"));
    assert_eq!(next_page("<a>; rel=\"prev\""), None);
    assert_eq!(next_page(""), None);
}
