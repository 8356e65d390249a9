//! How to look at a vCenter's certificate before trusting it.

use crate::error::VsphereError;
use crate::soap::{Endpoint, failure};
use plan::design::VCenterConnection;
use secrets::Secret;
pub use trust::Certificate;
use trust::Trust;

/// Reads the certificate that a connection's server presents, without trusting it and without sending anything but the TLS
/// hello.
///
/// # Errors
/// [`VsphereError::Unreachable`], [`VsphereError::OldTls`], or [`VsphereError::Config`] for an address that is none.
pub async fn probe(
    connection: &VCenterConnection,
    proxy_password: Option<&Secret<String>>,
) -> Result<Certificate, VsphereError> {
    let endpoint = Endpoint::of(connection, proxy_password)?;
    let verifier = endpoint.verifier(Trust::Look);
    let http = endpoint.client(&verifier)?;
    let outcome = http.get(endpoint.url.clone()).send().await;
    match (verifier.refused(), outcome) {
        (Some(certificate), _) => Ok(certificate),
        (None, Err(e)) => Err(failure(&endpoint, &verifier, "the TLS handshake", &e).await),
        (None, Ok(_)) => Err(VsphereError::Parse {
            server: endpoint.server,
            method: "the TLS handshake".into(),
            detail: "the certificate is not a valid X.509 certificate".into(),
        }),
    }
}
