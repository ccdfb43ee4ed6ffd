//! A policy is applied whole or not at all, and acknowledged after the kernel was read back.

use anyhow::Result;
use serde_json::{Value, json};

use super::script::Script;
use super::stage::Stage;

pub(crate) fn play(stage: &Stage, script: &mut Script) {
    script.step("push a policy to both nodes; the kernel is read back", "in force, in sync", || {
        stage.lab().apply(&stage.policy_with_rule())?;
        status(stage)
    });
    script.step("push a rule that names nobody, among good ones", "refused whole, revision kept", || {
        let before = revision(stage)?;
        let broken = stage.policy_with_rule().with_rule("broken", "t1", "nobody", "allow", &Value::Null);
        let yaml = broken.yaml_for(stage.lab().topology(), stage.lab().node("n1")?);
        let answer = stage.ctl("n1")?.call(&["apply", "-f", "-", "--prune"], &yaml)?;
        let kept = if revision(stage)? == before { "kept" } else { "raised" };
        Ok(format!("{}, revision {kept}", if answer.code == 1 { "refused whole" } else { "taken" }))
    });
    script.step("explain t1 to t2, and prove it on the live program", "deny, proof agrees", || {
        let arguments =
            ["explain", "flow", "n1-t1-p1", "n1-t2-p1", "--protocol", "tcp", "--port", "8080", "--prove"];
        let answer = stage.ctl("n1")?.json(&arguments)?;
        let proof = answer["proof"].as_str().unwrap_or("(missing)");
        Ok(format!("{}, proof {proof}", answer["verdict"].as_str().unwrap_or("(missing)")))
    });
}

fn status(stage: &Stage) -> Result<String> {
    for node in ["n1", "n2"] {
        let status = stage.ctl(node)?.json(&["status"])?;
        if status["inSync"] != json!(true) || status["revision"].as_u64().unwrap_or_default() == 0 {
            return Ok(format!("{node}: revision {}, drift {}", status["revision"], status["drift"]));
        }
    }
    Ok("in force, in sync".to_owned())
}

fn revision(stage: &Stage) -> Result<Value> {
    Ok(stage.ctl("n1")?.json(&["status"])?["revision"].clone())
}
