//! `identity`: what operators ask of the wall.

use enforcer_proto::v1;
use enforcer_proto::v1::identity_target::Who;
use tonic::Status;

use super::enforcerctl;
use super::material::Authority;
use super::wall::{Answers, Wall};
use crate::exit::Exit;

const JWKS: &str =
    r#"{"keys":[{"use":"x509-svid","kty":"EC"}],"spiffe_sequence":7,"spiffe_refresh_hint":300}"#;

fn listed() -> v1::ListIdentitiesResponse {
    v1::ListIdentitiesResponse {
        identities: vec![v1::Identity {
            workload: "web".to_owned(),
            tenant: "red".to_owned(),
            spiffe_id: "spiffe://red.fleet.example/ns/a/sa/web".to_owned(),
            state: v1::IdentityState::Renewing.into(),
            seconds_to_expiry: Some(90),
            failures: 2,
            reason: "the authority does not answer".to_owned(),
            ..v1::Identity::default()
        }],
        trust_domains: vec![v1::TrustDomain {
            name: "red.fleet.example".to_owned(),
            tenant: "red".to_owned(),
            bundle: JWKS.to_owned(),
            sequence: 7,
            authorities_pem: Authority::new("red.fleet.example").bundle_pem(),
            ..v1::TrustDomain::default()
        }],
        health: Some(v1::IdentityHealth {
            enabled: true,
            ready: true,
            warnings: vec!["the root ends in 3 days".to_owned()],
            ..v1::IdentityHealth::default()
        }),
    }
}

fn listing() -> Wall {
    Wall::start(Answers { list: Some(Ok(listed())), ..Answers::default() })
}

fn target(who: Who) -> Option<v1::IdentityTarget> {
    Some(v1::IdentityTarget { who: Some(who) })
}

#[tokio::test]
async fn identities_are_listed_and_what_is_wrong_is_a_warning() {
    let wall = listing();
    let ran = wall.run(&["list", "--tenant", "red"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert_eq!(
        ran.out,
        "WORKLOAD  TENANT  SPIFFE ID                               STATE     EXPIRES IN  RENEWS IN  FAILURES  REASON\n\
         web       red     spiffe://red.fleet.example/ns/a/sa/web  renewing  1m30s       -          2         the authority does not answer\n"
    );
    assert_eq!(ran.err, "warning: the root ends in 3 days\n");
    assert_eq!(wall.asked().list, [v1::ListIdentitiesRequest { tenant: Some("red".to_owned()) }]);
}

#[tokio::test]
async fn a_program_gets_everything_of_the_list() {
    let ran = listing().run(&["list", "-o", "json"]).await;
    let json = ran.json();
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Ok, ""));
    assert_eq!(json["identities"][0]["secondsToExpiry"], 90);
    assert_eq!(json["identities"][0]["state"], "renewing");
    assert_eq!(json["trustDomains"][0]["sequence"], 7);
    assert_eq!(json["health"]["warnings"][0], "the root ends in 3 days");
    let yaml = listing().run(&["list", "-o", "yaml"]).await;
    assert!(yaml.out.contains("secondsToExpiry: 90\n"), "{}", yaml.out);
}

