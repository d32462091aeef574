//! How a connection is encrypted: `KexAlgorithms`, `Ciphers` and `MACs`, as far as there is code for what they name.

use std::borrow::Cow;

use russh::{Preferred, cipher, kex, mac};

use super::config::{ConfigError, HostConfig, Keyword};
use super::host_key_algorithms::assembled;

/// What there is code for and ssh has by default is asked for by default, too: what ssh reaches is to be reached.
const KEX: List<kex::Name> = List {
    default: &[
        kex::MLKEM768X25519_SHA256,
        kex::CURVE25519,
        kex::CURVE25519_PRE_RFC_8731,
        kex::DH_GEX_SHA256,
        kex::DH_G18_SHA512,
        kex::DH_G17_SHA512,
        kex::DH_G16_SHA512,
        kex::DH_G15_SHA512,
        kex::DH_G14_SHA256,
        kex::ECDH_SHA2_NISTP256,
        kex::ECDH_SHA2_NISTP384,
        kex::ECDH_SHA2_NISTP521,
    ],
    more: &[kex::DH_GEX_SHA1, kex::DH_G14_SHA1, kex::DH_G1_SHA1],
};

/// These are no algorithms, and are announced among them, whatever is configured: that we understand which signatures a
/// server takes (RFC 8308), and the strict key exchange, without which a connection can be tampered with (CVE-2023-48795).
const KEX_EXTENSIONS: &[kex::Name] = &[
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];

/// AES has instructions of its own on nearly every machine, which makes the first two the fastest.
const CIPHERS: List<cipher::Name> = List {
    default: &[
        cipher::AES_128_GCM,
        cipher::AES_256_GCM,
        cipher::CHACHA20_POLY1305,
        cipher::AES_256_CTR,
        cipher::AES_192_CTR,
        cipher::AES_128_CTR,
    ],
    more: &[cipher::AES_256_CBC, cipher::AES_192_CBC, cipher::AES_128_CBC],
};

const MACS: List<mac::Name> = List {
    default: &[
        mac::HMAC_SHA512_ETM,
        mac::HMAC_SHA256_ETM,
        mac::HMAC_SHA512,
        mac::HMAC_SHA256,
        mac::HMAC_SHA1_ETM,
        mac::HMAC_SHA1,
    ],
    more: &[],
};

/// The algorithms of one kind that there is code for. `none` is not among them.
struct List<N: 'static> {
    /// Asked for where nothing is configured, in this order.
    default: &'static [N],
    /// Asked for when somebody names them.
    more: &'static [N],
}

impl<N: AsRef<str> + Copy> List<N> {
    /// What a list in the form of ssh_config(5) comes to, in its order. Names without code are passed over.
    fn named_by(&self, list: Option<&str>) -> Vec<N> {
        let names = assembled(list, &texts(self.default), &texts(self.more));
        names.iter().filter_map(|name| self.all().find(|known| known.as_ref() == name)).collect()
    }

    /// The same, as the configuration of a host has it.
    fn configured(
        &self,
        config: &HostConfig,
        keyword: Keyword,
        list: Option<&str>,
    ) -> Result<Vec<N>, ConfigError> {
        let named = self.named_by(list);
        match list {
            Some(list) if named.is_empty() => {
                let has = self.all().map(|known| known.as_ref().to_owned()).collect();
                Err(none_left(config, keyword, list, has))
            }
            _ => Ok(named),
        }
    }

    fn all(&self) -> impl Iterator<Item = N> {
        self.default.iter().chain(self.more).copied()
    }
}

fn texts<N: AsRef<str>>(names: &'static [N]) -> Vec<&'static str> {
    names.iter().map(AsRef::as_ref).collect()
}

/// A list that leaves nothing to connect with.
pub(super) fn none_left(config: &HostConfig, keyword: Keyword, list: &str, has: Vec<String>) -> ConfigError {
    ConfigError::NoAlgorithm { host: config.alias.clone(), keyword, value: list.to_owned(), has }
}

/// What is asked for, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportAlgorithms {
    kex: Vec<kex::Name>,
    ciphers: Vec<cipher::Name>,
    macs: Vec<mac::Name>,
}

impl Default for TransportAlgorithms {
    fn default() -> Self {
        Self { kex: KEX.named_by(None), ciphers: CIPHERS.named_by(None), macs: MACS.named_by(None) }
    }
}

