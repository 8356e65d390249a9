//! Trust in a server's certificate: pinned by SHA-256, by an authority of the admin's own, or by the platform; and how to
//! look at one before trusting it. Knows no other crate of the workspace; the clients of vCenter and SQL Server use it.
//!
//! Most vCenters and SQL Servers have certificates that no desktop knows. The admin compares a fingerprint once, and from
//! then on exactly this certificate is accepted. The signature of the handshake is verified in every case: a pin alone
//! would accept anybody who copied the certificate without its key.
//!
//! Begin with [`Trust`] and [`Verifier`].

use jiff::Timestamp;
use rustls::client::{
    WebPkiServerVerifier,
    danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use rustls::{CertificateError, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, PoisonError};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName};

/// A server's certificate as an admin compares it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Certificate {
    /// Upper-case hex with colons, of the DER; this one is stored as the pin.
    pub sha256: String,
    /// The form that VMware's own tools show.
    pub sha1: String,
    pub subject: String,
    /// Host names and addresses that it is for.
    pub names: Vec<String>,
    pub issuer: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// True when this computer trusts it without a pin.
    pub trusted: bool,
}

impl Certificate {
    fn read(der: &[u8], trusted: bool) -> Option<Certificate> {
        let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
        let time = |t: x509_parser::time::ASN1Time| Timestamp::from_second(t.timestamp()).ok();
        Some(Certificate {
            sha256: colons(&Sha256::digest(der)),
            sha1: colons(&sha1::Sha1::digest(der)),
            subject: parsed.subject().to_string(),
            names: names(&parsed),
            issuer: parsed.issuer().to_string(),
            not_before: time(parsed.validity().not_before)?,
            not_after: time(parsed.validity().not_after)?,
            trusted,
        })
    }
}

/// Subject alternative names: what a certificate is for since its common name no longer counts.
fn names(certificate: &X509Certificate) -> Vec<String> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let all = extension.map(|e| e.value.general_names.as_slice()).unwrap_or_default();
    let one = |name: &GeneralName| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(four) => Some(std::net::Ipv4Addr::from(four).to_string()),
            Err(_) => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|six| std::net::Ipv6Addr::from(six).to_string()),
        },
        _ => None,
    };
    all.iter().filter_map(one).collect()
}

fn colons(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(":")
}

/// Whom to trust.
#[derive(Debug, Clone, PartialEq)]
pub enum Trust {
    /// The certificate with this SHA-256.
    Pin([u8; 32]),
    /// The one with this SHA-1: some versions of vCenter name their hosts' certificates so. Nobody can make another
    /// certificate for a given SHA-1; what was broken is making two of the same.
    Sha1Pin([u8; 20]),
    /// Who has a certificate of these authorities, for the name that was asked for.
    Authorities(Vec<CertificateDer<'static>>),
    /// What this computer trusts.
    Platform,
    /// Nobody: the handshake ends after the certificate was seen.
    Look,
}

impl Trust {
    /// Reads a thumbprint that a server gives of another; none when it is neither SHA-256 nor SHA-1.
    pub fn from_thumbprint(thumbprint: &str) -> Option<Trust> {
        let bytes = hex::decode(digits(thumbprint)).ok()?;
        let sha1 = || <[u8; 20]>::try_from(bytes.as_slice()).ok().map(Trust::Sha1Pin);
        <[u8; 32]>::try_from(bytes.as_slice())
            .ok()
            .map(Trust::Pin)
            .or_else(sha1)
    }

    /// Reads the admin's pin; empty means the platform's trust. Colons, spaces and case don't matter.
    ///
    /// # Errors
    /// In words, when it is no SHA-256.
    pub fn from_pin(pin: &str) -> Result<Trust, String> {
        let digits = digits(pin);
        if digits.is_empty() {
            return Ok(Trust::Platform);
        }
        hex::decode(&digits)
            .ok()
            .and_then(|b| b.try_into().ok())
            .map(Trust::Pin)
            .ok_or_else(|| {
                format!(
                    "The thumbprint {pin} is not a SHA-256: 64 hexadecimal digits are needed, this has {}.",
                    digits.len()
                )
            })
    }

