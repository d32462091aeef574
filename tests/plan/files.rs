//! What `files` of the manifest brings, planned for.
use insta::assert_snapshot;
use shipit::plan::{FoundLink, LinkState, Operator, Packing, Plan, Step, Sudo, TreeChange, Unpacker};

use crate::fixture::{Service, shown, steps};

/// A service with a folder beside it.
fn with_site(files: usize) -> Service {
    let service = Service::new();
    service.edit(
        "deploy.yaml",
        "env_file: api.conf\n",
        "env_file: api.conf\nfiles: [{source: site}, {source: extra.txt}]\n",
    );
    service.write("extra.txt", "more\n");
    for number in 0..files {
        service.write(&format!("site/pages/{number:04}.html"), &format!("page {number}\n"));
    }
    service.symlink("0000.html", "site/pages/index.html");
    service
}

fn tree(plan: &Plan) -> &TreeChange {
    plan.steps
        .iter()
        .find_map(|step| match step {
            Step::Upload { tree, .. } => Some(tree),
            _ => None,
        })
        .unwrap()
}

/// What the plan says of files.
fn files(plan: &Plan) -> String {
    let text = shown(plan);
    text.split("\n\n").find(|part| part.starts_with("  files")).unwrap().to_owned()
}

#[test]
fn a_folder_of_thousands_is_a_line() {
    let service = with_site(2000);
    let plan = service.plan(&service.fresh_host()).unwrap();
    assert_snapshot!(files(&plan), @"
    files: 2004 to send, 19.1 kB
      + bin/api                 24 B  efa8eb23 (new)
      + units/api.service      112 B  a0662c86 (new)
      + env/api.conf            35 B  4f639800 (new)
      + extra.txt                5 B  2396099c (new)
      + site/  2000 new files, 18.9 kB: pages/0000.html, pages/0001.html, pages/0002.html, ...
      + site/pages/index.html -> 0000.html  (symlink)
    ");
    assert_eq!(tree(&plan).packing, Packing::Bundles);
    // In JSON all of it stands.
    let json = serde_json::to_string(&plan).unwrap();
    assert!(json.contains("site/pages/1999.html") && json.contains(r#""packing":"bundles""#));
}

#[test]
fn only_what_has_changed_is_sent_and_the_service_is_restarted() {
    let service = with_site(40);
    let host = service.deployed_host();
    assert!(service.plan(&host).unwrap().is_empty());
    service.write("site/pages/0007.html", "another page\n");
    service.write("site/new.html", "new\n");
    service.remove("site/pages/0009.html");
    service.remove("site/pages/index.html");
    service.symlink("0001.html", "site/pages/index.html");
    let plan = service.plan(&host).unwrap();
    assert_snapshot!(files(&plan), @"
    files: 2 of 44 to send, 17 B
      + site/new.html               4 B  7aa7a535 (new)
      ~ site/pages/0007.html       13 B  1ce212d0 -> b2c2982b
      ~ site/pages/index.html -> 0001.html  (symlink)
      - site/pages/0009.html  (not in the new release)
      = 42 files unchanged, taken over on the host
    ");
    assert_eq!(tree(&plan).packing, Packing::Single, "two files need no archive");
    let text = shown(&plan);
    assert!(text.contains("restart api.service (files changed)"), "{text}");
}

#[test]
fn a_symlink_or_an_empty_folder_that_the_host_has_lost_or_gained_is_put_right() {
    let service = with_site(1);
    let found = service.deployed_host();
    let mut host = found.clone();
    host.symlinks.clear();
    assert!(steps(&service.plan(&host).unwrap()).contains(&"upload"));
    let mut host = found.clone();
    host.symlinks.insert("site/more".to_owned(), "/etc".to_owned());
    let plan = service.plan(&host).unwrap();
    assert!(files(&plan).contains("- site/more  (not in the new release)"), "{}", files(&plan));
    let mut host = found;
    host.folders.insert("site/empty".to_owned());
    assert!(steps(&service.plan(&host).unwrap()).contains(&"upload"));
}

#[test]
fn a_folder_that_was_empty_and_is_not_any_more_is_not_said_to_be_gone() {
    let service = with_site(1);
    let mut host = service.deployed_host();
    host.folders.insert("site/later".to_owned());
    service.write("site/later/file", "x");
    let plan = service.plan(&host).unwrap();
    assert!(!shown(&plan).contains("not in the new release"), "{}", shown(&plan));
}

#[test]
fn a_host_without_tar_gets_files_one_by_one_and_the_plan_says_so() {
    let service = with_site(40);
    let mut host = service.fresh_host();
    host.unpacker = Unpacker::Missing;
    let plan = service.plan(&host).unwrap();
    assert_eq!(tree(&plan).packing, Packing::NoTar);
    assert!(shown(&plan).contains("the host has no tar"), "{}", shown(&plan));
}

/// A service with a file that another program reads.
fn with_site_file() -> Service {
    let service = Service::new();
    service.edit(
        "deploy.yaml",
        "env_file: api.conf\n",
        "env_file: api.conf\nfiles: [{source: site.conf, link: /etc/nginx/conf.d/api.conf, validate: sudo nginx -t, \
         on_change: sudo systemctl reload nginx}]\n",
    );
    service.write("site.conf", "listen 80;\n");
    service
}

#[test]
fn a_file_for_another_program_is_linked_validated_and_told_of_when_it_changes() {
    let service = with_site_file();
    let plan = service.plan(&service.fresh_host()).unwrap();
    let names = steps(&plan);
    let position = |name: &str| names.iter().position(|step| *step == name).unwrap();
    assert!(position("switch") < position("validate"), "it is at its place then");
    assert!(position("validate") < position("reload_manager"), "nobody was told of it before");
    assert!(position("validate") < position("on_change") && position("on_change") < position("start"));
    assert!(shown(&plan).contains(
        "+ /etc/nginx/conf.d/api.conf -> /home/deploy/.local/share/shipit/api/current/site.conf [sudo]"
    ));
    let host = service.deployed_host();
    assert!(service.plan(&host).unwrap().is_empty());
    // Not when something else changes.
    service.write("api.conf", "PLACE=Virginia\n");
    let names = steps(&service.plan(&host).unwrap()).join(" ");
    assert!(!names.contains("validate") && !names.contains("on_change"), "{names}");
    service.write("site.conf", "listen 81;\n");
    let names = steps(&service.plan(&host).unwrap()).join(" ");
    assert!(names.contains("switch validate on_change restart observe"), "{names}");
}

#[test]
fn a_file_that_another_program_is_told_of_restarts_no_service_and_the_service_is_asked_all_the_same() {
    let service = with_site_file();
    service.edit("deploy.yaml", "files: [", "files: [{source: words.txt}, ");
    service.edit(
        "deploy.yaml",
        "{ http: 'http://localhost:8000/' }",
        "[{ http: 'http://localhost:8000/' }, { journal: up }]",
    );
    service.write("words.txt", "one\n");
    let host = service.deployed_host();
    service.write("site.conf", "listen 81;\n");
    let plan = service.plan(&host).unwrap();
    // Nothing has started that would say in the journal that it is up.
    assert_eq!(steps(&plan), ["upload", "seal", "switch", "validate", "on_change", "ask_health"]);

    // What nobody is told of is the service's own, beside it and alone.
    service.write("words.txt", "two\n");
    let text = shown(&service.plan(&host).unwrap());
    assert!(text.contains("restart api.service (files changed)"), "{text}");
    assert!(text.contains("reload nginx") && text.contains(r#"until it has "up""#), "{text}");

    // It goes when the manifest has it no more: who read it is not known then.
    service.edit("deploy.yaml", "{source: words.txt}, ", "");
    let text = shown(&service.plan(&host).unwrap());
    assert!(text.contains("- words.txt  (not in the new release)"), "{text}");
    assert!(text.contains("restart api.service (files changed)"), "{text}");
}

#[test]
fn a_link_that_somebody_took_away_is_told_of_once_it_is_back() {
    let service = with_site_file();
    let mut host = service.deployed_host();
    let place = "/etc/nginx/conf.d/api.conf";
    host.links.iter_mut().find(|link| link.path.as_str() == place).unwrap().state = LinkState::Missing;
    let plan = service.plan(&host).unwrap();
    assert_eq!(steps(&plan), ["link", "validate", "on_change", "ask_health"]);
}

#[test]
fn a_link_that_the_manifest_has_no_more_goes_with_the_next_deploy() {
    let service = with_site_file();
    let mut host = service.deployed_host();
    service.edit("deploy.yaml", "link: /etc/nginx/conf.d/api.conf", "link: /etc/nginx/conf.d/other.conf");
    let other = "/etc/nginx/conf.d/other.conf";
    let missing = FoundLink { state: LinkState::Missing, ..host.links.last().unwrap().clone() };
    let wanted = service.fresh_host().links.into_iter().find(|link| link.path.as_str() == other).unwrap();
    host.links.push(FoundLink { path: wanted.path, ..missing });
    host.sudo = Sudo::Passwordless;
    let plan = service.plan(&host).unwrap();
    assert_eq!(steps(&plan), ["link", "unlink", "validate", "on_change", "ask_health"]);
    assert!(shown(&plan).contains("- /etc/nginx/conf.d/api.conf"), "{}", shown(&plan));

    // Not one that leads elsewhere by now, and none where root's rights can't be had without a question.
    let mut elsewhere = host.clone();
    let past = |link: &&mut FoundLink| link.path.as_str() == "/etc/nginx/conf.d/api.conf";
    elsewhere.links.iter_mut().find(past).unwrap().state = LinkState::Symlink("/srv/other".to_owned());
    assert!(!steps(&service.plan(&elsewhere).unwrap()).contains(&"unlink"));
    host.sudo = Sudo::Refused("a password is required".to_owned());
    let plan = service.plan_for(&host, Operator::Present).unwrap();
    assert!(!steps(&plan).contains(&"unlink"));
}

#[test]
fn of_a_folder_that_a_program_is_told_of_a_file_with_an_entry_of_its_own_is_the_services() {
    let service = Service::new();
    service.edit(
        "deploy.yaml",
        "env_file: api.conf\n",
        "env_file: api.conf\nfiles: [{source: site, on_change: reload-the-proxy}, {source: words.txt, path: site/words.txt}]\n",
    );
    service.write("words.txt", "one\n");
    service.write("site/index.html", "one\n");
    let host = service.deployed_host();
    service.write("site/index.html", "two\n");
    let plan = service.plan(&host).unwrap();
    assert_eq!(steps(&plan), ["upload", "seal", "switch", "on_change", "ask_health"]);
    service.write("words.txt", "two\n");
    assert!(steps(&service.plan(&host).unwrap()).contains(&"restart"));
}