#[tokio::test]
async fn an_identity_is_shown_with_its_chain() {
    let message = Authority::new("red.fleet.example").response("/ns/a/sa/web");
    let chain = crate::certificate::split(&message.svids[0].x509_svid).unwrap();
    let chain_pem = crate::pem::encode(crate::pem::Label::Certificate, chain).to_string();
    let identity = listed().identities.pop();
    let show = Some(Ok(v1::ShowIdentityResponse { identity, chain_pem: chain_pem.clone() }));
    let wall = Wall::start(Answers { show, ..Answers::default() });
    let ran = wall.run(&["show", "web"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert!(ran.out.contains("reason         the authority does not answer\n"), "{}", ran.out);
    assert!(ran.out.contains("spiffe://red.fleet.example/ns/a/sa/web  "), "{}", ran.out);
    assert_eq!(wall.run(&["show", "web", "--pem"]).await.out, chain_pem);
    let json = wall.run(&["show", "web", "-o", "json"]).await.json();
    assert_eq!(json["chain"][0]["uris"][0], "spiffe://red.fleet.example/ns/a/sa/web");
    assert_eq!((&json["chain"][0]["ca"], &json["chain"][1]["ca"]), (&false.into(), &true.into()));
    assert_eq!(json["chainPem"], chain_pem);
    assert_eq!(wall.asked().show, ["web", "web", "web"]);
}

#[tokio::test]
async fn no_chain_is_not_printed_as_an_empty_one() {
    let show = Some(Ok(v1::ShowIdentityResponse::default()));
    let wall = Wall::start(Answers { show, ..Answers::default() });
    let ran = wall.run(&["show", "web", "--pem"]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Refused, ""));
    assert_eq!(wall.run(&["show", "web"]).await.exit, Exit::Ok);
    let broken = v1::ShowIdentityResponse { chain_pem: "no PEM".to_owned(), ..Default::default() };
    let wall = Wall::start(Answers { show: Some(Ok(broken)), ..Answers::default() });
    assert_eq!(wall.run(&["show", "web"]).await.exit, Exit::Refused);
}

fn revoking() -> Wall {
    let revoked = v1::RevokeIdentityResponse { workloads: vec!["web".to_owned(), "db".to_owned()] };
    Wall::start(Answers { revoke: Some(Ok(revoked)), ..Answers::default() })
}

#[tokio::test]
async fn a_revocation_says_whom_why_and_who_was_withdrawn() {
    let wall = revoking();
    let ran = wall.run(&["revoke", "--tenant", "red", "--reason", "stolen", "--yes"]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Ok, "withdrawn web\nwithdrawn db\n"), "{}", ran.err);
    let ran = wall.run(&["revoke", "web", "--reason", "r", "--yes", "-o", "json"]).await;
    assert_eq!(ran.json(), serde_json::json!({ "workloads": ["web", "db"] }));
    let id = "spiffe://red.fleet.example/ns/a/sa/web";
    wall.run(&["revoke", "--spiffe-id", id, "--reason", "r", "--yes"]).await;
    let request =
        |who, reason: &str| v1::RevokeIdentityRequest { target: target(who), reason: reason.to_owned() };
    assert_eq!(
        wall.asked().revoke,
        [
            request(Who::Tenant("red".to_owned()), "stolen"),
            request(Who::Workload("web".to_owned()), "r"),
            request(Who::SpiffeId(id.to_owned()), "r"),
        ]
    );
}

#[tokio::test]
async fn a_person_is_asked_before_a_revocation_and_a_script_must_say_yes() {
    let wall = revoking();
    let args = ["revoke", "web", "--reason", "stolen"];
    let ran = wall.run(&args).await;
    assert_eq!(ran.exit, Exit::Usage);
    assert!(ran.err.contains("--yes"), "{}", ran.err);
    for answer in ["n\n", "\n", ""] {
        let ran = wall.run_on_terminal(&args, answer).await;
        assert_eq!((ran.exit, ran.out.as_str()), (Exit::Usage, ""), "{answer:?}");
        assert!(
            ran.err.starts_with("workload \"web\" loses its certificate at once. Go on? [y/N] "),
            "{}",
            ran.err
        );
    }
    assert!(wall.asked().revoke.is_empty());
    let ran = wall.run_on_terminal(&args, "y\n").await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert_eq!(wall.asked().revoke.len(), 1);
}