    /// Reads authorities from PEM.
    ///
    /// # Errors
    /// In words, when there is no certificate in it.
    pub fn from_pem(pem: &str) -> Result<Trust, String> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        match read {
            Ok(all) if !all.is_empty() => Ok(Trust::Authorities(all)),
            Ok(_) => Err("The certificate authority holds no certificate. PEM is needed: a text that begins with -----BEGIN CERTIFICATE-----.".into()),
            Err(e) => Err(format!("The certificate authority can't be read as PEM: {e}.")),
        }
    }
}

fn digits(thumbprint: &str) -> String {
    thumbprint.chars().filter(|c| !matches!(c, ':' | ' ' | '-')).collect()
}

/// Decides on certificates, and keeps the last one it refused, for the error message.
#[derive(Debug)]
pub struct Verifier {
    trust: Trust,
    /// Name of a proxy on the way, for which the pin is not meant.
    proxy: Option<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
    refused: Mutex<Option<Certificate>>,
}

impl Verifier {
    /// `proxy` names one that speaks TLS itself.
    pub fn new(trust: Trust, proxy: Option<&str>) -> Arc<Verifier> {
        Arc::new(Verifier {
            trust,
            proxy: proxy.and_then(|p| ServerName::try_from(p.to_owned()).ok()),
            provider: Arc::new(aws_lc_rs::default_provider()),
            refused: Mutex::new(None),
        })
    }

    /// The certificate that was refused last.
    pub fn refused(&self) -> Option<Certificate> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The pin, as it is shown.
    pub fn pin(&self) -> Option<String> {
        match &self.trust {
            Trust::Pin(pin) => Some(colons(pin)),
            Trust::Sha1Pin(pin) => Some(colons(pin)),
            _ => None,
        }
    }

    /// A verifier of these authorities alone.
    fn of(&self, authorities: &[CertificateDer<'static>]) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
        let mut roots = RootCertStore::empty();
        for one in authorities {
            roots.add(one.clone())?;
        }
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|e| TlsError::General(e.to_string()))
    }

    /// A TLS configuration that asks this verifier.
    ///
    /// # Errors
    /// When the provider has no cipher for these versions.
    pub fn config(
        self: &Arc<Self>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Result<rustls::ClientConfig, TlsError> {
        let config = rustls::ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(versions)?
            .dangerous()
            .with_custom_certificate_verifier(self.clone())
            .with_no_client_auth();
        Ok(config)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        // Loading the platform's roots takes a while: a pinned certificate does without.
        let platform = || {
            rustls_platform_verifier::Verifier::new(self.provider.clone())?.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            )
        };
        if self.proxy.as_ref() == Some(server_name) {
            return platform();
        }
        let refusal = TlsError::from(CertificateError::ApplicationVerificationFailure);
        let (verdict, trusted) = match &self.trust {
            Trust::Pin(pin) if Sha256::digest(end_entity)[..] == pin[..] => return Ok(ServerCertVerified::assertion()),
            Trust::Sha1Pin(pin) if sha1::Sha1::digest(end_entity)[..] == pin[..] => {
                return Ok(ServerCertVerified::assertion());
            }
            Trust::Authorities(all) => {
                let verdict = self
                    .of(all)
                    .and_then(|v| v.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now));
                (verdict, platform().is_ok())
            }
            Trust::Platform => {
                let verdict = platform();
                let trusted = verdict.is_ok();
                (verdict, trusted)
            }
            Trust::Pin(_) | Trust::Sha1Pin(_) | Trust::Look => (Err(refusal), platform().is_ok()),
        };
        if verdict.is_err() {
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Certificate::read(end_entity, trusted);
        }
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
