//! The refresh annotation: taken off when done, with the time of the comparison.

use gitops_e2e::World;
use gitops_e2e::application::status;
use gitops_e2e::manifests::config_map;

#[tokio::test]
async fn a_normal_refresh_compares_and_a_hard_one_renders_again() {
    let world = World::new("refresh").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    let first = app.synced().await;
    let rendered = || {
        world
            .agent()
            .metric("gitops_agent_renders_total{outcome=\"rendered\"}")
    };
    let before = rendered();

    let normal = app.refresh("normal").await;
    assert!(status(&normal).reconciled_at >= status(&first).reconciled_at);
    assert!(status(&normal).reconciled_at.is_some());
    assert!(
        (rendered() - before).abs() < 0.5,
        "a normal refresh rendered"
    );

    let hard = app.refresh("hard").await;
    assert!(status(&hard).reconciled_at >= status(&normal).reconciled_at);
    assert!(
        (rendered() - before - 1.0).abs() < 0.5,
        "a hard refresh did not render once"
    );
}
