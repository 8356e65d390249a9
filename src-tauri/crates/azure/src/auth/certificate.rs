//! The certificate with which an application signs in: read from PEM or PFX, kept as PEM in the secret store, and used to
//! sign the assertion that stands in for a secret (RFC 7523; Entra: "certificate credentials").
//!
//! Signed with PS256 and named by its SHA-256 thumbprint, as Microsoft's own library does since 2024 (MSAL). Without
//! OpenSSL: aws-lc-rs, which TLS uses already, signs; PFX is read by `p12-keystore`, which is pure Rust.

use crate::AzureError;
use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::KeyPair,
    signature::{KeyPair as _, RSA_PSS_SHA256},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jiff::{SignedDuration, Timestamp};
use p12_keystore::Pkcs12Archive;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use secrets::Secret;
use serde_json::json;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fmt;

/// An assertion's life: one request, with room for clocks that differ.
const LIFE: SignedDuration = SignedDuration::from_mins(10);
/// Clocks may differ so much.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// A certificate and its private key.
pub struct ClientCertificate {
    der: Vec<u8>,
    key: KeyPair,
    subject: String,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

fn wrong(message: impl Into<String>) -> AzureError {
    AzureError::Config {
        field: "client certificate".into(),
        message: message.into(),
    }
}

impl ClientCertificate {
    /// Reads a file: PEM with certificate and unencrypted key, or PFX (PKCS #12) with its password.
    ///
    /// # Errors
    /// Fails when it is neither, when the password is wrong, or when no certificate belongs to an RSA key in it.
    pub fn read(file: &[u8], password: Option<&Secret<String>>) -> Result<Self, AzureError> {
        let (certificates, keys) = if file.windows(11).any(|w| w == b"-----BEGIN ") {
            from_pem(file)?
        } else {
            from_pfx(file, password.map_or("", |p| p.expose()))?
        };
        // The file may hold the whole chain: the one that belongs to the key is meant.
        for key in &keys {
            for der in &certificates {
                let (_, parsed) = x509_parser::parse_x509_certificate(der)
                    .map_err(|_| wrong("a certificate in the file is damaged"))?;
                if parsed.public_key().subject_public_key.data.as_ref() == key.public_key().as_ref() {
                    let time = |t: x509_parser::time::ASN1Time| {
                        Timestamp::from_second(t.timestamp()).map_err(|_| wrong("its validity is no time"))
                    };
                    return Ok(Self {
                        subject: parsed.subject().to_string(),
                        not_before: time(parsed.validity().not_before)?,
                        not_after: time(parsed.validity().not_after)?,
                        der: der.clone(),
                        key: KeyPair::from_pkcs8(pkcs8(key)?.as_ref())
                            .map_err(|_| wrong("its private key is damaged"))?,
                    });
                }
            }
        }
        Err(wrong(match (certificates.is_empty(), keys.is_empty()) {
            (true, _) => "the file holds no certificate",
            (_, true) => "the file holds no private key; export it together with its key",
            _ => "no certificate in the file belongs to its private key",
        }))
    }

    /// The certificate and its key as PEM, for the secret store.
    ///
    /// # Errors
    /// Never fails for a key that was read.
    pub fn to_pem(&self) -> Result<Secret<String>, AzureError> {
        let pkcs8 = pkcs8(&self.key)?;
        Ok(Secret::new(format!(
            "{}{}",
            pem("CERTIFICATE", &self.der),
            pem("PRIVATE KEY", pkcs8.as_ref())
        )))
    }

    /// Whose it is.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// SHA-1 in upper-case hex, as the portal shows it.
    pub fn thumbprint(&self) -> String {
        Sha1::digest(&self.der).iter().map(|b| format!("{b:02X}")).collect()
    }

