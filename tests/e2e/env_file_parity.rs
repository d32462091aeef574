//! Our reading of an env file is systemd's: the same files, read by us and given to a real unit, set the same variables.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use shipit::manifest::EnvFile;

use crate::hosts::{TestUser, UserOptions};

type Variables = BTreeMap<String, String>;

/// Written by hand: what people write, and what the dialect's own corners are.
const CASES: &[&str] = &[
    "",
    "\n",
    "A=1",
    "A=1\n",
    "A=1\nB=2\n",
    "A=1\r\nB=2\r\n",
    "A=1\rB=2",
    "A=\n",
    "A=''\n",
    "A=\"\"\n",
    "A= \n",
    "A=\t\n",
    "A = 1\n",
    "A =1\n",
    "A= 1\n",
    " A=1\n",
    "\tA=1\n",
    "\n\n  \nA=1\n\n",
    "A=1 \n",
    "A=1\t \n",
    "A=1 2 3\n",
    "A=1  2\n",
    "A=North Carolina\n",
    "A='North Carolina'\n",
    "A=\"North Carolina\"\n",
    "A='  1  '\n",
    "A=\"  1  \"\n",
    "A='1' \n",
    "A='1' '2'\n",
    "A='1''2'\n",
    "A=\"1\"\"2\"\n",
    "A='1'\"2\"\n",
    "A='1' 2\n",
    "A='1'2\n",
    "A=1'2'\n",
    "A=1 '2'\n",
    "A=1\"2\"\n",
    "A=it's\n",
    "A=\"it's\"\n",
    "A='say \"x\"'\n",
    "A='it'\\''s'\n",
    "A=\"a\\\"b\"\n",
    "A='a\\'\nB=2\n",
    "A='a\\nb'\n",
    "A=\"a\\nb\"\n",
    "A=a\\nb\n",
    "A=\"a\\\\b\"\n",
    "A=a\\\\b\n",
    "A=a\\ b\n",
    "A=\\ b\n",
    "A=b\\ \n",
    "A=b \\\n",
    "A=a\\\nb\n",
    "A=a \\\n b\n",
    "A=a\\\n",
    "A=a\\",
    "A=\\\nb\n",
    "A=\\",
    "A=\"a\\\nb\"\n",
    "A=\"a\nb\"\n",
    "A='a\nb'\n",
    "A='a\n\n\nb'\nB=2\n",
    "A=\"a\\$b\"\n",
    "A=\"a$b\"\n",
    "A=$HOME\n",
    "A=${HOME}\n",
    "A='$HOME'\n",
    "A=\"a\\`b\"\n",
    "A=`id`\n",
    "A=$(id)\n",
    "A=\"a\\xb\"\n",
    "A=%h\n",
    "A=%%\n",
    "# comment\nA=1\n",
    "; comment\nA=1\n",
    "  # comment\nA=1\n",
    "  ; comment\nA=1\n",
    "#A=1\nB=2\n",
    "A=1 # comment\n",
    "A=1#comment\n",
    "A=#1\n",
    "A=;1\n",
    "A=1;2\n",
    "A='1' # comment\n",
    "A='1'#comment\n",
    "#\nA=1\n",
    "#",
    "export A=1\n",
    "export\tA=1\nB=2\n",
    "export=1\n",
    "exportA=1\n",
    "A\n",
    "A\nB=1\n",
    "A B=1\n",
    "A-B=1\nC=2\n",
    "1A=1\nB=2\n",
    "_=1\n_A=2\n",
    "A.B=1\nC=2\n",
    "=1\nB=2\n",
    "==1\nB=2\n",
    "A==1\n",
    "A=b=c\n",
    "A=1\nA=2\n",
    "A=1\nA=\n",
    "A=1\nB=2\nA=3\n",
    "ä=1\nB=2\n",
    "A=ä\n",
    "A='ä ö'\n",
    "A=🚀\n",
    "A=\u{feff}1\n",
    "\u{feff}A=1\nB=2\n",
    "A=a\u{a0}\n",
    "A=\u{7f}\n",
    "A=a\u{1}b\nB=2\n",
    "A='open\nB=2\n",
    "A=\"open\nB=2\n",
    "A='open",
    "A=\"open\\",
    "A='1\nB='2'\n",
    "A=[1, 2]\n",
    "A={\"k\": \"v\"}\n",
    "A='{\"k\": \"v\"}'\n",
    "A=postgres://u:p@h:5432/d?x=1&y=2#f\n",
    "A=a,b;c|d&e<f>g(h)i*j?k[l]m!n~o^p\n",
    "A=C:\\new\\table\n",
    "A=\"C:\\\\new\"\n",
    "A=-----BEGIN KEY-----\\nabc\\n-----END KEY-----\n",
    "A='-----BEGIN KEY-----\nabc\n-----END KEY-----\n'\n",
    "A=\"-----BEGIN KEY-----\nab+/==\n-----END KEY-----\"\n",
    "[Section]\nA=1\n",
    "A: 1\nB=2\n",
    "a=1\nA=2\n",
    "A=1\n\u{c}B=2\n",
    "A=\u{b}1\n",
    "A=1   \\\n   2   \n",
    "A='1'\\\n'2'\n",
    "A='1' \\\n'2'\n",
    "A=\"1\" \\\nB=2\n",
    "A=1\\\rB=2\n",
    "A=\"1\\\rB\"\n",
];

