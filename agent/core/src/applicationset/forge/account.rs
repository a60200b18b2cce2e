//! Which forge a generator names, and how it is asked.

use serde_json::{Map, Value};

use super::super::error::Problem;

/// A kind of forge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provider {
    /// github.com and GitHub Enterprise Server.
    GitHub,
    /// gitlab.com and GitLab of one's own.
    GitLab,
    /// Gitea and Forgejo.
    Gitea,
    /// bitbucket.org.
    Bitbucket,
    /// Bitbucket Server and Data Center.
    BitbucketServer,
    /// Azure DevOps.
    AzureDevOps,
}

impl Provider {
    /// The forge's own name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::GitHub => "GitHub",
            Self::GitLab => "GitLab",
            Self::Gitea => "Gitea",
            Self::Bitbucket => "Bitbucket",
            Self::BitbucketServer => "Bitbucket Server",
            Self::AzureDevOps => "Azure DevOps",
        }
    }
}

/// A key of a Secret or of a ConfigMap in the set's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyReference {
    /// Name of the object.
    pub name: String,
    /// The key.
    pub key: String,
}

/// As whom a forge is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// As nobody.
    None,
    /// With a token.
    Token(KeyReference),
    /// With a name and a password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: KeyReference,
    },
}

/// How a forge is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    /// The forge.
    pub provider: Provider,
    /// Address of its API as the generator has it; empty: the public one.
    pub api: String,
    /// As whom.
    pub credential: Credential,
    /// Any certificate of the server is accepted.
    pub insecure: bool,
    /// Certificates of authorities that are accepted besides the system's.
    pub authorities: Option<KeyReference>,
}

/// The fields a generator has for one forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Fields {
    /// Path of the fields in the set.
    pub(in super::super) path: String,
    pub(in super::super) provider: Provider,
    map: Map<String, Value>,
}

/// The forge a generator names. Source: the order of applicationset/generators/scm_provider.go and
/// pull_request.go; other fields of it have no forge's name.
pub(in super::super) fn provider(
    generator: &Map<String, Value>,
    path: &str,
) -> Result<Fields, Problem> {
    const PROVIDERS: [(&str, Provider); 7] = [
        ("github", Provider::GitHub),
        ("gitlab", Provider::GitLab),
        ("gitea", Provider::Gitea),
        ("bitbucketServer", Provider::BitbucketServer),
        ("bitbucket", Provider::Bitbucket),
        ("azureDevOps", Provider::AzureDevOps),
        ("azuredevops", Provider::AzureDevOps),
    ];
    let named = PROVIDERS.iter().find_map(|(name, provider)| {
        let map = generator.get(*name)?.as_object()?;
        Some(Fields {
            path: format!("{path}.{name}"),
            provider: *provider,
            map: map.clone(),
        })
    });
    if let Some(fields) = named {
        return Ok(fields);
    }
    let why = if generator.get("awsCodeCommit").is_some_and(Value::is_object) {
        "awsCodeCommit is not supported: it is asked with signatures of AWS, which the agent does not make; \
         nothing of this set is generated"
    } else {
        "it names no forge; write one of github, gitlab, gitea, bitbucket, bitbucketServer and Azure DevOps"
    };
    Err(Problem::parameters(path, why))
}

impl Fields {
    /// A text; empty when it is not there.
    pub(super) fn text(&self, key: &str) -> String {
        let value = self.map.get(key).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    }

    /// A text that has to be there.
    pub(super) fn required(&self, key: &str) -> Result<String, Problem> {
        let text = self.text(key);
        if text.trim().is_empty() {
            let place = format!("{}.{key}", self.path);
            return Err(Problem::parameters(&place, "it is empty"));
        }
        Ok(text)
    }

    /// A truth value.
    pub(super) fn flag(&self, key: &str) -> bool {
        self.flag_or(key, false)
    }

    /// A truth value that counts as this when it is not there.
    pub(super) fn flag_or(&self, key: &str, otherwise: bool) -> bool {
        let value = self.map.get(key).and_then(Value::as_bool);
        value.unwrap_or(otherwise)
    }

    /// Texts.
    pub(super) fn texts(&self, key: &str) -> Vec<String> {
        let list = self.map.get(key).and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    }

    /// How the forge is asked.
    pub(super) fn account(&self) -> Result<Account, Problem> {
        if !self.text("appSecretName").is_empty() {
            let place = format!("{}.appSecretName", self.path);
            return Err(Problem::parameters(
                &place,
                "GitHub Apps are not supported yet; use tokenRef with a token that may read the organization",
            ));
        }
        // These have no public address.
        if matches!(self.provider, Provider::Gitea | Provider::BitbucketServer) {
            self.required("api")?;
        }
        Ok(Account {
            provider: self.provider,
            api: self.text("api"),
            credential: self.credential()?,
            insecure: self.flag("insecure"),
            authorities: self.reference("caRef", "configMapName")?,
        })
    }

    fn credential(&self) -> Result<Credential, Problem> {
        for key in ["tokenRef", "accessTokenRef"] {
            if let Some(token) = self.reference(key, "secretName")? {
                return Ok(Credential::Token(token));
            }
        }
        let bearer = self
            .nested("bearerToken")
            .map(|it| it.reference("tokenRef", "secretName"));
        if let Some(token) = bearer.transpose()?.flatten() {
            return Ok(Credential::Token(token));
        }
        let basic = match self.nested("basicAuth") {
            Some(basic) => Some((
                basic.text("username"),
                basic.reference("passwordRef", "secretName")?,
            )),
            None => Some((
                self.text("user"),
                self.reference("appPasswordRef", "secretName")?,
            )),
        };
        match basic {
            Some((user, Some(password))) => Ok(Credential::Basic { user, password }),
            _ => Ok(Credential::None),
        }
    }

    fn nested(&self, key: &str) -> Option<Self> {
        let map = self.map.get(key)?.as_object()?;
        Some(Self {
            path: format!("{}.{key}", self.path),
            provider: self.provider,
            map: map.clone(),
        })
    }

    fn reference(&self, field: &str, name: &str) -> Result<Option<KeyReference>, Problem> {
        let Some(reference) = self.nested(field) else {
            return Ok(None);
        };
        Ok(Some(KeyReference {
            name: reference.required(name)?,
            key: reference.required("key")?,
        }))
    }
}
