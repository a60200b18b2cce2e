//! The user's kubeconfig: which files, which context, and whether what it names is there.
//!
//! Never says what is in a file that cannot be read: it may be a token.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use gitops_core::nearest::alike;
use gitops_kit::exit::{CommandError, CommandErrorKind};
use kube::config::{Kubeconfig, KubeconfigError};

/// What to do about a kubeconfig that is not as it should be.
pub const HINT: &str = "look at it with: kubectl config view";

/// The kubeconfig of a file, else of $KUBECONFIG, else of ~/.kube/config. `None`: there is none, and
/// this may be a Pod.
pub fn read(file: Option<&Path>) -> Result<Option<Kubeconfig>, CommandError> {
    if let Some(path) = file {
        return Kubeconfig::read_from(path)
            .map(Some)
            .map_err(|error| unreadable(&error, path));
    }
    let from_environment: Vec<PathBuf> = std::env::var_os("KUBECONFIG")
        .map(|value| {
            std::env::split_paths(&value)
                .filter(|path| !path.as_os_str().is_empty())
                .collect()
        })
        .unwrap_or_default();
    let paths = if from_environment.is_empty() {
        std::env::home_dir()
            .map(|home| home.join(".kube/config"))
            .into_iter()
            .collect()
    } else {
        from_environment
    };
    // Files of the list that do not exist are passed over, as kubectl does.
    let mut merged: Option<Kubeconfig> = None;
    for path in paths {
        match Kubeconfig::read_from(&path) {
            Ok(kubeconfig) => {
                let kubeconfig = match merged.take() {
                    Some(earlier) => earlier
                        .merge(kubeconfig)
                        .map_err(|error| unusable(&error))?,
                    None => kubeconfig,
                };
                merged = Some(kubeconfig);
            }
            Err(KubeconfigError::ReadConfig(error, _)) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&error, &path)),
        }
    }
    Ok(merged)
}

/// Names of the contexts.
pub fn names(kubeconfig: &Kubeconfig) -> Vec<String> {
    let contexts = kubeconfig.contexts.iter();
    contexts.map(|context| context.name.clone()).collect()
}

/// Name of the context to use: the chosen one, else the current one.
pub fn chosen(kubeconfig: &Kubeconfig, context: Option<&str>) -> Option<String> {
    context
        .map(str::to_owned)
        .or_else(|| kubeconfig.current_context.clone())
        .filter(|context| !context.is_empty())
}

/// The context to use, which is there.
pub fn context(kubeconfig: &Kubeconfig, context: Option<&str>) -> Result<String, CommandError> {
    let names = || {
        kubeconfig
            .contexts
            .iter()
            .map(|context| context.name.as_str())
    };
    let Some(context) = chosen(kubeconfig, context) else {
        let all: Vec<&str> = names().collect();
        return Err(CommandError::new(
            CommandErrorKind::Usage,
            "the kubeconfig has no current context",
        )
        .hint(format!("choose one with --context: {}", all.join(", "))));
    };
    if names().any(|name| name == context) {
        return Ok(context);
    }
    let error = CommandError::new(
        CommandErrorKind::NotFound,
        format!("the kubeconfig has no context {context:?}"),
    );
    let near = alike(&context, names(), 3);
    Err(if near.is_empty() {
        error.hint("list them with: kubectl config get-contexts")
    } else {
        error.hint(format!("did you mean {}?", near.join(" or ")))
    })
}

/// The cluster and the user in use are in the kubeconfig. Who is not would be nobody: the
/// cluster would complain about an anonymous user.
pub fn check_parts(
    kubeconfig: &Kubeconfig,
    context: &str,
    cluster: Option<&str>,
    user: Option<&str>,
) -> Result<(), CommandError> {
    let named = kubeconfig.contexts.iter().find(|one| one.name == context);
    let named = named.and_then(|one| one.context.as_ref());
    let cluster = cluster.or(named.map(|one| one.cluster.as_str()));
    let user = user.or(named.and_then(|one| one.user.as_deref()));
    let clusters: Vec<&str> = kubeconfig
        .clusters
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    let users: Vec<&str> = kubeconfig
        .auth_infos
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    for (kind, wanted, known) in [("cluster", cluster, clusters), ("user", user, users)] {
        let Some(wanted) = wanted.filter(|name| !name.is_empty() && !known.contains(name)) else {
            continue;
        };
        let error = CommandError::new(
            CommandErrorKind::NotFound,
            format!("the kubeconfig has no {kind} {wanted:?}"),
        );
        let near = alike(wanted, known.iter().copied(), 3);
        return Err(if near.is_empty() {
            error.hint(HINT)
        } else {
            error.hint(format!("did you mean {}?", near.join(" or ")))
        });
    }
    Ok(())
}

/// The namespace a context names.
pub fn namespace(kubeconfig: &Kubeconfig, context: &str) -> Option<String> {
    kubeconfig
        .contexts
        .iter()
        .find(|named| named.name == context)?
        .context
        .as_ref()?
        .namespace
        .clone()
        .filter(|namespace| !namespace.is_empty())
}

/// It cannot be used.
pub fn unusable(error: &KubeconfigError) -> CommandError {
    CommandError::new(
        CommandErrorKind::Usage,
        format!("the kubeconfig cannot be used: {error}"),
    )
}

/// A file cannot be read. The parser's own message quotes the file, and so perhaps a token: only
/// the place is told.
fn unreadable(error: &KubeconfigError, path: &Path) -> CommandError {
    let KubeconfigError::Parse(error) = error else {
        return unusable(error);
    };
    let place = error.location().map_or(String::new(), |place| {
        format!(", line {}, column {}", place.line(), place.column())
    });
    CommandError::new(
        CommandErrorKind::Usage,
        format!(
            "{}{place}: not a kubeconfig in YAML or JSON",
            path.display()
        ),
    )
    .hint(HINT)
}

/// There is none.
pub fn missing() -> CommandError {
    CommandError::new(
        CommandErrorKind::Usage,
        "there is no kubeconfig: neither $KUBECONFIG nor ~/.kube/config names one",
    )
    .hint("name one with --kubeconfig FILE")
}
