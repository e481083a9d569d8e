use super::AccountInfo;
use super::macros::{answer, input, words};
use crate::time::Timestamp;

words! {
    /// Which side of a diff.
    Side {
        Revision = "REVISION",
        Parent = "PARENT",
    }
}

answer! {
    /// A comment on a file, or a draft of one.
    CommentInfo {
        patch_set: u32,
        id: String,
        path: String,
        side: Option<Side>,
        parent: Option<u32>,
        /// From 1; none for the whole file.
        line: Option<u32>,
        range: Option<CommentRange>,
        in_reply_to: String,
        message: String,
        updated: Option<Timestamp>,
        author: Option<AccountInfo>,
        tag: String,
        unresolved: Option<bool>,
        change_message_id: String,
        commit_id: String,
        context_lines: Vec<ContextLine>,
        /// What the file is, if there are lines around.
        source_content_type: String,
        fix_suggestions: Vec<FixSuggestionInfo>,
    }
}

input! {
    /// A part of a file: lines from 1, characters from 0; the end is not part of it.
    CommentRange {
        always {
            start_line: u32,
            start_character: u32,
            end_line: u32,
            end_character: u32,
        }
    }
}

input! {
    /// A fix that a comment suggests.
    FixSuggestionInfo {
        always {
            description: String => into,
            replacements: Vec<FixReplacementInfo> => into,
        }
        optional {
            /// Given by the server.
            fix_id: String => into,
        }
    }
}

input! {
    /// What a part of a file is replaced by.
    FixReplacementInfo {
        always {
            path: String => into,
            range: CommentRange,
            replacement: String => into,
        }
    }
}

answer! {
    /// A line around a comment.
    ContextLine {
        line_number: u32,
        context_line: String,
    }
}

input! {
    /// A comment to be made, with a review or as a draft.
    CommentInput {
        always {
            message: String => into,
        }
        optional {
            id: String => into,
            path: String => into,
            side: Option<Side> => into,
            /// From 1; 0 for the whole file.
            line: u32,
            range: Option<CommentRange> => into,
            in_reply_to: String => into,
            unresolved: Option<bool> => into,
            tag: String => into,
            fix_suggestions: Vec<FixSuggestionInfo> => into,
        }
    }
}

answer! {
    /// A message of a change.
    ChangeMessageInfo {
        id: String,
        author: Option<AccountInfo>,
        real_author: Option<AccountInfo>,
        date: Option<Timestamp>,
        message: String,
        /// Whom the message mentions by number.
        accounts_in_message: Vec<AccountInfo>,
        tag: String,
        #[serde(rename = "_revision_number")]
        revision_number: u32,
    }
}
