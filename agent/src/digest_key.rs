//! The key of the installation's digests, in a Secret that only the agent reads.
//!
//! Read once, at start. Deleting the Secret and restarting the agent changes the key, which costs one
//! dry run per object: nothing is applied because of it.

use anyhow::Context;
use gitops_api::constants::secret;
use gitops_core::attempts::Ask;
use gitops_core::manifest::digest::DigestKey;
use gitops_transport::chain;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, Client};
use rustls::crypto::aws_lc_rs;
use serde_json::json;

use crate::patience::patiently;

/// The key of this installation, made when there is none yet. Where it can be neither read nor
/// made, one that lasts until the agent ends: then each start asks about every object once.
pub(crate) async fn read(client: &Client, namespace: &str) -> anyhow::Result<DigestKey> {
    let made = random()?;
    match stored(client, namespace, made).await {
        Ok(bytes) => Ok(DigestKey::new(bytes)),
        Err(error) => {
            tracing::warn!(
                secret = secret::DIGEST_KEY,
                error = format!("{error:#}"),
                "the key of digests is not kept, and every object is compared by a dry run at each \
                 start; let the agent create Secrets in its namespace, or create this one"
            );
            Ok(DigestKey::new(made))
        }
    }
}

/// The key that is stored, which is `made` when none was.
async fn stored(client: &Client, namespace: &str, made: [u8; 32]) -> anyhow::Result<[u8; 32]> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = patiently(Ask::Read, || api.get_opt(secret::DIGEST_KEY));
    if let Some(found) = found.await.context("reading it")? {
        return bytes(&found);
    }
    let mut wanted: Secret = serde_json::from_value(json!({
        "metadata": {
            "name": secret::DIGEST_KEY,
            "labels": {
                "app.kubernetes.io/name": secret::DIGEST_KEY,
                "app.kubernetes.io/part-of": "gitops-agent",
            },
        },
        "type": "Opaque",
        "immutable": true,
    }))?;
    wanted.data = Some(
        [(
            secret::DIGEST_KEY_FIELD.to_owned(),
            ByteString(made.to_vec()),
        )]
        .into(),
    );
    let params = PostParams::default();
    match patiently(Ask::Create, || api.create(&params, &wanted)).await {
        Ok(_) => Ok(made),
        // Another agent was faster.
        Err(kube::Error::Api(error)) if error.code == 409 => {
            bytes(&api.get(secret::DIGEST_KEY).await.context("reading it")?)
        }
        Err(error) => anyhow::bail!("creating it: {}", chain(&error)),
    }
}

fn bytes(found: &Secret) -> anyhow::Result<[u8; 32]> {
    let field = found
        .data
        .as_ref()
        .and_then(|data| data.get(secret::DIGEST_KEY_FIELD));
    field
        .and_then(|field| field.0.as_slice().try_into().ok())
        .with_context(|| format!("its field {} is not 32 bytes", secret::DIGEST_KEY_FIELD))
}

fn random() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| anyhow::anyhow!("this machine has no random numbers"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_32_bytes() {
        let of = |length: usize| {
            let data = [(
                secret::DIGEST_KEY_FIELD.to_owned(),
                ByteString(vec![1; length]),
            )];
            bytes(&Secret {
                data: Some(data.into()),
                ..Secret::default()
            })
        };
        assert_eq!(of(32).unwrap(), [1; 32]);
        for length in [0, 31, 33] {
            let error = of(length).unwrap_err().to_string();
            assert!(error.contains("not 32 bytes"), "{error}");
        }
        assert!(bytes(&Secret::default()).is_err());
        assert_ne!(random().unwrap(), random().unwrap());
    }
}
