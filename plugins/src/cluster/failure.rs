//! What a failed request means, in words, with what to do next.

use std::error::Error as _;
use std::time::Duration;

use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::text;
use kube::Error;
use kube::client::AuthError;
use kube::core::Status;

use crate::cluster::endpoint::Endpoint;

/// A request failed. `what` completes "cannot …".
pub fn of(error: Error, what: &str, endpoint: &Endpoint) -> CommandError {
    let failed = match &error {
        Error::Api(status) => refused(status, what, endpoint),
        Error::SerdeError(error) => CommandError::new(
            CommandErrorKind::Server,
            format!(
                "cannot {what}: the answer of {} is not understood: {error}",
                endpoint.server
            ),
        ),
        other => no_answer(other, endpoint),
    };
    failed.caused_by(error)
}

/// The server does not know the kind: it is answered by the server's router, not by an API.
pub fn is_unknown_kind(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 404 && not_of_an_api(status))
}

fn not_of_an_api(status: &Status) -> bool {
    status.details.is_none() || status.message.contains("page not found")
}

/// Asking again does not help: the answer is about who asks, or for what.
pub fn is_final(error: &Error) -> bool {
    match error {
        Error::Api(status) => matches!(status.code, 400 | 401 | 403 | 404 | 405 | 422),
        other => auth_error(other).is_some(),
    }
}

/// No connection, or no credentials.
pub fn of_client(error: Error, endpoint: &Endpoint) -> CommandError {
    no_answer(&error, endpoint).caused_by(error)
}

fn no_answer(error: &Error, endpoint: &Endpoint) -> CommandError {
    let Endpoint { context, server } = endpoint;
    if let Some(auth) = auth_error(error) {
        return credentials(auth, context);
    }
    let cause = text::one_line(&root_cause(error));
    let failed = CommandError::new(
        CommandErrorKind::Connection,
        format!("cannot reach the cluster of context {context:?} at {server}: {cause}"),
    );
    if cause.contains("certificate") {
        failed.hint("the kubeconfig's certificate authority is not the server's: compare them, or fetch the kubeconfig again")
    } else {
        failed.hint("is the cluster up, and the right one? choose another with --context (kubectl config get-contexts)")
    }
}

/// No answer in time.
pub fn timed_out(timeout: Duration, endpoint: &Endpoint) -> CommandError {
    CommandError::new(
        CommandErrorKind::Connection,
        format!(
            "the cluster of context {:?} at {} did not answer within {}s",
            endpoint.context,
            endpoint.server,
            timeout.as_secs_f32()
        ),
    )
    .hint("is the cluster up, and the right one? wait longer with --request-timeout")
}

fn refused(status: &Status, what: &str, endpoint: &Endpoint) -> CommandError {
    let message = text::one_line(&status.message);
    match status.code {
        401 => CommandError::new(
            CommandErrorKind::Forbidden,
            format!(
                "the cluster of context {:?} does not accept your credentials: {message}",
                endpoint.context
            ),
        )
        .hint("log in again, or choose another user with --user or --context"),
        403 => CommandError::new(
            CommandErrorKind::Forbidden,
            format!("you may not {what}: {message}"),
        )
        .hint("impersonate another user with --as; a cluster administrator can grant it"),
        404 if not_of_an_api(status) => CommandError::new(
            CommandErrorKind::Server,
            format!(
                "cannot {what}: the Application CRD is not installed in the cluster of context {:?}",
                endpoint.context
            ),
        )
        .hint(
            "is it the right cluster? the CRDs come with the agent: manifests/install.yaml",
        ),
        400 => CommandError::new(CommandErrorKind::Usage, format!("cannot {what}: {message}")),
        code => {
            let kind = if code == 409 {
                CommandErrorKind::Conflict
            } else {
                CommandErrorKind::Server
            };
            CommandError::new(kind, format!("cannot {what}: {message} ({code})"))
        }
    }
}

fn credentials(error: &AuthError, context: &str) -> CommandError {
    // The output and the arguments of a credentials program may hold secrets: only its errors are
    // shown.
    let why = match error {
        AuthError::AuthExecRun { out, .. } => {
            let said = text::one_line(&String::from_utf8_lossy(&out.stderr));
            let said = if said.is_empty() {
                String::new()
            } else {
                format!(": {said}")
            };
            format!("the credentials program failed with {}{said}", out.status)
        }
        AuthError::AuthExecStart(error) => {
            format!("the credentials program cannot be started: {error}")
        }
        AuthError::AuthExecParse(_) => {
            "the answer of the credentials program is not understood".into()
        }
        other => other.to_string(),
    };
    CommandError::new(
        CommandErrorKind::Forbidden,
        format!("there are no credentials for context {context:?}: {why}"),
    )
    .hint("log in again, or choose another user with --user or --context")
}

fn auth_error(error: &Error) -> Option<&AuthError> {
    if let Error::Auth(auth) = error {
        return Some(auth);
    }
    let mut cause = error.source();
    while let Some(current) = cause {
        if let Some(auth) = current.downcast_ref::<AuthError>() {
            return Some(auth);
        }
        if let Some(Error::Auth(auth)) = current.downcast_ref::<Error>() {
            return Some(auth);
        }
        cause = current.source();
    }
    None
}

/// The innermost cause says most: "connection refused", not "client error".
fn root_cause(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
