//! The certificate of an encrypted database (TDE) with its private key, from SQL Server into a PFX, without any file.
//!
//! Decisions:
//! * `CERTENCODED` and `CERTPRIVATEKEY` give both (2012 and later). The key comes as PVK, sealed by a password that lives in
//!   memory only. Which of its two strengths SQL Server takes, and whether it reads the password as bytes or as UTF-16, is
//!   documented nowhere (unverified): both are tried, and the certificate decides, whose public key must be the key's.
//! * The key is rewritten, not computed with: certificates that SQL Server made before 2016 have 1024 bits, which cryptographic
//!   libraries refuse to load.
//! * The PFX is encrypted as `pvk2pfx` does it, which Microsoft's way by hand goes through: 3DES with SHA-1. Whether Azure takes
//!   newer ones is documented nowhere. It travels inside of TLS, and its password beside it: both must stay secret anyway.
//!
//! Source: learn.microsoft.com, CERTPRIVATEKEY (Transact-SQL), 2017-07-24; Migrate a certificate of a TDE-protected database to
//! Azure SQL Managed Instance, 2023-04-06. The form of PVK is that of OpenSSL (`pvkfmt.c`), by which the tests' files were made.

use crate::{Client, SqlError, cells::Cells, quote};
use p12_keystore::{
    Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, PrivateKey, PrivateKeyChain,
};
use rc4::{KeyInit, Rc4, StreamCipher};
use secrets::Secret;
use sha1::{Digest, Sha1};

/// A certificate with its private key.
pub struct TdeCertificate {
    pub name: String,
    /// SHA-1, upper-case hex, as `sys.certificates` has it.
    pub thumbprint: String,
    der: Vec<u8>,
    /// PKCS #8, DER.
    key: Secret<Vec<u8>>,
}

impl std::fmt::Debug for TdeCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TdeCertificate")
            .field("name", &self.name)
            .field("thumbprint", &self.thumbprint)
            .finish_non_exhaustive()
    }
}

/// Reads the certificate of `master` with this thumbprint (upper-case hex). `password` seals its key on the way; it must
/// satisfy the password policy of the server's Windows.
///
/// # Errors
/// [`SqlError::PrivateKey`] when it is not there, the login may not have its key, or both don't belong together; and those of
/// [`Client::query`]. No error holds anything of the key.
pub async fn read(
    client: &mut Client,
    thumbprint: &str,
    password: &Secret<String>,
) -> Result<TdeCertificate, SqlError> {
    let bytes = hex::decode(thumbprint)
        .map_err(|_| SqlError::Config(format!("`{thumbprint}` is no thumbprint of a certificate.")))?;
    // The functions know the certificates of the current database alone.
    let batch = Secret::new(format!(
        "USE master; SELECT name, CERTENCODED(certificate_id) AS encoded, CERTPRIVATEKEY(certificate_id, {}) AS sealed \
         FROM sys.certificates WHERE thumbprint = {}",
        quote::literal(password.expose()),
        quote::binary(&bytes),
    ));
    let answer = client.query(batch.expose()).await?;
    let refused = |certificate: &str, detail: &str| SqlError::PrivateKey {
        server: client.server().to_owned(),
        certificate: certificate.to_owned(),
        detail: detail.to_owned(),
    };
    let Some(row) = answer.last().and_then(|rows| rows.first()) else {
        return Err(refused(thumbprint, "master shows no certificate with this thumbprint"));
    };
    let cells = Cells(row);
    let name = cells.word("name");
    let cell = |column: &str| cells.bytes(column).and_then(|digits| hex::decode(digits).ok());
    let (Some(der), Some(sealed)) = (cell("encoded"), cell("sealed")) else {
        let why = "SQL Server gives no private key: the login has no right to it, or there is none";
        return Err(refused(&name, why));
    };
    TdeCertificate::new(name.clone(), der, &sealed, password)
        .filter(|c| c.thumbprint.eq_ignore_ascii_case(thumbprint))
        .ok_or_else(|| {
            refused(
                &name,
                "what SQL Server gave as its private key is none that belongs to it",
            )
        })
}

