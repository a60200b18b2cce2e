//! What one repository Secret says, read into fields; printing it never shows a secret.

use std::collections::BTreeMap;
use std::fmt;

/// A text that is never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// The text itself, for the one place that uses it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for SecretText {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "unset" } else { "***" })
    }
}

/// What kind of repository a Secret describes (`type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RepositoryKind {
    /// A Git repository; the default.
    #[default]
    Git,
    /// A Helm chart repository, over HTTP or (with `enableOCI`) in a registry.
    Helm,
    /// OCI artifacts.
    Oci,
}

/// A repository and how to reach it; the union of what Argo CD's repository and repo-creds
/// Secrets may say. Texts are empty when not set.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RepositoryEntry {
    /// Name of the Secret the URL came from, for messages.
    pub secret: String,
    /// Name of the repo-creds Secret that credentials were taken from, for messages.
    pub credentials_secret: Option<String>,
    /// URL as written; for repo-creds a prefix.
    pub url: String,
    /// `type`.
    pub kind: RepositoryKind,
    /// `name`, for people.
    pub name: String,
    /// `project`: the only project that may use it; empty for all.
    pub project: String,
    /// `username`.
    pub username: String,
    /// `password`, or an access token.
    pub password: SecretText,
    /// `bearerToken`.
    pub bearer_token: SecretText,
    /// `sshPrivateKey`, PEM.
    pub ssh_private_key: SecretText,
    /// `tlsClientCertData`, PEM.
    pub tls_client_cert: SecretText,
    /// `tlsClientCertKey`, PEM.
    pub tls_client_key: SecretText,
    /// `insecure` or `insecureIgnoreHostKey`: certificates and host keys are not verified.
    pub insecure: bool,
    /// `enableLfs`.
    pub enable_lfs: bool,
    /// `enableOCI`: a chart repository that is a registry.
    pub enable_oci: bool,
    /// `insecureOCIForceHttp`: the registry speaks plain HTTP.
    pub oci_plain_http: bool,
    /// `proxy`: URL of a proxy; may hold a password.
    pub proxy: SecretText,
    /// `noProxy`: hosts that are reached directly.
    pub no_proxy: String,
    /// `forceHttpBasicAuth`: send the password before the server asks for it.
    pub force_basic_auth: bool,
    /// `depth`: commits of history to fetch; `None` means all.
    pub depth: Option<u32>,
    /// `githubAppID`.
    pub github_app_id: String,
    /// `githubAppInstallationID`.
    pub github_app_installation_id: String,
    /// `githubAppPrivateKey`, PEM.
    pub github_app_private_key: SecretText,
    /// `githubAppEnterpriseBaseUrl`.
    pub github_app_base_url: String,
    /// `gcpServiceAccountKey`, JSON.
    pub gcp_service_account_key: SecretText,
    /// `useAzureWorkloadIdentity`.
    pub azure_workload_identity: bool,
    /// `azureServicePrincipalClientId` (`…ClientID` in repo-creds).
    pub azure_client_id: String,
    /// `azureServicePrincipalClientSecret`.
    pub azure_client_secret: SecretText,
    /// `azureServicePrincipalTenantId` (`…TenantID` in repo-creds).
    pub azure_tenant_id: String,
    /// `azureActiveDirectoryEndpoint`.
    pub azure_endpoint: String,
}

