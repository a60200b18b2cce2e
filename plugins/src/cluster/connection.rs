//! kubectl's flags that choose a cluster and a user, and the client they make.
use std::fmt::Debug;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::prompt;
use gitops_kit::terminal::{ColorChoice, View};
use kube::api::ListParams;
use kube::config::KubeConfigOptions;
use kube::{Api, Client, Config};
use serde::de::DeserializeOwned;

use crate::cluster::endpoint::Endpoint;
use crate::cluster::{failure, kubeconfig};

/// Longest wait for one answer when --request-timeout is not given.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);

// Flags every command has, as kubectl spells them. (As documentation this would become the help of
// each command.)
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Cluster")]
pub struct ConnectionArgs {
    /// Namespace of the Applications [default: the context's if they are there, else argocd]
    #[arg(
        short,
        long,
        global = true,
        value_name = "NAMESPACE",
        value_parser = parse_namespace
    )]
    pub namespace: Option<String>,

    /// kubeconfig file, instead of $KUBECONFIG or ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,

    /// Cluster of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,

    /// User of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,

    /// Act as this user
    #[arg(long = "as", global = true, value_name = "USER")]
    pub impersonate: Option<String>,

    /// Act as a member of this group; may be repeated
    #[arg(long = "as-group", global = true, value_name = "GROUP")]
    pub impersonate_groups: Vec<String>,

    /// Act as the user with this UID
    #[arg(
        long = "as-uid",
        global = true,
        value_name = "UID",
        hide_short_help = true
    )]
    pub impersonate_uid: Option<String>,

    /// Address of the API server, instead of the kubeconfig's
    #[arg(short, long, global = true, value_name = "URL", hide_short_help = true)]
    pub server: Option<String>,

    /// Name the API server's certificate is checked for
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub tls_server_name: Option<String>,

    /// File with the certificate authority of the API server
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub certificate_authority: Option<PathBuf>,

    /// Do not check the API server's certificate: anybody on the way can read and change what is said
    #[arg(long, global = true, hide_short_help = true)]
    pub insecure_skip_tls_verify: bool,

    /// File with a client certificate
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub client_certificate: Option<PathBuf>,

    /// File with the client certificate's key
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub client_key: Option<PathBuf>,

    /// Longest wait for one answer: 5s, 2m; 0 means no timeout [default: 20s]
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_duration)]
    pub request_timeout: Option<Duration>,
}

/// Objects asked for at a time.
const PAGE: u32 = 500;

/// A client, and which cluster it talks to.
#[derive(Clone)]
pub struct Connection {
    /// Client with the user's rights.
    pub client: Client,
    /// Which cluster it is.
    pub endpoint: Endpoint,
    /// Namespace the context names, if it names one.
    pub context_namespace: Option<String>,
    timeout: Option<Duration>,
}

impl Connection {
    /// Waits for an answer, no longer than asked for, and turns a failure into a message. `what`
    /// completes "cannot …".
    pub fn ask<T>(
        &self,
        what: &str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> impl Future<Output = Result<T, CommandError>> {
        let answer = self.wait(request);
        async move {
            answer
                .await?
                .map_err(|error| failure::of(error, what, &self.endpoint))
        }
    }

    /// All pages of a list. `what` completes "cannot …".
    pub async fn list<K>(
        &self,
        api: &Api<K>,
        params: ListParams,
        what: &str,
    ) -> Result<Vec<K>, CommandError>
    where
        K: Clone + DeserializeOwned + Debug,
    {
        let mut params = params.limit(PAGE);
        let mut all = Vec::new();
        loop {
            let page = self.ask(what, api.list(&params)).await?;
            all.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok(all),
            }
        }
    }

