//! The Application a command is about: where the name given is looked for, and what is said when
//! there is none.
//!
//! Looked for in the namespace named with -n or NAMESPACE/NAME; else in the kubeconfig context's
//! own namespace, if it is there; else in `argocd`.

use std::collections::BTreeMap;

use gitops_api::Application;
use gitops_api::constants::DEFAULT_NAMESPACE;
use gitops_core::nearest::alike;
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::terminal::{ColorChoice, View};
use gitops_kit::{prompt, text};
use gitops_views::status::application::Summary;
use jiff::Timestamp;
use kube::api::{Api, ListParams};
use kube::core::PartialObjectMeta;

use crate::cluster::connection::{Connection, ConnectionArgs};
use crate::cluster::failure;

/// Applications asked for at a time.
const PAGE: u32 = 500;
/// Completes "cannot …".
const READING: &str = "read Applications";

/// What APP or APPSET says: a name, and perhaps a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// As said with -n or before the slash.
    pub namespace: Option<String>,
    /// Name of the object.
    pub name: String,
}

impl Named {
    /// Reads NAME or NAMESPACE/NAME of an Application.
    pub fn read(given: &str, args: &ConnectionArgs) -> Result<Self, CommandError> {
        Self::read_kind("Application", given, args)
    }

    /// The same of an object of another kind.
    pub fn read_kind(kind: &str, given: &str, args: &ConnectionArgs) -> Result<Self, CommandError> {
        let usage = |message: String| CommandError::new(CommandErrorKind::Usage, message);
        let (before, name) = match given.split_once('/') {
            None => (None, given),
            Some((before, name)) => (Some(before), name),
        };
        let flag = args.namespace.as_deref();
        if let (Some(before), Some(flag)) = (before, flag)
            && before != flag
        {
            return Err(usage(format!(
                "{given:?} and -n {flag} name different namespaces"
            )));
        }
        let namespace = before.or(flag);
        // Names become part of an address.
        let fits = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
        if name.is_empty() || !name.chars().all(fits) || namespace == Some("") {
            return Err(usage(format!(
                "{given:?} names no {kind}: it is NAME or NAMESPACE/NAME"
            )));
        }
        Ok(Self {
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        })
    }
}

/// Namespaces to look in, in this order.
pub fn places(named: Option<&str>, context: Option<&str>) -> Vec<String> {
    if let Some(named) = named {
        return vec![named.to_owned()];
    }
    let own = context.filter(|namespace| !namespace.is_empty() && *namespace != DEFAULT_NAMESPACE);
    own.into_iter()
        .chain([DEFAULT_NAMESPACE])
        .map(str::to_owned)
        .collect()
}

/// APP as it was given; where none was, one chosen from a list, NAMESPACE/NAME. `may_ask` is no when
/// nothing shall be asked (`--yes`). Without a terminal the command line has refused already.
pub async fn given_or_picked(
    given: Option<&str>,
    may_ask: bool,
    args: &ConnectionArgs,
    connection: &Connection,
) -> Result<String, CommandError> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    if !may_ask || !prompt::can_pick() {
        return Err(CommandError::new(
            CommandErrorKind::Usage,
            "an Application has to be named: NAME or NAMESPACE/NAME",
        ));
    }
    let namespace = namespace(args, connection).await;
    let applications = list(Some(&namespace), ListParams::default(), connection).await?;
    if applications.is_empty() {
        let none = none_found(Some(&namespace), None, connection);
        return Err(CommandError::new(CommandErrorKind::NotFound, none.await));
    }
    let view = View::of_stderr(ColorChoice::Auto);
    let now = Timestamp::now();
    let mut rows: Vec<Summary> = applications
        .iter()
        .map(|application| Summary::of(application, now, view.unicode))
        .collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    let columns = rows.iter().map(|row| text::width(&row.name)).max();
    let items: Vec<String> = rows
        .iter()
        .map(|row| {
            let name = &row.name;
            let blanks = " ".repeat(columns.unwrap_or(0) - text::width(name));
            format!(
                "{name}{blanks}  {}  {}",
                row.sync.as_str(),
                row.health.as_str()
            )
        })
        .collect();
    let chosen = prompt::pick("Which Application?", &items, 0, &view).await?;
    Ok(format!("{namespace}/{}", rows[chosen].name))
}