impl RepositoryEntry {
    /// Reads the keys of a Secret. The second part of the result are problems, without values.
    pub(super) fn read(secret: &str, data: &BTreeMap<String, Vec<u8>>) -> (Self, Vec<String>) {
        let mut problems = Vec::new();
        let mut raw = |name: &str| -> &str {
            match data.get(name).map(|bytes| std::str::from_utf8(bytes)) {
                Some(Ok(text)) => text,
                Some(Err(_)) => {
                    problems.push(format!("key {name} is not valid UTF-8 and is ignored"));
                    ""
                }
                None => "",
            }
        };
        // Keys end in a line break in most hand-made Secrets; URLs and names must not.
        let mut entry = Self {
            secret: secret.into(),
            url: raw("url").trim().into(),
            name: raw("name").trim().into(),
            project: raw("project").trim().into(),
            username: raw("username").trim_end_matches(['\r', '\n']).into(),
            password: raw("password").trim_end_matches(['\r', '\n']).into(),
            bearer_token: raw("bearerToken").trim().into(),
            ssh_private_key: raw("sshPrivateKey").into(),
            tls_client_cert: raw("tlsClientCertData").into(),
            tls_client_key: raw("tlsClientCertKey").into(),
            proxy: raw("proxy").trim().into(),
            no_proxy: raw("noProxy").trim().into(),
            github_app_id: raw("githubAppID").trim().into(),
            github_app_installation_id: raw("githubAppInstallationID").trim().into(),
            github_app_private_key: raw("githubAppPrivateKey").into(),
            github_app_base_url: raw("githubAppEnterpriseBaseUrl").trim().into(),
            gcp_service_account_key: raw("gcpServiceAccountKey").into(),
            azure_client_secret: raw("azureServicePrincipalClientSecret").trim().into(),
            azure_endpoint: raw("azureActiveDirectoryEndpoint").trim().into(),
            ..Self::default()
        };
        // The two kinds of Secret spell these two differently; both are read from both.
        let mut either = |one: &str, other: &str| {
            let text = raw(one).trim();
            if text.is_empty() {
                raw(other).trim().to_owned()
            } else {
                text.to_owned()
            }
        };
        entry.azure_client_id = either(
            "azureServicePrincipalClientId",
            "azureServicePrincipalClientID",
        );
        entry.azure_tenant_id = either(
            "azureServicePrincipalTenantId",
            "azureServicePrincipalTenantID",
        );
        let kind = raw("type").trim().to_owned();
        let depth = raw("depth").trim().to_owned();
        let mut flag = |name: &str| match raw(name).trim() {
            "" | "false" => Ok(false),
            "true" => Ok(true),
            _ => Err(format!(
                "key {name} is neither \"true\" nor \"false\" and counts as false"
            )),
        };
        let flags = [
            flag("insecure"),
            flag("insecureIgnoreHostKey"),
            flag("enableLfs"),
            flag("enableOCI"),
            flag("insecureOCIForceHttp"),
            flag("forceHttpBasicAuth"),
            flag("useAzureWorkloadIdentity"),
        ];
        let [
            insecure,
            ignore_host_key,
            lfs,
            oci,
            plain_http,
            basic,
            azure,
        ] = flags.map(|result| {
            result.unwrap_or_else(|problem| {
                problems.push(problem);
                false
            })
        });
        entry.insecure = insecure || ignore_host_key;
        entry.enable_lfs = lfs;
        entry.enable_oci = oci;
        entry.oci_plain_http = plain_http;
        entry.force_basic_auth = basic;
        entry.azure_workload_identity = azure;
        entry.kind = match kind.as_str() {
            "" | "git" => RepositoryKind::Git,
            "helm" => RepositoryKind::Helm,
            "oci" => RepositoryKind::Oci,
            _ => {
                problems.push(format!(
                    "type \"{kind}\" is not git, helm or oci and counts as git"
                ));
                RepositoryKind::Git
            }
        };
        if !depth.is_empty() {
            match depth.parse::<u32>() {
                Ok(0) => {}
                Ok(depth) => entry.depth = Some(depth),
                Err(_) => problems.push("key depth is not a whole number and is ignored".into()),
            }
        }
        (entry, problems)
    }

    /// Whether it says who we are, in any way.
    pub fn has_credentials(&self) -> bool {
        !self.username.is_empty() || !self.secrets().is_empty() || self.azure_workload_identity
    }

