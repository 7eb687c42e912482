//! `[tls]`: the certificates, and what is spoken.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[tls]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The certificate and those that vouch for it, PEM; empty if there is no TLS. For clients that name no host, and for names that no other is for.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// The least version that is spoken.
    pub minimum: MinimumVersion,
    /// Certificates for further names.
    pub more: Vec<CertificateFiles>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// The certificate and those that vouch for it, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

/// The least version of TLS that is spoken. Older ones are not to be had (RFC 8996).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MinimumVersion {
    /// TLS 1.2
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3
    #[serde(rename = "1.3")]
    Tls13,
}

impl Tls {
    /// Whether TLS is spoken at all.
    pub fn is_on(&self) -> bool {
        !self.certificate.as_os_str().is_empty()
    }

    /// All certificates, the one for everybody first.
    pub fn certificates(&self) -> impl Iterator<Item = CertificateFiles> {
        let first = CertificateFiles { certificate: self.certificate.clone(), key: self.key.clone() };
        self.is_on().then_some(first).into_iter().chain(self.more.clone())
    }

    /// Options and their paths, for a look at each; empty ones left out.
    pub(super) fn paths(&self) -> Vec<(&'static str, &PathBuf)> {
        let first = [("[tls] certificate", &self.certificate), ("[tls] key", &self.key)];
        let more = self.more.iter().flat_map(|each| {
            [("[[tls.more]] certificate", &each.certificate), ("[[tls.more]] key", &each.key)]
        });
        first.into_iter().filter(|(_, path)| !path.as_os_str().is_empty()).chain(more).collect()
    }
}