    /// Waits for an answer, no longer than asked for.
    pub fn wait<T>(
        &self,
        request: impl Future<Output = T>,
    ) -> impl Future<Output = Result<T, CommandError>> {
        // Requests are large; on the heap they do not make every caller large.
        let request = Box::pin(request);
        async move {
            match self.timeout {
                None => Ok(request.await),
                Some(timeout) => tokio::time::timeout(timeout, request)
                    .await
                    .map_err(|_| failure::timed_out(timeout, &self.endpoint)),
            }
        }
    }
}

impl ConnectionArgs {
    /// Names of the kubeconfig's contexts.
    pub fn contexts(&self) -> Vec<String> {
        let kubeconfig = kubeconfig::read(self.kubeconfig.as_deref());
        let kubeconfig = kubeconfig.ok().flatten();
        kubeconfig
            .as_ref()
            .map(kubeconfig::names)
            .unwrap_or_default()
    }

    /// As [`Self::connect`]; on a terminal a context is chosen from a list where the kubeconfig has
    /// no current one. `may_ask` is no when nothing shall be asked (`--yes`).
    pub async fn connect_or_pick(&self, may_ask: bool) -> Result<Connection, CommandError> {
        if may_ask
            && prompt::can_pick()
            && let Some(kubeconfig) = kubeconfig::read(self.kubeconfig.as_deref())?
            && kubeconfig::chosen(&kubeconfig, self.context.as_deref()).is_none()
        {
            let names = kubeconfig::names(&kubeconfig);
            if !names.is_empty() {
                let view = View::of_stderr(ColorChoice::Auto);
                let place = prompt::pick("Which context?", &names, 0, &view).await?;
                let picked = Self {
                    context: Some(names[place].clone()),
                    ..self.clone()
                };
                return picked.connect().await;
            }
        }
        self.connect().await
    }

    /// Reads the kubeconfig and makes a client. Asks neither the cluster nor the user.
    pub async fn connect(&self) -> Result<Connection, CommandError> {
        let mut context_namespace = None;
        let (mut config, context) = match kubeconfig::read(self.kubeconfig.as_deref())? {
            Some(kubeconfig) => {
                let context = kubeconfig::context(&kubeconfig, self.context.as_deref())?;
                kubeconfig::check_parts(
                    &kubeconfig,
                    &context,
                    self.cluster.as_deref(),
                    self.user.as_deref(),
                )?;
                context_namespace = kubeconfig::namespace(&kubeconfig, &context);
                let options = KubeConfigOptions {
                    context: Some(context.clone()),
                    cluster: self.cluster.clone(),
                    user: self.user.clone(),
                };
                let config = Config::from_custom_kubeconfig(kubeconfig, &options)
                    .await
                    .map_err(|error| kubeconfig::unusable(&error).hint(kubeconfig::HINT))?;
                (config, context)
            }
            None => {
                if let Some(server) = &self.server {
                    (Config::new(address(server)?), "none".into())
                } else {
                    let config = Config::incluster().map_err(|_| kubeconfig::missing())?;
                    context_namespace = Some(config.default_namespace.clone());
                    (config, "in-cluster".into())
                }
            }
        };
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        // A user waits: say at once that the server is busy or gone.
        config.default_retry = false;
        self.override_user(&mut config)?;
        self.override_server(&mut config)?;
        // Compressing takes the server longer than sending within one machine.
        config.disable_compression |= is_loopback(config.cluster_url.host());
        let server = config.cluster_url.to_string();
        let endpoint = Endpoint {
            context,
            server: server.trim_end_matches('/').to_owned(),
        };
        let timeout = match self.request_timeout {
            None => Some(DEFAULT_TIMEOUT),
            Some(Duration::ZERO) => None,
            set => set,
        };
        let client =
            Client::try_from(config).map_err(|error| failure::of_client(error, &endpoint))?;
        Ok(Connection {
            client,
            endpoint,
            context_namespace,
            timeout,
        })
    }

