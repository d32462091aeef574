//! How long RSA keys have to be, of hosts and of operators: `RequiredRSASize`.

use russh::keys::ssh_key::public::KeyData;

/// What ssh has by default, and never goes below.
pub(super) const DEFAULT: u32 = 1024;

/// The length of a key in bits, if that is too little.
pub(super) fn too_short(key: &KeyData, required: u32) -> Option<u32> {
    match key {
        // What the key itself says is rounded up to whole bytes.
        KeyData::Rsa(rsa) => {
            let first = rsa.n().as_positive_bytes().and_then(|bytes| bytes.first());
            let bits = rsa.key_size() - first.map_or(0, |first| first.leading_zeros());
            Some(bits).filter(|bits| *bits < required.max(DEFAULT))
        }
        // All others have one length each.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use russh::keys::ssh_key::Mpint;
    use russh::keys::ssh_key::public::RsaPublicKey;

    use super::*;

    fn key(first: u8, bytes: usize) -> KeyData {
        let mut modulus = vec![0xff; bytes];
        modulus[0] = first;
        let number = |bytes: &[u8]| Mpint::from_positive_bytes(bytes);
        KeyData::Rsa(RsaPublicKey::new(number(&[1, 0, 1]), number(&modulus)).unwrap())
    }

    #[test]
    fn every_bit_counts() {
        assert_eq!(too_short(&key(0x80, 256), 2048), None);
        assert_eq!(too_short(&key(0x80, 256), 2049), Some(2048));
        assert_eq!(too_short(&key(0x7f, 256), 2048), Some(2047));
        assert_eq!(too_short(&key(0x01, 256), 2048), Some(2041));
    }

    #[test]
    fn no_setting_makes_it_less_than_what_ssh_wants() {
        assert_eq!(too_short(&key(0x80, 96), 0), Some(768));
        assert_eq!(too_short(&key(0x80, 128), 0), None);
    }
}
