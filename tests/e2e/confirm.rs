//! Where the manifest says `confirm: true`, nothing is changed without a yes.
use crate::harness::Project;
use crate::hosts::{TestUser, UserOptions};

fn asking(user: &TestUser) -> Project {
    let project = Project::quick(user);
    project.edit("deploy.yaml", "  prod:\n", "  prod:\n    confirm: true\n");
    project
}

#[test]
fn without_a_terminal_it_takes_yes() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = asking(&user);
    let ran = project.shipit(&["deploy", "prod"]).exits(2);
    ran.says("prod wants to be confirmed").says("--yes").says("shipit plan");
    project.assert_untouched(&user);
    project.shipit(&["plan", "prod"]).exits(0);
    project.shipit(&["deploy", "prod", "--yes"]).exits(0).says("1 host deployed");
}

#[test]
fn on_a_terminal_it_asks_and_a_no_changes_nothing() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = asking(&user);
    let question = "Deploy to 1 host of prod? [y/N]";
    for no in ["n", "", "nope", "yess"] {
        let ran = project.shipit_on_a_terminal(&["deploy", "prod"], &[(question, no)]);
        assert_eq!(ran.code, Some(1), "{}", ran.all());
        assert!(ran.stdout.contains("not confirmed: nothing was changed"), "{}", ran.all());
        assert!(
            ran.stdout.contains("untouched (declined)") && !ran.stdout.contains("planned only"),
            "{}",
            ran.all()
        );
        // What it asks about stands above the question.
        let plan = ran.stdout.find("first deploy").unwrap();
        assert!(plan < ran.stdout.find(question).unwrap(), "{}", ran.all());
        project.assert_untouched(&user);
    }
    let ran = project.shipit_on_a_terminal(&["deploy", "prod"], &[(question, "y")]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    // Nothing to do is nothing to ask about.
    let ran = project.shipit_on_a_terminal(&["deploy", "prod"], &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert!(ran.stdout.contains("nothing to do") && !ran.stdout.contains(question), "{}", ran.all());
}

#[test]
fn yes_is_taken_where_nobody_asks() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.shipit(&["deploy", "prod", "--yes"]).exits(0);
}
