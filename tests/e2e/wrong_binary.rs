//! A binary that the host can't run is refused before anything is sent, with what it needs and what the host has.
use std::fs;

use crate::harness::Project;
use crate::hosts::{TestUser, UserOptions};

/// The example service with some of its bytes replaced, all at the same length.
fn with_bytes(user: &TestUser, change: impl Fn(&mut Vec<u8>)) -> Project {
    let project = Project::simple_api(user);
    let mut binary = fs::read(project.path("service.sh")).unwrap();
    change(&mut binary);
    fs::write(project.path("service.sh"), &binary).unwrap();
    project
}

#[track_caller]
fn refused(user: &TestUser, project: &Project, says: &[&str]) {
    for arguments in [&["plan", "prod"][..], &["deploy", "prod"]] {
        let ran = project.shipit(arguments).exits(8);
        for text in says {
            ran.says(text);
        }
    }
    assert_eq!(user.run(&format!("ls -d {} 2>/dev/null; true", project.root(user))), "");
}

#[test]
fn a_binary_for_another_machine() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let machine = user.run("uname -m");
    let (other, number) = if machine == "aarch64\n" { ("x86_64", 62) } else { ("aarch64", 183) };
    // e_machine, elf(5).
    let project = with_bytes(&user, |binary| binary[18..20].copy_from_slice(&u16::to_le_bytes(number)));
    refused(
        &user,
        &project,
        &[&format!("the binary is for {other}, the host is {}", machine.trim()), "nothing was activated"],
    );
}

#[test]
fn a_binary_that_needs_a_newer_glibc() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let has = user.run("getconf GNU_LIBC_VERSION").trim().replace("glibc ", "");
    let project = with_bytes(&user, |binary| {
        // The names of the versions that it needs, in its string table.
        let named =
            |bytes: &[u8]| bytes.starts_with(b"GLIBC_2.") && bytes[9].is_ascii_digit() && bytes[10] == 0;
        let place = binary.windows(11).position(named).expect("it is linked against glibc");
        binary[place..place + 10].copy_from_slice(b"GLIBC_2.99");
    });
    refused(
        &user,
        &project,
        &[&format!("needs glibc 2.99, the host has {has}"), "x86_64-unknown-linux-musl"],
    );
}

#[test]
fn a_file_that_is_no_program_at_all_is_an_error_of_the_manifest() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.write("service.sh", "echo hi\n");
    let ran = project.shipit(&["deploy", "prod"]).exits(2);
    ran.says("service.sh").never_says("connected");
    assert_eq!(user.run(&format!("ls -d {} 2>/dev/null; true", project.root(&user))), "");
}
