//! The certificate that encrypts SmartHotelDB (TDE): a real one with a real key, so that whoever brings it can be told from
//! whoever brings something else. SQL Server gives both; the managed instance takes both as PFX, through the resource manager.
//!
//! The two files were made by OpenSSL, as `sqlserver/tests/data/tde/README.md` tells; they open nothing.

use crate::world::World;
use aws_lc_rs::{rsa::KeyPair, signature::KeyPair as _};
use base64::{Engine, engine::general_purpose::STANDARD};
use p12_keystore::Pkcs12Archive;
use rc4::{KeyInit, Rc4, StreamCipher};
use sha1::{Digest, Sha1};

pub(crate) const NAME: &str = "SmartHotelCert";
pub(super) const DER: &[u8] = include_bytes!("certificate/smarthotel.cer");
/// PVK without a seal.
const KEY: &[u8] = include_bytes!("certificate/smarthotel.pvk");
const SALT: [u8; 16] = *b"salt of this lab";

/// SHA-1, upper-case hex.
pub(crate) fn thumbprint() -> String {
    of(DER)
}

fn of(certificate: &[u8]) -> String {
    hex::encode_upper(Sha1::digest(certificate))
}

/// The private key as `CERTPRIVATEKEY` gives it: a header that says so, the salt, and behind the key's own header, encrypted by
/// the hash of salt and password, the key.
pub(super) fn sealed(password: &str) -> Vec<u8> {
    let hash = Sha1::new().chain_update(SALT).chain_update(password).finalize();
    let (head, key) = KEY.split_at(24);
    let (kind, secret) = key.split_at(8);
    let mut secret = secret.to_vec();
    if let Ok(mut cipher) = Rc4::new_from_slice(&hash[..16]) {
        cipher.apply_keystream(&mut secret);
    }
    let (yes, length) = (1_u32.to_le_bytes(), 16_u32.to_le_bytes());
    [&head[..12], &yes, &length, &head[20..], &SALT, kind, &secret].concat()
}

/// What an upload holds; otherwise the resource manager's code and words for what is wrong with it.
pub(crate) fn open(blob: &str, password: &str) -> Result<String, (&'static str, &'static str)> {
    const INVALID: (&str, &str) = (
        "InvalidPrivateBlobOrPassword",
        "Invalid private blob or password specified.",
    );
    let file = STANDARD.decode(blob).map_err(|_| INVALID)?;
    let archive = Pkcs12Archive::from_pkcs12(&file, password).map_err(|_| INVALID)?;
    let certificate = archive.certs.first().ok_or(INVALID)?.cert.as_der();
    let key = archive.keys.first().ok_or((
        "PrivateBlobWithoutPrivateKey",
        "The provided blob does not contain private key.",
    ))?;
    let key = KeyPair::from_pkcs8(key.key.as_der()).map_err(|_| INVALID)?;
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|_| INVALID)?;
    if parsed.public_key().subject_public_key.data.as_ref() != key.public_key().as_ref() {
        return Err(INVALID);
    }
    Ok(of(certificate))
}

/// Why a backup of this database of the source can't be restored: it is encrypted, and the managed instance lacks the
/// certificate.
pub(crate) fn missing(world: &World, database: &str) -> Option<String> {
    let source = world.onprem.instances.first()?;
    let found = source
        .spec
        .databases
        .iter()
        .find(|d| d.name.eq_ignore_ascii_case(database));
    let by = found.filter(|d| !d.certificate.is_empty())?.certificate;
    let rusqlite::types::Value::Blob(bytes) = super::data::thumbprint(by) else {
        return None;
    };
    let thumbprint = hex::encode_upper(bytes);
    (!world.managed.certificates.contains(&thumbprint))
        .then(|| format!("Cannot find server certificate with thumbprint '0x{thumbprint}'."))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by OpenSSL; see `azure/tests/data/README.md`.
    const PFX: &[u8] = include_bytes!("../../../azure/tests/data/client-3des.pfx");
    const PASSWORD: &str = "Canary-7f3a-pfx";
    /// `openssl pkcs12 -export -nokeys`.
    const NO_KEY: &[u8] = include_bytes!("certificate/no-key.pfx");

    #[test]
    fn what_is_uploaded_is_opened_as_the_service_would() {
        assert_eq!(open(&STANDARD.encode(PFX), PASSWORD).unwrap().len(), 40);
        let code = |blob: &str, password: &str| open(blob, password).unwrap_err().0;
        assert_eq!(code(&STANDARD.encode(PFX), "other"), "InvalidPrivateBlobOrPassword");
        assert_eq!(code("no base64!", PASSWORD), "InvalidPrivateBlobOrPassword");
        assert_eq!(code(&STANDARD.encode(DER), PASSWORD), "InvalidPrivateBlobOrPassword");
        assert_eq!(
            code(&STANDARD.encode(NO_KEY), "Canary-Pvk-1"),
            "PrivateBlobWithoutPrivateKey"
        );
    }
}
