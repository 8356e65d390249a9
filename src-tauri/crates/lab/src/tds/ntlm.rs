//! The server's side of NTLMv2, after [MS-NLMP]: a challenge, and the proof that the client knows the password.

use super::wire::utf16;
use bytes::BufMut;
use hmac::{Hmac, Mac};
use md4::{Digest, Md4};
use md5::Md5;

const SIGNATURE: &[u8] = b"NTLMSSP\0";
/// Unicode, request target, NTLM, always sign, target is a domain, extended session security, target information,
/// version, 128 bits, key exchange, 56 bits.
const FLAGS: u32 = 0xE289_8205;
/// Signing and sealing, which a server agrees to when the client wants them.
const WISHES: u32 = 0x30;

/// Who answered a challenge, as the client spells it.
pub struct Answer {
    pub domain: String,
    pub user: String,
    response: Vec<u8>,
}

/// The second of NTLM's three messages, after the first. `filetime` counts 100 ns since 1601.
pub fn challenge(first: &[u8], nonce: [u8; 8], domain: &str, computer: &str, filetime: u64) -> Vec<u8> {
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let target = wide(domain);
    let mut info = vec![];
    let mut pair = |id: u16, value: &[u8]| {
        info.put_u16_le(id);
        info.put_u16_le(value.len() as u16);
        info.put_slice(value);
    };
    pair(2, &target);
    pair(1, &wide(computer));
    pair(4, &wide(&format!("{}.com", domain.to_lowercase())));
    pair(
        3,
        &wide(&format!("{}.{}.com", computer.to_lowercase(), domain.to_lowercase())),
    );
    pair(7, &filetime.to_le_bytes());
    pair(0, &[]);
    let mut message = SIGNATURE.to_vec();
    let place = |message: &mut Vec<u8>, length: usize, at: usize| {
        message.put_u16_le(length as u16);
        message.put_u16_le(length as u16);
        message.put_u32_le(at as u32);
    };
    message.put_u32_le(2);
    place(&mut message, target.len(), 56);
    let asked = first
        .get(12..16)
        .and_then(|f| f.try_into().ok())
        .map_or(0, u32::from_le_bytes);
    message.put_u32_le(FLAGS | (asked & WISHES));
    message.put_slice(&nonce);
    message.put_u64_le(0);
    place(&mut message, info.len(), 56 + target.len());
    // Version 10.0, build 17763, revision 15 of NTLM.
    message.put_slice(&[10, 0, 0x63, 0x45, 0, 0, 0, 15]);
    message.put_slice(&target);
    message.put_slice(&info);
    message
}

/// Reads the third message.
pub fn answer(message: &[u8]) -> Option<Answer> {
    let field = |at: usize| -> Option<&[u8]> {
        let two = message.get(at..at + 2)?;
        let four = message.get(at + 4..at + 8)?;
        let (length, start) = (
            usize::from(u16::from_le_bytes(two.try_into().ok()?)),
            u32::from_le_bytes(four.try_into().ok()?) as usize,
        );
        message.get(start..start + length)
    };
    (message.get(..8)? == SIGNATURE && message.get(8) == Some(&3)).then_some(())?;
    Some(Answer {
        response: field(20)?.to_vec(),
        domain: utf16(field(28)?),
        user: utf16(field(36)?),
    })
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Option<Vec<u8>> {
    let mut mac = Hmac::<Md5>::new_from_slice(key).ok()?;
    parts.iter().for_each(|p| mac.update(p));
    Some(mac.finalize().into_bytes().to_vec())
}

impl Answer {
    /// Whether it proves that the client knows the password.
    pub fn proves(&self, nonce: [u8; 8], password: &str) -> bool {
        let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        let Some((proof, blob)) = self.response.split_at_checked(16) else {
            return false;
        };
        let hash = Md4::digest(wide(password));
        let owner = wide(&format!("{}{}", self.user.to_uppercase(), self.domain));
        let key = hmac(&hash, &[&owner]);
        // A short response is NTLMv1, which no server takes any more.
        blob.len() > 28 && key.and_then(|k| hmac(&k, &[&nonce, blob])).as_deref() == Some(proof)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of [MS-NLMP] 4.2.4: User, Password, Domain.
    #[test]
    fn microsofts_example_is_verified() {
        let blob = concat!(
            "01010000000000000000000000000000aaaaaaaaaaaaaaaa0000000002000c00",
            "44006f006d00610069006e0001000c005300650072007600650072000000000000000000"
        );
        let nonce = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
        let proof = hex::decode("68cd0ab851e51c96aabc927bebef6a1c").unwrap();
        let a = Answer {
            domain: "Domain".into(),
            user: "User".into(),
            response: [proof, hex::decode(blob).unwrap()].concat(),
        };
        assert!(a.proves(nonce, "Password"));
        assert!(!a.proves(nonce, "password") && !a.proves([0; 8], "Password"));
    }
}