/// Files that systemd 252, the test hosts', reads otherwise than systemd 254 and later, which we follow: there a comment
/// that ends with a backslash swallowed the next line. We warn of it (`EnvProblem::CommentBackslash`).
const OTHERWISE: &[(&str, &str)] = &[("# comment\\\nA=1\nB=2\n", "A")];

/// Pieces in all orders that a generator comes up with: what nobody thought of.
fn generated(count: usize) -> Vec<String> {
    const PIECES: &[&str] = &[
        "A", "B_1", "C", "=", "=", "=", "'", "\"", "\\", "\n", "\n", " ", "\t", "#", ";", "$", "`", "x", "é",
        "\r", "1",
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let text = |next: &mut dyn FnMut(usize) -> usize| {
        let length = 3 + next(18);
        (0..length).map(|_| PIECES[next(PIECES.len())]).collect::<String>()
    };
    (0..count).map(|_| text(&mut next)).collect()
}

/// What a unit with each of the files gets, beside what every unit gets; `None` where it can't be started.
fn of_units(user: &TestUser, files: &[String]) -> Vec<Option<Variables>> {
    let mut script = "mkdir -p ~/parity; cd ~/parity || exit\n".to_owned();
    for (number, text) in files.iter().enumerate() {
        let _ = writeln!(script, "echo {} | base64 -d > {number}", BASE64.encode(text));
    }
    let _ = write!(
        script,
        "number=0
         while [ $number -lt {} ]; do
             printf '%s ' $number
             systemd-run --user --quiet --wait --pipe --collect -p EnvironmentFile=$PWD/$number \
                 /bin/sh -c 'env -0 | base64 -w 0' 2>/dev/null </dev/null || printf failed
             echo
             number=$((number + 1))
         done",
        files.len()
    );
    let text = user.run(&script);
    let variables = |line: &str| {
        let (_, encoded) = line.split_once(' ').unwrap();
        let bytes = (encoded != "failed").then(|| BASE64.decode(encoded).unwrap())?;
        let text = String::from_utf8(bytes).unwrap();
        let pairs = text.split_terminator('\0').map(|pair| pair.split_once('=').unwrap());
        Some(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Variables>())
    };
    text.lines().map(variables).collect()
}

fn of_ours(text: &str) -> Variables {
    EnvFile::parse(Path::new("env"), text.as_bytes()).entries.into_iter().collect()
}

#[test]
fn an_env_file_says_the_same_to_us_and_to_systemd() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let mut files: Vec<String> = CASES.iter().map(|text| (*text).to_owned()).collect();
    files.extend(generated(160));
    // The first sets nothing, and shows what every unit has.
    assert_eq!(files[0], "");
    let theirs = of_units(&user, &files);
    assert_eq!(theirs.len(), files.len());
    let every: Vec<String> = theirs[0].as_ref().unwrap().keys().cloned().collect();
    let mut differences = Vec::new();
    let mut set = 0;
    for (text, theirs) in files.iter().zip(theirs) {
        let theirs = theirs.map(|mut variables| {
            variables.retain(|name, _| !every.contains(name));
            variables
        });
        let ours = of_ours(text);
        set += usize::from(!ours.is_empty());
        if theirs.as_ref() != Some(&ours) {
            differences.push(format!("{text:?}\n  systemd: {theirs:?}\n  ours:    {ours:?}"));
        }
    }
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), files.len(), differences.join("\n"));
    assert!(set > files.len() / 3, "only {set} files set anything");
}

#[test]
fn where_versions_of_systemd_differ_we_are_with_the_later_ones_and_say_so() {
    for (text, name) in OTHERWISE {
        let file = EnvFile::parse(Path::new("env"), text.as_bytes());
        assert!(file.get(name).is_some(), "{text:?}");
        assert!(
            file.problems.iter().any(|problem| problem.to_string().contains("before systemd 254")),
            "{text:?}"
        );
    }
}