#[tokio::test]
async fn exactly_one_target_is_named() {
    use clap::Parser as _;
    let parses = |args: &[&str]| {
        crate::cli::Cli::try_parse_from([&["enforcerctl", "identity"], args].concat()).is_ok()
    };
    assert!(parses(&["revoke", "web", "--reason", "r"]));
    assert!(!parses(&["revoke", "--reason", "r"]));
    assert!(!parses(&["revoke", "web", "--tenant", "red", "--reason", "r"]));
    assert!(!parses(&["revoke", "web"]));
    assert!(!parses(&["revoke", "web", "--reason", ""]));
    assert!(!parses(&["revoke", "--spiffe-id", "spiffe://red.fleet.example", "--reason", "r"]));
    assert!(!parses(&["restore"]));
    assert!(parses(&["rotate"]));
    assert!(!parses(&["rotate", "web", "--tenant", "red"]));
    assert!(!parses(&["bundle", "--pem"]));
}

#[tokio::test]
async fn a_revocation_is_taken_back_as_it_was_made() {
    let restore = Some(Ok(v1::RestoreIdentityResponse { workloads: Vec::new() }));
    let wall = Wall::start(Answers { restore, ..Answers::default() });
    let ran = wall.run(&["restore", "--tenant", "red"]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Ok, ""));
    assert_eq!(ran.err, "no workload of this node was waiting for it\n");
    let request = v1::RestoreIdentityRequest { target: target(Who::Tenant("red".to_owned())) };
    assert_eq!(wall.asked().restore, [request]);
}

#[tokio::test]
async fn a_rotation_means_everybody_unless_somebody_is_named() {
    let rotated = v1::RotateIdentityResponse {
        workloads: Vec::new(),
        trust_domains: vec!["red.fleet.example".to_owned()],
    };
    let wall = Wall::start(Answers { rotate: Some(Ok(rotated)), ..Answers::default() });
    let ran = wall.run(&["rotate", "--tenant", "red", "--authority"]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Ok, "rotating red.fleet.example\n"), "{}", ran.err);
    wall.run(&["rotate"]).await;
    let named = target(Who::Tenant("red".to_owned()));
    assert_eq!(
        wall.asked().rotate,
        [
            v1::RotateIdentityRequest { target: named, authority: true },
            v1::RotateIdentityRequest { target: None, authority: false },
        ]
    );
}

#[tokio::test]
async fn metrics_are_printed_as_they_are() {
    let text = "# TYPE enforcer_identity_seconds_to_expiry gauge\nenforcer_identity_seconds_to_expiry{workload=\"web\"} 90\n# EOF\n";
    let metrics = Some(Ok(v1::IdentityMetricsResponse { text: text.to_owned() }));
    let wall = Wall::start(Answers { metrics, ..Answers::default() });
    let ran = wall.run(&["metrics"]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Ok, text));
    assert_eq!(wall.run(&["metrics", "-o", "json"]).await.json()["openMetrics"], text);
}

#[tokio::test]
async fn a_bundle_is_the_document_that_others_take() {
    let wall = listing();
    let ran = wall.run(&["bundle", "red.fleet.example"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert_eq!(ran.json(), serde_json::from_str::<serde_json::Value>(JWKS).unwrap());
    assert_eq!(
        wall.run(&["bundle", "spiffe://Red.Fleet.Example", "-o", "json"]).await.json()["spiffe_sequence"],
        7
    );
    let pem = wall.run(&["bundle", "red.fleet.example", "--pem"]).await;
    assert_eq!(crate::certificate::Certificate::read_pem(&pem.out).unwrap().len(), 1);
    let all = wall.run(&["bundle"]).await;
    assert!(all.out.contains("\nred.fleet.example  red     7 "), "{}", all.out);
    let none = wall.run(&["bundle", "blue.fleet.example"]).await;
    assert_eq!((none.exit, none.out.as_str()), (Exit::Refused, ""));
    assert!(none.err.contains("enforcerctl identity bundle"), "{}", none.err);
}

#[tokio::test]
async fn who_may_not_ask_is_told_so() {
    let list = Some(Err(Status::permission_denied("caller is not allowed")));
    let wall = Wall::start(Answers { list, ..Answers::default() });
    assert_eq!(wall.run(&["list"]).await.exit, Exit::NotPermitted);
    let ran = enforcerctl(&["--socket", "/nonexistent", "identity", "list"], "").await;
    assert_eq!(ran.exit, Exit::Unreachable);
}
