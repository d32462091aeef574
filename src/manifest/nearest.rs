//! The name that was probably meant.

/// The candidate nearest to `wanted`, if one is near enough to be worth offering.
pub(crate) fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let wanted = plain(wanted);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &plain(candidate)), candidate))
        // A third of the letters may be wrong, as in rustc's own suggestions.
        .filter(|&(distance, candidate)| distance <= wanted.len().max(candidate.len()) / 3)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let keys = ["binary", "env_file", "environments", "unit", "units"];
        assert_eq!(nearest("enviroments", keys), Some("environments"));
        assert_eq!(nearest("env-file", keys), Some("env_file"));
        assert_eq!(nearest("Binary", keys), Some("binary"));
        assert_eq!(nearest("unti", keys), Some("unit"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest("", keys), None);
    }
}
