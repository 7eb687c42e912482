//! The certificates: read from their files, chosen by the name that a client asks for, read again when a file changes.
//!
//! What cannot be read leaves what was read before in force: a renewal that went wrong must not end TLS while the old certificate is good.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use config::{CertificateFiles, MinimumVersion, Stamp, Tls};
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};

/// A file with certificates or a key that is larger is something else.
const FILE_OCTETS_MAX: u64 = 1 << 20;

/// Chooses the certificate that is for the name; the first one for all others.
#[derive(Debug)]
struct ByName {
    certificates: Vec<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fits = |certificate: &&Arc<CertifiedKey>| {
            let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
            name.is_some_and(|name| is_for(certificate, &name))
        };
        self.certificates.iter().find(fits).or(self.certificates.first()).cloned()
    }
}

fn is_for(certificate: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let parsed = certificate.cert.first().and_then(|first| ParsedCertificate::try_from(first).ok());
    parsed.is_some_and(|parsed| verify_server_name(&parsed, name).is_ok())
}

/// Reads everything that `[tls]` names.
///
/// # Errors
/// What is wrong, with the file's name.
pub(crate) fn load(settings: &Tls) -> Result<Arc<ServerConfig>, String> {
    let certificates: Vec<_> = settings.certificates().map(|files| read(&files)).collect::<Result<_, _>>()?;
    if certificates.is_empty() {
        return Err("[tls] certificate is not set".to_owned());
    }
    let versions = match settings.minimum {
        MinimumVersion::Tls12 => &[&version::TLS13, &version::TLS12][..],
        MinimumVersion::Tls13 => &[&version::TLS13][..],
    };
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ByName { certificates }));
    // Who comes back saves a round trip and a signature; the tickets' keys change by themselves and are in no file.
    config.ticketer = ring::Ticketer::new().map_err(|error| error.to_string())?;
    Ok(Arc::new(config))
}

fn read(files: &CertificateFiles) -> Result<Arc<CertifiedKey>, String> {
    let certificate = &files.certificate;
    let chain = CertificateDer::pem_slice_iter(&octets(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("{}: {error:?}", certificate.display()))?;
    if chain.is_empty() {
        return Err(format!("{}: there is no certificate in it", certificate.display()));
    }
    let key = PrivateKeyDer::from_pem_slice(&octets(&files.key)?)
        .map_err(|error| format!("{}: there is no key in it: {error:?}", files.key.display()))?;
    let key =
        ring::sign::any_supported_type(&key).map_err(|error| format!("{}: {error}", files.key.display()))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // Some kinds of keys cannot be asked.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(_) => {
            let key = files.key.display();
            return Err(format!("{key}: the key is not that of {}", certificate.display()));
        }
    }
    Ok(Arc::new(certified))
}

fn octets(path: &Path) -> Result<Vec<u8>, String> {
    let fault = |error: std::io::Error| {
        let who = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).ok().flatten();
        let who = who.map_or_else(|| "the daemons' user".to_owned(), |user| user.name);
        format!("{}: {error} (it must be readable by {who})", path.display())
    };
    if fs::metadata(path).map_err(fault)?.len() > FILE_OCTETS_MAX {
        return Err(format!("{}: larger than a certificate or a key", path.display()));
    }
    fs::read(path).map_err(fault)
}

/// How the files are now: another value when one of them changed, came or went.
pub(crate) fn stamps(settings: &Tls) -> Vec<Option<Stamp>> {
    let stamp = |path: &Path| fs::metadata(path).ok().map(|facts| Stamp::of(&facts));
    settings.certificates().flat_map(|files| [stamp(&files.certificate), stamp(&files.key)]).collect()
}
