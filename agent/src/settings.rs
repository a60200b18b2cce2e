//! argocd-cm and argocd-cmd-params-cm as they are now, with the health rules in them compiled. What
//! their keys mean is decided in core; this module only passes on the latest reading.

use std::sync::Arc;

use gitops_api::constants::config_map;
use gitops_core::applicationset::Parameters as ApplicationSetParameters;
use gitops_core::settings::{Interval, Settings};
use gitops_core::sync::time_limit;
use gitops_customizations::Customizations;
use k8s_openapi::api::core::v1::ConfigMap;
use tokio::sync::watch;

/// The settings of the installation, for everyone who needs them.
#[derive(Clone, Debug)]
pub(crate) struct CurrentSettings {
    settings: watch::Receiver<Arc<Settings>>,
    rules: watch::Receiver<Arc<Customizations>>,
    sync_timeout: watch::Receiver<Interval>,
    application_sets: watch::Receiver<Arc<ApplicationSetParameters>>,
    paused: watch::Receiver<Option<Arc<str>>>,
}

impl CurrentSettings {
    /// Defaults, until argocd-cm is read.
    pub(crate) fn new() -> (SettingsReader, Self) {
        let (settings_sender, settings) = watch::channel(Arc::default());
        let (rules_sender, rules) = watch::channel(Arc::default());
        let (sync_timeout_sender, sync_timeout) = watch::channel(Interval::Unset);
        let (application_sets_sender, application_sets) = watch::channel(Arc::default());
        let (paused_sender, paused) = watch::channel(None);
        let reader = SettingsReader {
            paused: paused_sender,
            application_sets: application_sets_sender,
            settings: settings_sender,
            rules: rules_sender,
            sync_timeout: sync_timeout_sender,
        };
        let current = Self {
            settings,
            rules,
            sync_timeout,
            application_sets,
            paused,
        };
        (reader, current)
    }

    /// The settings now.
    pub(crate) fn get(&self) -> Arc<Settings> {
        self.settings.borrow().clone()
    }

    /// Users' own health rules now. New ones are there before the settings they come with.
    pub(crate) fn rules(&self) -> Arc<Customizations> {
        self.rules.borrow().clone()
    }

    /// The longest time one sync may take, as argocd-cmd-params-cm says.
    pub(crate) fn sync_timeout(&self) -> Interval {
        *self.sync_timeout.borrow()
    }

    /// What argocd-cmd-params-cm says about ApplicationSets.
    pub(crate) fn application_sets(&self) -> Arc<ApplicationSetParameters> {
        self.application_sets.borrow().clone()
    }

    /// What is said of a pause of all Applications.
    pub(crate) fn paused(&self) -> Option<Arc<str>> {
        self.paused.borrow().clone()
    }

    /// Waits for other settings; `None` when there will be none any more.
    pub(crate) async fn changed(&mut self) -> Option<Arc<Settings>> {
        self.settings.changed().await.ok()?;
        Some(self.settings.borrow_and_update().clone())
    }
}

#[cfg(test)]
impl Default for CurrentSettings {
    fn default() -> Self {
        Self::new().1
    }
}

/// Where settings come from.
pub(crate) struct SettingsReader {
    settings: watch::Sender<Arc<Settings>>,
    rules: watch::Sender<Arc<Customizations>>,
    sync_timeout: watch::Sender<Interval>,
    application_sets: watch::Sender<Arc<ApplicationSetParameters>>,
    paused: watch::Sender<Option<Arc<str>>>,
}

impl SettingsReader {
    /// What it reads, for others.
    pub(crate) fn current(&self) -> CurrentSettings {
        CurrentSettings {
            settings: self.settings.subscribe(),
            rules: self.rules.subscribe(),
            sync_timeout: self.sync_timeout.subscribe(),
            application_sets: self.application_sets.subscribe(),
            paused: self.paused.subscribe(),
        }
    }

    /// Reads argocd-cm; without one the defaults are in force. Says what it could not read, and
    /// whether anything changed.
    pub(crate) fn read(&self, config_map: Option<&ConfigMap>) -> bool {
        let data = config_map.and_then(|map| map.data.clone());
        let (settings, warnings) = Settings::read(&data.unwrap_or_default());
        if self.settings.borrow().customizations != settings.customizations {
            let (rules, warnings) = Customizations::new(&settings.customizations);
            self.rules.send_replace(Arc::new(rules));
            for warning in warnings {
                tracing::warn!(%warning, "a health rule has a fault");
            }
        }
        let changed = self.settings.send_if_modified(|current| {
            let differs = **current != settings;
            if differs {
                *current = Arc::new(settings);
            }
            differs
        });
        if changed {
            tracing::info!("the settings in argocd-cm changed");
        }
        for warning in warnings {
            tracing::warn!(%warning, "a setting is ignored");
        }
        changed
    }

    /// Reads whether all Applications are paused; says whether anything changed.
    pub(crate) fn read_pause(&self, config_map: Option<&ConfigMap>) -> bool {
        let text = config_map.and_then(|map| map.data.as_ref()?.get(config_map::PAUSED_KEY));
        let paused: Option<Arc<str>> = text.map(|text| text.as_str().into());
        self.paused.send_if_modified(|current| {
            let differs = *current != paused;
            if differs {
                tracing::info!(
                    paused = paused.as_deref(),
                    "what is said of a pause of all applications"
                );
            }
            *current = paused;
            differs
        })
    }

    /// Reads argocd-cmd-params-cm; without one the agent's own limits are in force. Says whether
    /// anything changed.
    pub(crate) fn read_parameters(&self, config_map: Option<&ConfigMap>) -> bool {
        let text = config_map.and_then(|map| map.data.as_ref()?.get(time_limit::KEY));
        let limit = match text.map(|text| time_limit::read(text)) {
            Some(Ok(Some(limit))) => Interval::Every(limit),
            Some(Ok(None)) => Interval::Never,
            Some(Err(error)) => {
                tracing::warn!(%error, "invalid parameter, the agent's own limit is used");
                Interval::Unset
            }
            None => Interval::Unset,
        };
        let data = config_map.and_then(|map| map.data.clone());
        let sets = Arc::new(ApplicationSetParameters::read(&data.unwrap_or_default()));
        let sets_changed = self.application_sets.send_if_modified(|current| {
            let differs = *current != sets;
            if differs {
                *current = sets;
            }
            differs
        });
        let limit_changed = self
            .sync_timeout
            .send_if_modified(|current| std::mem::replace(current, limit) != limit);
        sets_changed || limit_changed
    }
}
