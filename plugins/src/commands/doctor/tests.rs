use super::*;

fn controller(replicas: u64, owner: Option<&str>) -> Controller {
    Controller {
        role: Role::ArgoApplications,
        kind: "StatefulSet".into(),
        namespace: "argocd".into(),
        name: "argo-cd-argocd-application-controller".into(),
        replicas,
        replicas_before: None,
        version: None,
        owner: owner.map(Into::into),
    }
}

#[test]
fn the_only_controller_is_not_stopped_and_two_are_told() {
    let check = |found: &[Controller], agent| of_argo_cd(Some(found), "argocd", agent);
    let running = [controller(1, None)];
    let alone = check(&running, false);
    assert_eq!((alone.state, alone.fix), (State::Ok, None));
    let two = check(&running, true);
    assert_eq!(two.state, State::Fail);
    assert!(
        two.fix
            .unwrap()
            .contains("scale statefulset argo-cd-argocd-application-controller")
    );
    let operated = check(&[controller(1, Some("ArgoCD/gitops"))], true);
    assert!(operated.fix.unwrap().starts_with("ArgoCD/gitops made it"));
    assert_eq!(check(&[controller(0, None)], true).state, State::Ok);
    assert_eq!(check(&[], true).text, "no other controller");
    assert_eq!(of_argo_cd(None, "argocd", true).state, State::Unknown);
}

#[test]
fn beside_argo_cd_nothing_advises_what_starts_a_second_controller() {
    let missing = ["Preview.gitops-agent.io".to_owned()];
    let fix = of_kinds(&[], &missing, true).fix.unwrap();
    assert!(!fix.contains("install.yaml"), "{fix}");
    assert!(
        of_kinds(&[], &missing, false)
            .fix
            .unwrap()
            .contains("install.yaml")
    );
}