impl TdeCertificate {
    /// None when the key can't be opened, is not RSA, or is another certificate's.
    fn new(name: String, der: Vec<u8>, sealed: &[u8], password: &Secret<String>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).ok()?;
        let public = parsed.public_key().subject_public_key.data.as_ref();
        let key = opened(sealed, password)
            .into_iter()
            .find_map(|key| rsa(key.expose()).filter(|(of, _)| of == public))?
            .1;
        Some(Self {
            name,
            thumbprint: hex::encode_upper(Sha1::digest(&der)),
            der,
            key,
        })
    }

    /// Certificate and key as PFX (PKCS #12), encrypted by the password.
    ///
    /// # Errors
    /// [`SqlError::Config`] when the certificate can't be put into one.
    pub fn pfx(&self, password: &Secret<String>) -> Result<Secret<Vec<u8>>, SqlError> {
        let packed = || -> Result<Vec<u8>, p12_keystore::error::Error> {
            let chain = PrivateKeyChain::new(
                b"1".as_slice(),
                PrivateKey::from_der(self.key.expose())?,
                [Certificate::from_der(&self.der)?],
            );
            let mut store = KeyStore::new();
            store.add_entry("tde", KeyStoreEntry::PrivateKeyChain(chain));
            store
                .writer(password.expose())
                .encryption_algorithm(EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc)
                .mac_algorithm(MacAlgorithm::HmacSha1)
                .write()
        };
        packed()
            .map(Secret::new)
            .map_err(|e| SqlError::Config(format!("The certificate {} can't be packed: {e}.", self.name)))
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*word))
}

/// Takes the seal off a PVK file: what each way of reading the password makes of the key. Empty when it is none.
fn opened(pvk: &[u8], password: &Secret<String>) -> Vec<Secret<Vec<u8>>> {
    const MAGIC: u32 = 0xb0b5_f11e;
    /// `BLOBHEADER` of the key, which is not encrypted.
    const HEADER: usize = 8;
    /// Bytes of the hash that a weak seal leaves of the key.
    const WEAK: usize = 5;
    let parts = || {
        if word(pvk, 0)? != MAGIC {
            return None;
        }
        let (sealed, salt, key) = (word(pvk, 12)?, word(pvk, 16)?, word(pvk, 20)?);
        let (salt, rest) = pvk.get(24..)?.split_at_checked(usize::try_from(salt).ok()?)?;
        let key = rest.get(..usize::try_from(key).ok()?)?.get(HEADER..)?;
        Some((sealed != 0, salt, key))
    };
    let Some((sealed, salt, key)) = parts() else {
        return vec![];
    };
    if !sealed {
        return vec![Secret::new(key.to_vec())];
    }
    let bytes = Secret::new(password.expose().as_bytes().to_vec());
    let wide = Secret::new(
        password
            .expose()
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<u8>>(),
    );
    let mut all = vec![];
    for password in [bytes, wide] {
        let hash = Sha1::new()
            .chain_update(salt)
            .chain_update(password.expose())
            .finalize();
        for strength in [16, WEAK] {
            let mut with = [0; 16];
            with[..strength].copy_from_slice(&hash[..strength]);
            let Ok(mut cipher) = Rc4::new_from_slice(&with) else {
                continue;
            };
            let mut open = key.to_vec();
            cipher.apply_keystream(&mut open);
            all.push(Secret::new(open));
        }
    }
    all
}