    /// Takes the credentials, and what belongs to them, from another entry where this one has
    /// none.
    pub(super) fn complete_from(&mut self, other: &Self) {
        let text = |mine: &mut String, theirs: &String| {
            if mine.is_empty() {
                mine.clone_from(theirs);
            }
        };
        let secret = |mine: &mut SecretText, theirs: &SecretText| {
            if mine.is_empty() {
                mine.clone_from(theirs);
            }
        };
        text(&mut self.username, &other.username);
        secret(&mut self.password, &other.password);
        secret(&mut self.bearer_token, &other.bearer_token);
        secret(&mut self.ssh_private_key, &other.ssh_private_key);
        secret(&mut self.tls_client_cert, &other.tls_client_cert);
        secret(&mut self.tls_client_key, &other.tls_client_key);
        secret(&mut self.proxy, &other.proxy);
        text(&mut self.no_proxy, &other.no_proxy);
        text(&mut self.github_app_id, &other.github_app_id);
        text(
            &mut self.github_app_installation_id,
            &other.github_app_installation_id,
        );
        secret(
            &mut self.github_app_private_key,
            &other.github_app_private_key,
        );
        text(&mut self.github_app_base_url, &other.github_app_base_url);
        secret(
            &mut self.gcp_service_account_key,
            &other.gcp_service_account_key,
        );
        text(&mut self.azure_client_id, &other.azure_client_id);
        secret(&mut self.azure_client_secret, &other.azure_client_secret);
        text(&mut self.azure_tenant_id, &other.azure_tenant_id);
        text(&mut self.azure_endpoint, &other.azure_endpoint);
        self.azure_workload_identity |= other.azure_workload_identity;
        self.force_basic_auth |= other.force_basic_auth;
        self.enable_oci |= other.enable_oci;
        self.oci_plain_http |= other.oci_plain_http;
        self.credentials_secret = Some(other.secret.clone());
    }

    /// Every secret text, for masking messages of other programs.
    pub fn secrets(&self) -> Vec<&str> {
        [
            &self.password,
            &self.bearer_token,
            &self.ssh_private_key,
            &self.tls_client_cert,
            &self.tls_client_key,
            &self.github_app_private_key,
            &self.gcp_service_account_key,
            &self.azure_client_secret,
        ]
        .into_iter()
        .filter(|secret| !secret.is_empty())
        .map(SecretText::expose)
        .collect()
    }
}

impl fmt::Debug for RepositoryEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RepositoryEntry")
            .field("secret", &self.secret)
            .field("credentials_secret", &self.credentials_secret)
            .field("url", &crate::mask::mask_text::<&str>(&self.url, &[]))
            .field("kind", &self.kind)
            .field("project", &self.project)
            .field("has_credentials", &self.has_credentials())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_never_printed() {
        let keys = [
            ("url", "https://user:s3cret-u@host/repo\n"),
            ("type", "helm"),
            ("username", "bob\n"),
            ("password", "s3cret-p\n"),
            ("bearerToken", "s3cret-b"),
            ("sshPrivateKey", "s3cret-k\n"),
            ("tlsClientCertKey", "s3cret-t"),
            ("githubAppPrivateKey", "s3cret-g"),
            ("gcpServiceAccountKey", "s3cret-c"),
            ("azureServicePrincipalClientSecret", "s3cret-a"),
            ("azureServicePrincipalClientID", "client"),
            ("azureServicePrincipalTenantId", "tenant"),
            ("proxy", "http://user:s3cret-x@proxy"),
            ("insecureIgnoreHostKey", "true"),
            ("enableOCI", "true"),
            ("depth", "3"),
        ];
        let data = keys
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec()))
            .collect();
        let (entry, problems) = RepositoryEntry::read("creds", &data);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(
            (entry.username.as_str(), entry.password.expose()),
            ("bob", "s3cret-p")
        );
        assert_eq!(entry.ssh_private_key.expose(), "s3cret-k\n");
        assert_eq!(
            (
                entry.azure_client_id.as_str(),
                entry.azure_tenant_id.as_str()
            ),
            ("client", "tenant")
        );
        assert_eq!((entry.kind, entry.depth), (RepositoryKind::Helm, Some(3)));
        assert!(entry.insecure && entry.enable_oci && !entry.enable_lfs && entry.has_credentials());
        assert!(!format!("{entry:?} {:?}", entry.password).contains("s3cret"));
        assert_eq!(entry.secrets().len(), 7);
    }

    #[test]
    fn problems_never_quote_values() {
        let data = [
            ("type", b"svn".to_vec()),
            ("insecure", b"s3cret".to_vec()),
            ("depth", b"s3cret".to_vec()),
            ("password", vec![0xff, 0xfe]),
        ];
        let data = data.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        let (entry, problems) = RepositoryEntry::read("creds", &data);
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(
            problems.iter().all(|problem| !problem.contains("s3cret")),
            "{problems:?}"
        );
        assert_eq!(
            entry,
            RepositoryEntry {
                secret: "creds".into(),
                ..RepositoryEntry::default()
            }
        );
    }
}