    /// Who asks, where flags say otherwise than the kubeconfig.
    fn override_user(&self, config: &mut Config) -> Result<(), CommandError> {
        let auth = &mut config.auth_info;
        if let Some(user) = &self.impersonate {
            auth.impersonate = Some(user.clone());
        }
        if !self.impersonate_groups.is_empty() {
            auth.impersonate_groups = Some(self.impersonate_groups.clone());
        }
        if let Some(uid) = &self.impersonate_uid {
            auth.impersonate_uid = Some(uid.clone());
        }
        if auth.impersonate.is_none()
            && (auth.impersonate_groups.is_some() || auth.impersonate_uid.is_some())
        {
            return Err(CommandError::new(
                CommandErrorKind::Usage,
                "--as-group and --as-uid need --as USER",
            ));
        }
        match (&self.client_certificate, &self.client_key) {
            (None, None) => {}
            (Some(certificate), Some(key)) => {
                auth.client_certificate = Some(readable(certificate)?);
                auth.client_certificate_data = None;
                auth.client_key = Some(readable(key)?);
                auth.client_key_data = None;
            }
            _ => {
                return Err(CommandError::new(
                    CommandErrorKind::Usage,
                    "--client-certificate and --client-key need each other",
                ));
            }
        }
        Ok(())
    }

    /// Who is asked, where flags say otherwise than the kubeconfig.
    fn override_server(&self, config: &mut Config) -> Result<(), CommandError> {
        if let Some(server) = &self.server {
            config.cluster_url = address(server)?;
        }
        if let Some(name) = &self.tls_server_name {
            config.tls_server_name = Some(name.clone());
        }
        if let Some(authority) = &self.certificate_authority {
            readable(authority)?;
            config.root_cert = None;
            config.root_cert_file = Some(authority.clone());
        }
        if self.insecure_skip_tls_verify {
            if self.certificate_authority.is_some() {
                return Err(CommandError::new(
                    CommandErrorKind::Usage,
                    "--certificate-authority and --insecure-skip-tls-verify exclude each other",
                ));
            }
            config.accept_invalid_certs = true;
        }
        Ok(())
    }
}

/// A namespace as it may stand in an address.
fn parse_namespace(text: &str) -> Result<String, String> {
    if text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Ok(text.to_owned());
    }
    Err("a namespace's name has lower case letters, digits and '-'".to_owned())
}

fn address<A: std::str::FromStr>(server: &str) -> Result<A, CommandError> {
    let full = if server.contains("://") {
        server.to_owned()
    } else {
        format!("https://{server}")
    };
    full.parse().map_err(|_| {
        CommandError::new(
            CommandErrorKind::Usage,
            format!("--server {server:?} is no address; example: https://10.0.0.1:6443"),
        )
    })
}

/// The path of a file that can be read, as the client wants it.
fn readable(path: &Path) -> Result<String, CommandError> {
    std::fs::File::open(path).map_err(|error| {
        CommandError::new(
            CommandErrorKind::Io,
            format!("{}: cannot be read: {error}", path.display()),
        )
    })?;
    path.to_str().map(str::to_owned).ok_or_else(|| {
        CommandError::new(
            CommandErrorKind::Usage,
            format!("{}: the path is not UTF-8", path.display()),
        )
    })
}

/// Whether a server is on this machine.
fn is_loopback(host: Option<&str>) -> bool {
    let host = host.unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// kubectl's durations: `0`, seconds, or a number with a unit, such as `1m30s`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    gitops_core::duration::parse(text)
        .map_err(|_| format!("{text:?} is not a duration; examples: 10s, 2m, 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_kubectl_reads_them() {
        let table = [
            ("0", Some(0)),
            ("15", Some(15_000)),
            ("250ms", Some(250)),
            ("1m30s", Some(90_000)),
            ("2h", Some(7_200_000)),
            ("s", None),
            ("5x", None),
            ("-1s", None),
            ("é", None),
            ("99999999999s", None),
        ];
        for (text, expected) in table {
            let found = parse_duration(text)
                .ok()
                .map(|duration| duration.as_millis());
            assert_eq!(found, expected, "{text}");
        }
    }
}
