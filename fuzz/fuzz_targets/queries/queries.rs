//! All queries of a corpus, for the targets that make one of hostile bytes.

use maintner::View;

pub(crate) fn ask_everything(view: &View) {
    let _ = view.check();
    let mut newest = None;
    for commit in view.commits() {
        let _ = (
            commit.author_time(),
            commit.summary(),
            commit.reviewer(),
            commit.files().count(),
        );
        newest = Some(commit);
    }
    if let Some(newest) = newest {
        let _ = view
            .commits()
            .next()
            .map(|oldest| newest.has_ancestor(&oldest));
    }
    for cl in view
        .gerrit()
        .projects()
        .flat_map(|project| project.all_cls())
    {
        let _ = (
            cl.subject(),
            cl.change_id(),
            cl.owner_id(),
            cl.work_in_progress(),
            cl.messages().count(),
        );
        for meta in cl.metas() {
            let _ = (
                meta.label_votes(),
                meta.hashtags().len(),
                meta.hashtag_edits(),
            );
        }
    }
    for issue in view.github().repos().flat_map(|repo| repo.issues()) {
        let _ = (
            issue.comments().count(),
            issue.reviews().count(),
            issue.milestone(),
            issue.last_modified(),
        );
        for event in issue.events() {
            let _ = (
                event.commit_url(),
                event.team_reviewer(),
                event.dismissed_review(),
            );
        }
    }
}
