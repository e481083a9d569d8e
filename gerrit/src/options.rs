use crate::types::macros::words;

words! {
    /// What an answer says about a change besides the least (parameter `o`). More costs the server more.
    ChangeOption {
        Labels = "LABELS",
        DetailedLabels = "DETAILED_LABELS",
        SubmitRequirements = "SUBMIT_REQUIREMENTS",
        CurrentRevision = "CURRENT_REVISION",
        AllRevisions = "ALL_REVISIONS",
        DownloadCommands = "DOWNLOAD_COMMANDS",
        CurrentCommit = "CURRENT_COMMIT",
        AllCommits = "ALL_COMMITS",
        CurrentFiles = "CURRENT_FILES",
        AllFiles = "ALL_FILES",
        DetailedAccounts = "DETAILED_ACCOUNTS",
        ReviewerUpdates = "REVIEWER_UPDATES",
        Messages = "MESSAGES",
        CurrentActions = "CURRENT_ACTIONS",
        ChangeActions = "CHANGE_ACTIONS",
        Reviewed = "REVIEWED",
        SkipDiffstat = "SKIP_DIFFSTAT",
        Submittable = "SUBMITTABLE",
        WebLinks = "WEB_LINKS",
        Check = "CHECK",
        CommitFooters = "COMMIT_FOOTERS",
        PushCertificates = "PUSH_CERTIFICATES",
        TrackingIds = "TRACKING_IDS",
        CustomKeyedValues = "CUSTOM_KEYED_VALUES",
        Star = "STAR",
        Parents = "PARENTS",
    }
}

words! {
    /// What an answer says about an account besides its number (parameter `o`).
    AccountOption {
        Details = "DETAILS",
        AllEmails = "ALL_EMAILS",
    }
}
