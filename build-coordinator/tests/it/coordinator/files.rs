use std::path::PathBuf;

use build_coordinator::coordinator::{ConfigNews, Coordinator, Parts, ReloadError};
use build_coordinator::model::Cause;

use super::support::{DEADLINE, FakePool, Place, System, builder};

/// A coordinator whose configuration is in a file, and that file.
async fn start(place: &Place) -> (System, PathBuf) {
    let file = place.path("builders.toml");
    std::fs::write(&file, place.config_text()).unwrap();
    let parts = Parts {
        config_files: vec![file.clone()],
        ..place.parts(FakePool::new(1)).await
    };
    let coordinator = Coordinator::start(place.config(), parts).await.unwrap();
    (System { coordinator }, file)
}

#[tokio::test]
async fn a_file_that_has_changed_is_used_and_a_bad_one_is_not() {
    let place = Place::new(&builder("test", "", "true"));
    let (system, file) = start(&place).await;
    system.done(1).await;
    let mut news = system.coordinator.config_news();
    assert!(!system.coordinator.reload_files().await.unwrap());
    assert_eq!(*news.borrow_and_update(), ConfigNews::Unread);

    let bad = format!(
        "{}\ntypo = 1\n[builder.other]\nhost_type = 'nothing'\n",
        place.config_text()
    );
    std::fs::write(&file, bad).unwrap();
    // Nobody asks: it is seen.
    let seen = tokio::time::timeout(DEADLINE, news.changed()).await;
    seen.expect("it is seen").unwrap();
    match &*news.borrow_and_update() {
        ConfigNews::Refused { problems, .. } => {
            let lines: Vec<String> = problems
                .iter()
                .map(dashboard_config::Diagnostic::to_line)
                .collect();
            assert!(lines.len() > 1 || lines[0].contains("typo"), "{lines:?}");
            assert!(lines[0].contains("builders.toml:"), "{lines:?}");
        }
        other => panic!("{other:?}"),
    }
    assert!(system.coordinator.config().builder("test").is_some());
    let asked = system.coordinator.reload_files().await;
    assert!(matches!(asked, Err(ReloadError::Refused(_))), "{asked:?}");
    assert!(
        !news.has_changed().unwrap(),
        "the same problems are no news"
    );

    let more = place.with_builders(&(builder("test", "", "true") + &builder("second", "", "true")));
    let text = more.config_text() + "[host.arm]\npool = 'process'\n";
    std::fs::write(&file, text).unwrap();
    assert!(system.coordinator.reload_files().await.unwrap());
    match &*news.borrow_and_update() {
        ConfigNews::Used { notes, .. } => {
            assert!(
                notes.iter().any(|note| note.ends_with(": arm")),
                "{notes:?}"
            );
        }
        other => panic!("{other:?}"),
    }
    let added = system
        .coordinator
        .enqueue("site", "main", Some("second"), "test")
        .await
        .unwrap();
    let done = system.done(2).await;
    assert_eq!(done[1].build.id, added[0].id);
    assert_eq!(done[1].build.cause(), Some(Cause::Succeeded));

    std::fs::remove_file(&file).unwrap();
    assert!(matches!(
        system.coordinator.reload_files().await,
        Err(ReloadError::Refused(_))
    ));
    system.coordinator.stop().await;
    assert!(matches!(
        system.coordinator.reload_files().await,
        Err(ReloadError::Stopping)
    ));
}

#[tokio::test]
async fn what_came_from_no_file_is_not_read_again() {
    let place = Place::new(&builder("test", "", "true"));
    let system = place.start(&FakePool::new(1)).await;
    let asked = system.coordinator.reload_files().await;
    assert!(matches!(asked, Err(ReloadError::NoFiles)), "{asked:?}");
    system.coordinator.stop().await;
}