/// The Application that APP names; its metadata says where it was found.
pub async fn find(
    given: &str,
    args: &ConnectionArgs,
    connection: &Connection,
) -> Result<Application, CommandError> {
    // An Application is large, and so is a future that holds some; on the heap it is nobody's
    // burden.
    Box::pin(async {
        let named = Named::read(given, args)?;
        let places = places(
            named.namespace.as_deref(),
            connection.context_namespace.as_deref(),
        );
        let name = named.name.as_str();
        let asked = places.iter().map(|namespace| {
            let api: Api<Application> = Api::namespaced(connection.client.clone(), namespace);
            async move { connection.wait(api.get_opt(name)).await }
        });
        let mut refusal = None;
        for answer in futures::future::join_all(asked).await {
            match answer? {
                Ok(Some(application)) => return Ok(application),
                Ok(None) => {}
                Err(error) => refusal = Some(error),
            }
        }
        match refusal {
            Some(error) => Err(failure::of(error, READING, &connection.endpoint)),
            None => Err(missing(name, &places, connection).await),
        }
    })
    .await
}

/// One Application of a known place.
pub async fn get(
    namespace: &str,
    name: &str,
    connection: &Connection,
) -> Result<Application, CommandError> {
    let api: Api<Application> = Api::namespaced(connection.client.clone(), namespace);
    Box::pin(async {
        match connection.wait(api.get_opt(name)).await? {
            Ok(Some(application)) => Ok(application),
            Ok(None) => Err(missing(name, &[namespace.to_owned()], connection).await),
            Err(error) => Err(failure::of(error, READING, &connection.endpoint)),
        }
    })
    .await
}

/// The namespace whose Applications a command without APP is about: the one named with -n, the
/// context's own if it holds any, else `argocd`.
pub async fn namespace(args: &ConnectionArgs, connection: &Connection) -> String {
    let mut places = places(
        args.namespace.as_deref(),
        connection.context_namespace.as_deref(),
    );
    if let [own, _] = places.as_slice() {
        let api: Api<Application> = Api::namespaced(connection.client.clone(), own);
        let some = connection
            .wait(api.list_metadata(&ListParams::default().limit(1)))
            .await;
        if !matches!(some, Ok(Ok(list)) if !list.items.is_empty()) {
            places.remove(0);
        }
    }
    places.swap_remove(0)
}

/// Applications of a namespace (`None`: of all), all pages of them. `params`: which of them.
pub async fn list(
    namespace: Option<&str>,
    params: ListParams,
    connection: &Connection,
) -> Result<Vec<Application>, CommandError> {
    let api: Api<Application> = match namespace {
        Some(namespace) => Api::namespaced(connection.client.clone(), namespace),
        None => Api::all(connection.client.clone()),
    };
    let what = format!("list Applications in {}", place(namespace));
    connection.list(&api, params, &what).await
}

/// Namespaces and names of all Applications the user may see.
pub async fn everywhere(connection: &Connection) -> Result<Vec<(String, String)>, kube::Error> {
    identities(Api::all(connection.client.clone()), connection).await
}

/// Names of the Applications of a namespace.
pub async fn names(namespace: &str, connection: &Connection) -> Result<Vec<String>, kube::Error> {
    let api = Api::namespaced(connection.client.clone(), namespace);
    let found = identities(api, connection).await?;
    Ok(found.into_iter().map(|(_, name)| name).collect())
}

async fn identities(
    api: Api<Application>,
    connection: &Connection,
) -> Result<Vec<(String, String)>, kube::Error> {
    let mut params = ListParams::default().limit(PAGE);
    let mut all = Vec::new();
    loop {
        // Only suggestions depend on it: no answer in time is as good as none.
        let Ok(page) = connection.wait(api.list_metadata(&params)).await else {
            return Ok(all);
        };
        let page = page?;
        let name = |meta: PartialObjectMeta<Application>| {
            Some((meta.metadata.namespace?, meta.metadata.name?))
        };
        all.extend(page.items.into_iter().filter_map(name));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(all),
        }
    }
}

/// In words: a namespace, or all of them.
pub fn place(namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("namespace {namespace}"),
        None => "all namespaces".to_owned(),
    }
}

/// Why there is no such Application, with what may have been meant. `places`: where it was looked
/// for; none means everywhere.
pub async fn missing(name: &str, places: &[String], connection: &Connection) -> CommandError {
    match everywhere(connection).await {
        Ok(all) => not_found(name, places, &all),
        // The server does not know the kind at all.
        Err(error @ kube::Error::Api(_)) if failure::is_unknown_kind(&error) => {
            failure::of(error, READING, &connection.endpoint)
        }
        // Not everybody may look everywhere.
        Err(_) => not_found(name, places, &[]),
    }
}

