//! argocd-cm as it is now. What its keys mean is decided in core; this module only parses the YAML
//! in them and passes on the latest reading.

use std::sync::Arc;

use gitops_core::settings::Settings;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::Value;
use tokio::sync::watch;

/// The settings of the installation, for everyone who needs them.
#[derive(Clone, Debug)]
pub(crate) struct CurrentSettings(watch::Receiver<Arc<Settings>>);

impl CurrentSettings {
    /// Defaults, until argocd-cm is read.
    pub(crate) fn new() -> (SettingsReader, Self) {
        let (sender, receiver) = watch::channel(Arc::default());
        (SettingsReader(sender), Self(receiver))
    }

    /// The settings now.
    pub(crate) fn get(&self) -> Arc<Settings> {
        self.0.borrow().clone()
    }

    /// Waits for other settings; `None` when there will be none any more.
    pub(crate) async fn changed(&mut self) -> Option<Arc<Settings>> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().clone())
    }
}

#[cfg(test)]
impl Default for CurrentSettings {
    fn default() -> Self {
        Self::new().1
    }
}

/// Where settings come from.
pub(crate) struct SettingsReader(watch::Sender<Arc<Settings>>);

impl SettingsReader {
    /// Reads argocd-cm; without one the defaults are in force. Says what it could not read, and
    /// whether anything changed.
    pub(crate) fn read(&self, config_map: Option<&ConfigMap>) -> bool {
        let data = config_map.and_then(|map| map.data.clone());
        let (settings, warnings) = Settings::read(&data.unwrap_or_default(), parse);
        let changed = self.0.send_if_modified(|current| {
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
}

/// Reads a YAML value the way Kubernetes does.
fn parse(text: &str) -> Result<Value, String> {
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        legacy_octal_numbers: true,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
}