/// An RSA key as Windows keeps it (`RSAPUBKEY` and what follows): the public key and all of it, as PKCS #1 and PKCS #8 in DER.
fn rsa(key: &[u8]) -> Option<(Vec<u8>, Secret<Vec<u8>>)> {
    /// `rsaEncryption` without parameters.
    const ALGORITHM: &[u8] = &[
        0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    ];
    const SEQUENCE: u8 = 0x30;
    const OCTETS: u8 = 0x04;
    const LONGEST: usize = 16_384;
    if !key.starts_with(b"RSA2") {
        return None;
    }
    let bits = usize::try_from(word(key, 4)?).ok()?;
    if bits == 0 || bits % 16 != 0 || bits > LONGEST {
        return None;
    }
    let mut rest = key.get(12..)?;
    let mut next = |length: usize| {
        let (number, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(integer(number))
    };
    let (whole, half) = (bits / 8, bits / 16);
    let modulus = next(whole)?;
    let [p, q, dp, dq, inverse] = [next(half)?, next(half)?, next(half)?, next(half)?, next(half)?];
    let d = next(whole)?;
    let exponent = integer(key.get(8..12)?);
    let zero = integer(&[0]);
    let public = tagged(SEQUENCE, &[&modulus, &exponent]);
    let private = tagged(SEQUENCE, &[&zero, &modulus, &exponent, &d, &p, &q, &dp, &dq, &inverse]);
    let private = Secret::new(private);
    let octets = Secret::new(tagged(OCTETS, &[private.expose()]));
    let all = tagged(SEQUENCE, &[&zero, ALGORITHM, octets.expose()]);
    Some((public, Secret::new(all)))
}

/// A DER integer of a number without sign, its lowest byte first.
fn integer(little: &[u8]) -> Vec<u8> {
    let mut big: Vec<u8> = little.iter().rev().copied().skip_while(|b| *b == 0).collect();
    if big.first().is_none_or(|b| *b > 0x7f) {
        big.insert(0, 0);
    }
    tagged(0x02, &[&big])
}

/// A DER value of these parts.
fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|p| p.len()).sum();
    let mut out = vec![tag];
    if let Some(short) = u8::try_from(length).ok().filter(|l| *l < 0x80) {
        out.push(short);
    } else {
        let digits = length.to_be_bytes();
        let digits = &digits[digits.iter().take_while(|b| **b == 0).count()..];
        out.push(0x80 | digits.len() as u8);
        out.extend(digits);
    }
    out.extend(parts.iter().copied().flatten());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use p12_keystore::Pkcs12Archive;
    use proptest::prelude::*;
    use x509_parser::asn1_rs::{Any, FromDer};

    /// Made by OpenSSL; see `tests/data/tde/README.md`.
    const CERTIFICATE: &[u8] = include_bytes!("../tests/data/tde/certificate.cer");
    const KEY: &[u8] = include_bytes!("../tests/data/tde/key.pk8");
    const STRONG: &[u8] = include_bytes!("../tests/data/tde/strong.pvk");
    const WEAK: &[u8] = include_bytes!("../tests/data/tde/weak.pvk");
    const PLAIN: &[u8] = include_bytes!("../tests/data/tde/plain.pvk");
    const SHORT: [&[u8]; 3] = [
        include_bytes!("../tests/data/tde/short.cer"),
        include_bytes!("../tests/data/tde/short.pk8"),
        include_bytes!("../tests/data/tde/short.pvk"),
    ];

    fn password() -> Secret<String> {
        Secret::from("Canary-Pvk-1")
    }

    fn made(certificate: &[u8], pvk: &[u8], password: &Secret<String>) -> Option<TdeCertificate> {
        TdeCertificate::new("Hotel".into(), certificate.to_vec(), pvk, password)
    }

    #[test]
    fn the_key_is_openssls_own_however_it_was_sealed() {
        for pvk in [STRONG, WEAK, PLAIN] {
            let c = made(CERTIFICATE, pvk, &password()).unwrap();
            assert_eq!(c.key.expose(), KEY);
            assert_eq!(c.thumbprint, hex::encode_upper(Sha1::digest(CERTIFICATE)));
            assert!(!format!("{c:?}").contains("key"));
        }
        let [certificate, key, pvk] = SHORT;
        assert_eq!(made(certificate, pvk, &password()).unwrap().key.expose(), key);
    }

    #[test]
    fn a_password_that_was_read_as_utf_16_opens_it_too() {
        let wide: Vec<u8> = "Canary-Pvk-1".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let salt = [7; 16];
        let hash = Sha1::new().chain_update(salt).chain_update(wide).finalize();
        let mut pvk = PLAIN.to_vec();
        Rc4::new_from_slice(&hash[..16])
            .unwrap()
            .apply_keystream(&mut pvk[24 + 8..]);
        pvk[12] = 1;
        pvk[16] = 16;
        pvk.splice(24..24, salt);
        assert_eq!(made(CERTIFICATE, &pvk, &password()).unwrap().key.expose(), KEY);
    }

    #[test]
    fn another_password_or_another_certificate_gives_nothing() {
        for pvk in [STRONG, WEAK] {
            assert!(made(CERTIFICATE, pvk, &Secret::from("other")).is_none());
        }
        assert!(made(SHORT[0], STRONG, &password()).is_none());
        assert!(made(b"no certificate", STRONG, &password()).is_none());
        assert!(made(CERTIFICATE, b"", &password()).is_none());
    }

    #[test]
    fn the_pfx_holds_both_and_opens_by_its_password_only() {
        let c = made(CERTIFICATE, STRONG, &password()).unwrap();
        let pfx = c.pfx(&password()).unwrap();
        let archive = Pkcs12Archive::from_pkcs12(pfx.expose(), "Canary-Pvk-1").unwrap();
        assert_eq!(archive.certs[0].cert.as_der(), CERTIFICATE);
        assert_eq!(archive.keys[0].key.as_der(), KEY);
        assert!(Pkcs12Archive::from_pkcs12(pfx.expose(), "other").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fall(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(made(CERTIFICATE, &bytes, &password()).is_none());
        }

        #[test]
        fn a_damaged_key_is_refused_or_the_same(at in 0..STRONG.len(), to in any::<u8>()) {
            let mut pvk = STRONG.to_vec();
            pvk[at] = to;
            for end in [at, pvk.len()] {
                if let Some(c) = made(CERTIFICATE, &pvk[..end], &password()) {
                    prop_assert_eq!(c.thumbprint.len(), 40);
                }
            }
        }

        #[test]
        fn lengths_are_written_as_der_has_them(length in 0..70_000_usize) {
            let value = tagged(4, &[&vec![0; length]]);
            let (rest, read) = Any::from_der(&value).unwrap();
            prop_assert!(rest.is_empty());
            prop_assert_eq!(read.data.len(), length);
        }
    }
}
