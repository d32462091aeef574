//! SSH servers that are not as usual: what works all the same, and what is refused with the reason.
use crate::harness::Project;
use crate::hosts::{Server, TestUser, UserOptions};

fn user_behind(server: Server<'_>) -> Option<TestUser> {
    let mut user = TestUser::new(UserOptions::default())?;
    user.behind(server).then_some(user)
}

#[test]
fn dropbear_with_the_sftp_server_of_openssh_is_a_host_like_any_other() {
    let Some(user) = user_behind(Server::Dropbear) else { return };
    let project = Project::new(&user);
    project.deploy().says("started in North Carolina");
    project.deploy().says("nothing to do");
}

#[test]
fn one_session_a_connection_is_enough() {
    for sessions in ["1", "2"] {
        let Some(user) = user_behind(Server::Sshd(&format!("MaxSessions {sessions}"))) else { return };
        let project = Project::new(&user);
        project.deploy().says("started in North Carolina");
        project.deploy().says("nothing to do");
    }
}
