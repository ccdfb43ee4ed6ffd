//! `apply`, `validate`, `diff`, `rollback`.

use enforcer_proto::v1;
use enforcer_proto::v1::apply_request::Change;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::fake::{Agent, Answers};
use crate::exit::Exit;

fn accepted() -> v1::ApplyResponse {
    v1::ApplyResponse {
        ack: Some(v1::Ack {
            revision: 8,
            digest: vec![0xab; 2],
            time_to_enforcement: Some(prost_types::Duration { seconds: 0, nanos: 3_000_000 }),
            warnings: vec!["grant without a driver".to_owned()],
        }),
    }
}

fn refused() -> Status {
    let mut details = ErrorDetails::new();
    details.add_bad_request_violation("rules[a].ports", "is empty");
    details.add_bad_request_violation("tenants[b].id", "is taken");
    Status::with_error_details(Code::InvalidArgument, "2 problems", details)
}

fn problems() -> v1::ValidateResponse {
    let problem = |path: &str, message: &str, line| v1::Problem {
        code: "some".to_owned(),
        path: path.to_owned(),
        message: message.to_owned(),
        file: "stdin".to_owned(),
        line,
    };
    v1::ValidateResponse {
        problems: vec![problem("rules[a].ports", "is empty", 4), problem("tenants[b].id", "is taken", 9)],
        ..v1::ValidateResponse::default()
    }
}

fn differing() -> v1::ValidateResponse {
    let change = v1::ObjectChange {
        change: "added".to_owned(),
        kind: "Tenant".to_owned(),
        name: "a".to_owned(),
        fields: Vec::new(),
    };
    let diff = v1::Diff { changes: vec![change], entries_written: 1, entries_deleted: 0 };
    v1::ValidateResponse { diff: Some(diff), ..v1::ValidateResponse::default() }
}

#[tokio::test]
async fn apply_sends_the_files_and_prints_what_is_in_force() {
    let agent = Agent::start(Answers { apply: Some(Ok(accepted())), ..Answers::default() });
    let args = ["apply", "-f", "-", "--prune", "--base-revision", "7"];
    let ran = agent.run_with(&args, "kind: Tenant").await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert_eq!(ran.out, "revision 8 is in force after 3.000 ms, digest abab\n");
    assert_eq!(ran.err, "warning: grant without a driver\n");
    let documents = v1::Documents {
        items: vec![v1::Document { name: "stdin".to_owned(), content: "kind: Tenant".to_owned() }],
        prune: true,
    };
    let sent = v1::ApplyRequest { base_revision: Some(7), change: Some(Change::Documents(documents)) };
    assert_eq!(agent.asked().apply, [sent]);
}

#[tokio::test]
async fn a_refused_apply_prints_a_table_of_every_problem_with_its_place() {
    let agent = Agent::start(Answers {
        apply: Some(Err(refused())),
        validate: Some(Ok(problems())),
        ..Answers::default()
    });
    let ran = agent.run(&["apply", "-f", "-"]).await;
    assert_eq!(ran.exit, Exit::Refused);
    assert_eq!(ran.out, "");
    assert_eq!(
        ran.err,
        "WHERE    PATH            PROBLEM\n\
         stdin:4  rules[a].ports  is empty\n\
         stdin:9  tenants[b].id   is taken\n\
         error: 2 problems\n"
    );
}

#[tokio::test]
async fn a_refused_apply_is_data_for_programs() {
    let agent = Agent::start(Answers { apply: Some(Err(refused())), ..Answers::default() });
    let ran = agent.run(&["apply", "-f", "-", "-o", "json"]).await;
    assert_eq!(ran.exit, Exit::Refused);
    let json = ran.json();
    assert_eq!(json["error"], "2 problems");
    assert_eq!(json["problems"][1]["path"], "tenants[b].id");
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let agent = Agent::start(Answers { validate: Some(Ok(differing())), ..Answers::default() });
    let ran = agent.run(&["apply", "-f", "-", "--dry-run"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert_eq!(ran.out, "+ Tenant a\n");
    assert!(agent.asked().apply.is_empty());
    assert_eq!(agent.asked().validate.len(), 1);
}

#[tokio::test]
async fn diff_prints_changes_and_what_they_cost() {
    let agent = Agent::start(Answers { validate: Some(Ok(differing())), ..Answers::default() });
    let ran = agent.run(&["diff", "-f", "-"]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Ok, "+ Tenant a\n"));
    assert_eq!(ran.err, "1 to add, 0 to change, 0 to remove; 1 map entries to write, 0 to delete\n");
}

#[tokio::test]
async fn validate_prints_every_problem_and_fails() {
    let agent = Agent::start(Answers { validate: Some(Ok(problems())), ..Answers::default() });
    let ran = agent.run(&["validate", "-f", "-"]).await;
    assert_eq!(ran.exit, Exit::Refused);
    assert_eq!(ran.out, "stdin:4: rules[a].ports: is empty\nstdin:9: tenants[b].id: is taken\n");
    let ran = agent.run(&["validate", "-f", "-", "-o", "json"]).await;
    assert_eq!(ran.exit, Exit::Refused);
    assert_eq!(ran.json()["problems"][0]["line"], 4);
}

#[tokio::test]
async fn validate_says_that_all_is_well() {
    let agent = Agent::start(Answers { validate: Some(Ok(differing())), ..Answers::default() });
    let ran = agent.run(&["validate", "-f", "-"]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Ok, ""));
    assert!(ran.err.starts_with("valid: 1 to add"), "{}", ran.err);
}

#[tokio::test]
async fn rollback_names_the_revision_and_prints_the_new_one() {
    let agent = Agent::start(Answers { rollback: Some(Ok(accepted())), ..Answers::default() });
    let ran = agent.run(&["rollback", "3", "-o", "json"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert_eq!(ran.json()["revision"], 8);
    assert_eq!(ran.json()["warnings"][0], "grant without a driver");
    assert_eq!(agent.asked().rollback, [3]);
}
