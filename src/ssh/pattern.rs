//! The patterns of ssh_config(5), "PATTERNS", and of known_hosts: `*`, `?`, lists and negation. Case counts: who wants
//! it not to brings both sides in lower case.

/// A comma-separated list of patterns. One negated pattern that matches outweighs all others.
pub(super) fn matches_list(list: &str, name: &str) -> bool {
    let mut found = false;
    for pattern in list.split(',') {
        match pattern.strip_prefix('!') {
            Some(negated) if matches_pattern(negated, name) => return false,
            Some(_) => {}
            None => found |= matches_pattern(pattern, name),
        }
    }
    found
}

/// `*` is any run of characters and `?` any one. Takes time in proportion to the product of the lengths.
pub(super) fn matches_pattern(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where to go back to when the rest does not fit: the last star, and how much of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == b'?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_greedily_and_otherwise() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("**", "a", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("?", "", false),
            ("a?c", "abc", true),
            ("*a", "bab", false),
            ("", "a", false),
        ] {
            assert_eq!(matches_pattern(pattern, name), expected, "{pattern} {name}");
        }
        let (pattern, name) = ("a*".repeat(60), "a".repeat(200) + "b");
        assert!(matches_pattern(&pattern, &name));
        assert!(!matches_pattern(&(pattern + "c"), &name));
    }
}