fn not_found(name: &str, places: &[String], all: &[(String, String)]) -> CommandError {
    let looked = if places.is_empty() {
        "any namespace".to_owned()
    } else {
        format!("namespace {}", places.join(" or "))
    };
    let error = CommandError::new(
        CommandErrorKind::NotFound,
        format!("there is no Application {name:?} in {looked}"),
    );
    let elsewhere: Vec<&str> = all
        .iter()
        .filter(|(_, found)| found == name)
        .map(|(namespace, _)| namespace.as_str())
        .collect();
    if !elsewhere.is_empty() {
        return error.hint(format!(
            "there is one in namespace {}: use -n",
            elsewhere.join(", ")
        ));
    }
    let here = |namespace: &String| places.is_empty() || places.contains(namespace);
    let near = alike(
        name,
        all.iter()
            .filter(|(namespace, _)| here(namespace))
            .map(|(_, name)| name.as_str()),
        3,
    );
    if !near.is_empty() {
        return error.hint(format!("did you mean {}?", near.join(" or ")));
    }
    let places = counts(all, &[]);
    if places.is_empty() {
        error.hint("list them with: kubectl gitops status -A")
    } else {
        error.hint(format!(
            "there are {places}; list them with: kubectl gitops status -A"
        ))
    }
}

/// What is said when a list is empty.
pub async fn none_found(
    namespace: Option<&str>,
    selector: Option<&str>,
    connection: &Connection,
) -> String {
    let selected = if selector.is_some() {
        " with these labels"
    } else {
        ""
    };
    let none = format!("no Applications{selected} in {}", place(namespace));
    let Some(namespace) = namespace else {
        return none;
    };
    let all = everywhere(connection).await.unwrap_or_default();
    let elsewhere = counts(&all, &[namespace]);
    if elsewhere.is_empty() {
        none
    } else {
        format!("{none}; {elsewhere}: use -n NAMESPACE or -A")
    }
}

/// `3 in argocd, 1 in team-a`.
fn counts(all: &[(String, String)], without: &[&str]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (namespace, _) in all {
        if !without.contains(&namespace.as_str()) {
            *counts.entry(namespace).or_default() += 1;
        }
    }
    let places: Vec<String> = counts
        .iter()
        .map(|(namespace, count)| format!("{count} in {namespace}"))
        .collect();
    places.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_with_their_namespace() {
        let read = |given: &str, flag: Option<&str>| {
            let args = ConnectionArgs {
                namespace: flag.map(str::to_owned),
                ..ConnectionArgs::default()
            };
            Named::read(given, &args)
                .map(|named| (named.namespace.unwrap_or_default(), named.name))
                .map_err(|error| error.message)
        };
        let ok = |namespace: &str, name: &str| Ok((namespace.to_owned(), name.to_owned()));
        assert_eq!(read("web", None), ok("", "web"));
        assert_eq!(read("web", Some("a")), ok("a", "web"));
        assert_eq!(read("a/web", None), ok("a", "web"));
        assert_eq!(read("a/web", Some("a")), ok("a", "web"));
        assert!(
            read("a/web", Some("b"))
                .unwrap_err()
                .contains("different namespaces")
        );
        for wrong in ["", "a/", "/web", "a/b/c"] {
            assert!(
                read(wrong, None).unwrap_err().contains("NAMESPACE/NAME"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn the_contexts_namespace_comes_before_the_default() {
        let places = |named, context| places(named, context).join(" ");
        assert_eq!(places(Some("a"), Some("b")), "a");
        assert_eq!(places(None, Some("b")), "b argocd");
        assert_eq!(places(None, Some("argocd")), "argocd");
        assert_eq!(places(None, Some("")), "argocd");
        assert_eq!(places(None, None), "argocd");
    }

    #[test]
    fn what_is_missing_is_suggested() {
        let all: Vec<(String, String)> =
            [("argocd", "web"), ("argocd", "shop"), ("team", "payments")]
                .map(|(namespace, name)| (namespace.to_owned(), name.to_owned()))
                .into();
        let argocd = ["argocd".to_owned()];
        let hint = |name: &str, places: &[String]| not_found(name, places, &all).hints.join(" ");
        assert_eq!(
            hint("payments", &argocd),
            "there is one in namespace team: use -n"
        );
        assert_eq!(hint("shp", &argocd), "did you mean shop?");
        assert_eq!(hint("paymens", &[]), "did you mean payments?");
        assert_eq!(
            hint("zzz", &argocd),
            "there are 2 in argocd, 1 in team; list them with: kubectl gitops status -A"
        );
        assert_eq!(
            not_found("x", &["a".to_owned(), "argocd".to_owned()], &[]).message,
            "there is no Application \"x\" in namespace a or argocd"
        );
    }
}