impl TransportAlgorithms {
    /// What the configuration leaves of them.
    pub(super) fn by(config: &HostConfig) -> Result<Self, ConfigError> {
        let (kex, ciphers, macs) = (&config.kex_algorithms, &config.ciphers, &config.macs);
        Ok(Self {
            kex: KEX.configured(config, Keyword::KexAlgorithms, kex.as_deref())?,
            ciphers: CIPHERS.configured(config, Keyword::Ciphers, ciphers.as_deref())?,
            macs: MACS.configured(config, Keyword::Macs, macs.as_deref())?,
        })
    }

    /// With nothing to say yet about keys.
    pub(super) fn preferred(&self) -> Preferred {
        Preferred {
            kex: Cow::Owned([&self.kex, KEX_EXTENSIONS].concat()),
            cipher: Cow::Owned(self.ciphers.clone()),
            mac: Cow::Owned(self.macs.clone()),
            compression: Cow::Borrowed(&[russh::compression::NONE]),
            ..Preferred::DEFAULT
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_of_russh_is_used_but_for_those_that_do_nothing() {
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        let own = |names: Vec<&str>| sorted(names.into_iter().map(str::to_owned).collect());
        let without = |names: Vec<&str>| {
            let idle = ["none", "clear"];
            own(names.into_iter().filter(|name| !idle.contains(name)).collect())
        };
        let kex: Vec<kex::Name> = KEX.all().chain(KEX_EXTENSIONS.iter().copied()).collect();
        let of_russh: Vec<&str> = kex::ALL_KEX_ALGORITHMS.iter().map(|name| (*name).as_ref()).collect();
        let extensions: Vec<&str> = KEX_EXTENSIONS.iter().map(AsRef::as_ref).collect();
        assert_eq!(
            own(kex.iter().map(AsRef::as_ref).collect()),
            without([of_russh, extensions].concat()),
            "key exchange"
        );
        let ciphers: Vec<cipher::Name> = CIPHERS.all().collect();
        assert_eq!(
            own(ciphers.iter().map(AsRef::as_ref).collect()),
            without(cipher::ALL_CIPHERS.iter().map(|name| (*name).as_ref()).collect())
        );
        let macs: Vec<mac::Name> = MACS.all().collect();
        assert_eq!(
            own(macs.iter().map(AsRef::as_ref).collect()),
            without(mac::ALL_MAC_ALGORITHMS.iter().map(|name| (*name).as_ref()).collect())
        );
    }

    #[test]
    fn where_nothing_is_configured_what_russh_holds_for_safe_comes_first() {
        let preferred = TransportAlgorithms::default().preferred();
        let safe = Preferred::DEFAULT.kex.len() - KEX_EXTENSIONS.len();
        assert_eq!(preferred.kex[..safe], Preferred::DEFAULT.kex[..safe]);
        assert_eq!(preferred.kex[preferred.kex.len() - KEX_EXTENSIONS.len()..], *KEX_EXTENSIONS);
        assert_eq!(preferred.mac[..Preferred::DEFAULT.mac.len()], *Preferred::DEFAULT.mac);
        assert_eq!(preferred.compression.len(), 1);
    }

    #[test]
    fn a_list_counts_in_its_order_as_far_as_there_is_code() {
        let ciphers = |list| {
            let names = CIPHERS.named_by(Some(list));
            names.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(",")
        };
        let default = ciphers("aes128-gcm*,aes256-gcm*,chacha20*,aes256-ctr,aes192-ctr,aes128-ctr");
        assert_eq!(ciphers("+3des-cbc"), default);
        for (list, expected) in [
            ("aes256-ctr,3des-cbc,aes128-gcm@openssh.com", "aes256-ctr,aes128-gcm@openssh.com".to_owned()),
            ("+aes128-cbc", format!("{default},aes128-cbc")),
            ("^aes128-cbc", format!("aes128-cbc,{default}")),
            ("-chacha20*,aes*ctr", "aes128-gcm@openssh.com,aes256-gcm@openssh.com".to_owned()),
            ("3des-cbc", String::new()),
            ("none", String::new()),
            ("-*", String::new()),
        ] {
            assert_eq!(ciphers(list), expected, "{list}");
        }
    }

    #[test]
    fn the_strict_key_exchange_is_asked_for_whatever_is_configured() {
        let algorithms =
            TransportAlgorithms { kex: KEX.named_by(Some("-*,ext*,kex*")), ..TransportAlgorithms::default() };
        assert_eq!(algorithms.preferred().kex, KEX_EXTENSIONS);
    }
}