    /// The end of its validity.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Signs that the application is who it says it is, for one token request.
    ///
    /// # Errors
    /// Fails when the certificate is not valid at that time.
    pub(super) fn assertion(&self, client: &str, audience: &str, now: Timestamp) -> Result<Secret<String>, AzureError> {
        if now >= self.not_after {
            let message = format!("the certificate {} ended on {}", self.subject, self.not_after);
            return Err(super::token_error("ClientCertificateExpired", message));
        }
        if now < self.not_before {
            let message = format!("the certificate {} begins on {}", self.subject, self.not_before);
            return Err(super::token_error("ClientCertificateNotYetValid", message));
        }
        let at = |d: SignedDuration| now.saturating_add(d).unwrap_or(now).as_second();
        let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let head = part(json!({
            "alg": "PS256", "typ": "JWT", "x5t#S256": URL_SAFE_NO_PAD.encode(Sha256::digest(&self.der)),
        }));
        let claims = part(json!({
            "aud": audience, "iss": client, "sub": client, "jti": uuid::Uuid::new_v4().to_string(),
            "iat": at(SignedDuration::ZERO), "nbf": at(-SKEW), "exp": at(LIFE),
        }));
        let text = format!("{head}.{claims}");
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PSS_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|_| wrong("its private key can't sign"))?;
        Ok(Secret::new(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

type Contents = (Vec<Vec<u8>>, Vec<KeyPair>);

fn from_pem(file: &[u8]) -> Result<Contents, AzureError> {
    let certificates = CertificateDer::pem_slice_iter(file)
        .map(|c| c.map(|c| c.to_vec()).map_err(|_| wrong("the PEM text is damaged")))
        .collect::<Result<_, _>>()?;
    let mut keys = Vec::new();
    for key in PrivateKeyDer::pem_slice_iter(file) {
        let key = match key.map_err(|_| wrong("the PEM text is damaged"))? {
            PrivateKeyDer::Pkcs8(key) => KeyPair::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => KeyPair::from_der(key.secret_pkcs1_der()),
            _ => return Err(not_rsa()),
        };
        keys.push(key.map_err(|_| not_rsa())?);
    }
    let sealed = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    if keys.is_empty() && file.windows(sealed.len()).any(|w| w == sealed) {
        return Err(wrong(
            "its private key is encrypted; choose a PFX file, whose password Rehost asks for, or decrypt it: openssl pkey -in FILE -out NEW_FILE",
        ));
    }
    Ok((certificates, keys))
}

fn from_pfx(file: &[u8], password: &str) -> Result<Contents, AzureError> {
    use p12_keystore::error::Error as E;
    let archive = Pkcs12Archive::from_pkcs12(file, password).map_err(|e| match e {
        E::MacError(_) | E::UnpadError | E::Pkcs5Error(_) => {
            wrong("the file is encrypted with another password; enter the one it was exported with")
        }
        E::UnsupportedEncryptionScheme | E::UnsupportedMacAlgorithm => {
            wrong("the PFX file is encrypted in an unusual way; export it again with AES256-SHA256")
        }
        _ => wrong("the file is neither PEM nor PFX"),
    })?;
    let certificates = archive.certs.iter().map(|c| c.cert.as_der().to_vec()).collect();
    let keys = archive
        .keys
        .iter()
        .map(|k| KeyPair::from_pkcs8(k.key.as_der()).map_err(|_| not_rsa()))
        .collect::<Result<_, _>>()?;
    Ok((certificates, keys))
}

fn not_rsa() -> AzureError {
    wrong("its private key is not RSA with at least 2048 bits, which Entra demands")
}

fn pkcs8(key: &KeyPair) -> Result<aws_lc_rs::encoding::Pkcs8V1Der<'static>, AzureError> {
    key.as_der().map_err(|_| wrong("its private key can't be read"))
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = zeroize::Zeroizing::new(STANDARD.encode(der));
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = next;
    }
    out + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};

    /// Made by OpenSSL; see `tests/data/README.md`.
    const PEM: &[u8] = include_bytes!("../../tests/data/client.pem");
    const MODERN: &[u8] = include_bytes!("../../tests/data/client-aes256.pfx");
    const OLD: &[u8] = include_bytes!("../../tests/data/client-3des.pfx");

    #[test]
    fn pem_and_both_kinds_of_pfx_are_the_same_certificate() {
        let password = Secret::from("Canary-7f3a-pfx");
        let pem = ClientCertificate::read(PEM, None).unwrap();
        for pfx in [MODERN, OLD] {
            let read = ClientCertificate::read(pfx, Some(&password)).unwrap();
            assert_eq!(read.thumbprint(), pem.thumbprint());
            assert!(read.to_pem().unwrap() == pem.to_pem().unwrap());
            for bad in [None, Some(&Secret::from("other"))] {
                let e = ClientCertificate::read(pfx, bad).unwrap_err();
                assert!(
                    e.to_string().contains("password") && !e.to_string().contains("Canary"),
                    "{e}"
                );
            }
        }
        let stored = pem.to_pem().unwrap();
        let again = ClientCertificate::read(stored.expose().as_bytes(), None).unwrap();
        assert_eq!(
            (again.thumbprint(), again.not_after()),
            (pem.thumbprint(), pem.not_after())
        );
        assert_eq!(again.subject(), "CN=rehost-test");
        assert!(!format!("{again:?}").contains("KEY"));
    }

    #[test]
    fn what_is_no_certificate_with_its_key_is_named() {
        let text = std::str::from_utf8(PEM).unwrap();
        let key = text.find("-----BEGIN PRIVATE KEY").unwrap();
        let certificate = text.find("-----BEGIN CERTIFICATE").unwrap();
        let (only_key, only_certificate) = if key < certificate {
            (&text[..certificate], &text[certificate..])
        } else {
            (&text[key..], &text[..key])
        };
        for (file, said) in [
            (only_key, "no certificate"),
            (only_certificate, "no private key"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "no private key",
            ),
            ("", "neither PEM nor PFX"),
            ("x", "neither PEM nor PFX"),
        ] {
            let e = ClientCertificate::read(file.as_bytes(), None).unwrap_err();
            assert!(e.to_string().contains(said), "{e}");
        }
    }

    #[test]
    fn the_assertion_is_signed_and_names_its_certificate() {
        let certificate = ClientCertificate::read(PEM, None).unwrap();
        let now = certificate.not_before + SignedDuration::from_hours(1);
        let jwt = certificate.assertion("client", "https://login/t/token", now).unwrap();
        let (text, signature) = jwt.expose().rsplit_once('.').unwrap();
        let (head, claims) = text.split_once('.').unwrap();
        let json = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        assert_eq!(json(head)["alg"], "PS256");
        assert_eq!(json(claims)["exp"].as_i64().unwrap() - now.as_second(), 600);
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, certificate.key.public_key().as_ref())
            .verify(text.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
            .unwrap();
        let late = certificate.assertion("client", "a", certificate.not_after).unwrap_err();
        assert_eq!(late.code(), "ClientCertificateExpired");
        assert!(certificate.assertion("client", "a", Timestamp::UNIX_EPOCH).is_err());
    }
}
