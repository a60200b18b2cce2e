//! Asking, where the installation lets a set ask.

use std::sync::Arc;

use super::super::error::Problem;
use super::super::generators::Context;
use super::super::need::{Answer, Need, Outcome, Stop};
use super::account::Account;
use super::listing::{Listing, Question};

impl Context<'_> {
    /// Asks a forge.
    pub(super) fn ask_forge(
        &self,
        path: &str,
        account: &Arc<Account>,
        question: Question,
    ) -> Outcome<&Listing> {
        let need = Need::Forge {
            account: Arc::clone(account),
            question,
        };
        let answer = self.asker.ask(need, |why| Problem::parameters(path, why))?;
        match answer {
            Answer::Forge(listing) => Ok(listing),
            _ => Err(Stop::Waits),
        }
    }

    /// Whether the installation lets the set ask this forge.
    pub(super) fn may_ask(&self, path: &str, account: &Account) -> Result<(), Problem> {
        let forges = &self.environment.forges;
        if forges.disabled {
            return Err(Problem::parameters(
                path,
                "argocd-cmd-params-cm switches forges off for sets \
                 (applicationsetcontroller.enable.scm.providers)",
            ));
        }
        if account.api.is_empty() || forges.allowed.is_empty() {
            return Ok(());
        }
        if forges.allowed.contains(&account.api) {
            return Ok(());
        }
        Err(Problem::parameters(
            path,
            format!(
                "the forge {} is not allowed; argocd-cmd-params-cm allows {} \
                 (applicationsetcontroller.allowed.scm.providers)",
                account.api,
                forges.allowed.join(", ")
            ),
        ))
    }
}
